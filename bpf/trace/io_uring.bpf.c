/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Requests through io_uring, which no syscall shows: as they are submitted.
 */
#include "ring.h"

#define IORING_OP_READV 1
#define IORING_OP_WRITEV 2
#define IORING_OP_READ_FIXED 4
#define IORING_OP_WRITE_FIXED 5
#define IORING_OP_OPENAT 18
#define IORING_OP_READ 22
#define IORING_OP_WRITE 23
#define IORING_OP_OPENAT2 28
#define IORING_OP_UNLINKAT 36

static __always_inline bool moves_bytes(u8 opcode)
{
	return opcode == IORING_OP_READV || opcode == IORING_OP_WRITEV ||
	       opcode == IORING_OP_READ_FIXED || opcode == IORING_OP_WRITE_FIXED ||
	       opcode == IORING_OP_READ || opcode == IORING_OP_WRITE;
}

/* The path as the kernel has copied it, so no thread can change it any more. */
static __always_inline const char *requested_path(struct io_kiocb *request, u8 opcode, s64 *directory)
{
	struct io_open *open = (struct io_open *)request;
	struct io_unlink *unlink = (struct io_unlink *)request;

	if ((opcode == IORING_OP_OPENAT || opcode == IORING_OP_OPENAT2) &&
	    bpf_core_type_exists(struct io_open)) {
		*directory = BPF_CORE_READ(open, dfd);
		return BPF_CORE_READ(open, filename, name);
	}
	if (opcode == IORING_OP_UNLINKAT && bpf_core_type_exists(struct io_unlink)) {
		*directory = BPF_CORE_READ(unlink, dfd);
		return BPF_CORE_READ(unlink, filename, name);
	}
	return NULL;
}

static __always_inline void append_path(struct ring *ring, const char *path)
{
	struct sink sink;
	u8 *room;
	long bytes;

	if (!open_ring_sink(&sink, ring->work))
		return;
	room = chunk_room(&sink);
	if (!room)
		return;
	bytes = bpf_probe_read_kernel_str(room + sizeof(struct trace_chunk), TRACE_PIECE_BYTES, path);
	if (bytes > 0)
		end_chunk(&sink, room, 1, CHUNK_STRING, 0, 0, bytes - 1);
}

/*
 * With IORING_SETUP_SQPOLL a thread of the kernel's submits, in the program's process. It comes
 * without a fork that is traced, so it is in scope as the process's first thread is.
 */
static __always_inline struct thread *submitting_thread(struct task_struct *task)
{
	struct thread *thread = traced_thread(task), *first;

	if (thread || !configuration.task_storage)
		return thread;
	if (!(task->flags & PF_IO_WORKER))
		return NULL;
	first = bpf_task_storage_get(&threads, task->group_leader, 0, 0);
	if (!first || !(first->scope & SCOPE_TRACED))
		return NULL;
	thread = make_thread(task);
	if (thread)
		thread->scope = first->scope;
	return thread;
}

static __always_inline void emit_request(struct io_kiocb *request)
{
	struct task_struct *task = current();
	struct thread *thread = submitting_thread(task);
	struct io_rw *transfer = (struct io_rw *)request;
	struct trace_record *record;
	const char *path;
	struct ring ring;
	s64 directory;
	u8 opcode;

	if (!thread || thread->scope & SCOPE_FROM_EXEC || !tracing())
		return;
	record = begin_moment(&ring, task, thread, TRACE_IO_URING);
	if (!record)
		return;
	opcode = BPF_CORE_READ(request, opcode);
	directory = BPF_CORE_READ(request, cqe.fd);
	path = requested_path(request, opcode, &directory);
	record->args[0] = opcode;
	record->args[1] = directory;
	record->args[2] = BPF_CORE_READ(request, cqe.user_data);
	record->args[3] = BPF_CORE_READ(request, flags) & 0xff; /* the rest is the kernel's own */
	if (moves_bytes(opcode) && bpf_core_type_exists(struct io_rw)) {
		record->args[4] = BPF_CORE_READ(transfer, kiocb.ki_pos);
		record->args[5] = BPF_CORE_READ(transfer, len);
	}
	if (path)
		append_path(&ring, path);
	finish_record(&ring, record);
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(io_uring_submitted, struct io_kiocb *request)
{
	emit_request(request);
	return 0;
}

/* As it was called from 6.0 to 6.2; before that it passed no request. */
SEC("tp_btf/io_uring_submit_sqe")
int BPF_PROG(io_uring_submitted_old, struct io_kiocb *request)
{
	emit_request(request);
	return 0;
}
