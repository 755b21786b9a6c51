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
#define IORING_OP_CLOSE 19
#define IORING_OP_STATX 21
#define IORING_OP_READ 22
#define IORING_OP_WRITE 23
#define IORING_OP_OPENAT2 28
#define IORING_OP_RENAMEAT 35
#define IORING_OP_UNLINKAT 36
#define IORING_OP_MKDIRAT 37
#define IORING_OP_SYMLINKAT 38
#define IORING_OP_LINKAT 39

#define BIT(n) (1ULL << (n))
/*
 * Operations without needs_file in io_uring/opdef.c: of theirs cqe.fd is that of a request before.
 * NOP, POLL_REMOVE, TIMEOUT, TIMEOUT_REMOVE, ASYNC_CANCEL, LINK_TIMEOUT, FILES_UPDATE, MADVISE,
 * EPOLL_CTL, PROVIDE_BUFFERS, REMOVE_BUFFERS, SETXATTR, GETXATTR, SOCKET, WAITID, FUTEX_WAIT,
 * FUTEX_WAKE, FUTEX_WAITV, PIPE; and those that have their own of a path.
 */
#define WITHOUT_FILE                                                                          \
	(BIT(0) | BIT(7) | BIT(11) | BIT(12) | BIT(14) | BIT(15) | BIT(20) | BIT(25) | BIT(29) | \
	 BIT(31) | BIT(32) | BIT(42) | BIT(44) | BIT(45) | BIT(50) | BIT(51) | BIT(52) |         \
	 BIT(53) | BIT(62) | BIT(18) | BIT(19) | BIT(21) | BIT(28) | BIT(35) | BIT(36) |         \
	 BIT(37) | BIT(38) | BIT(39))

static __always_inline bool moves_bytes(u8 opcode)
{
	return opcode == IORING_OP_READV || opcode == IORING_OP_WRITEV ||
	       opcode == IORING_OP_READ_FIXED || opcode == IORING_OP_WRITE_FIXED ||
	       opcode == IORING_OP_READ || opcode == IORING_OP_WRITE;
}

/* What a request names. Paths as the kernel has copied them, so no thread can change them any more. */
struct named { s64 descriptor, second; const char *path, *second_path; };

#define NAME_ONE(named, type, request)                                           \
	do {                                                                     \
		if (!bpf_core_type_exists(struct type))                          \
			break;                                                   \
		(named)->descriptor = BPF_CORE_READ((struct type *)(request), dfd); \
		(named)->path = BPF_CORE_READ((struct type *)(request), filename, name); \
	} while (0)

#define NAME_TWO(named, type, request)                                           \
	do {                                                                     \
		if (!bpf_core_type_exists(struct type))                          \
			break;                                                   \
		(named)->descriptor = BPF_CORE_READ((struct type *)(request), old_dfd); \
		(named)->second = BPF_CORE_READ((struct type *)(request), new_dfd); \
		(named)->path = BPF_CORE_READ((struct type *)(request), oldpath, name); \
		(named)->second_path = BPF_CORE_READ((struct type *)(request), newpath, name); \
	} while (0)

static __always_inline void find_named(struct named *named, struct io_kiocb *request, u8 opcode)
{
	if (opcode > 63 || !(WITHOUT_FILE & BIT(opcode)))
		named->descriptor = BPF_CORE_READ(request, cqe.fd);
	switch (opcode) {
	case IORING_OP_OPENAT:
	case IORING_OP_OPENAT2:
		NAME_ONE(named, io_open, request);
		break;
	case IORING_OP_UNLINKAT:
		NAME_ONE(named, io_unlink, request);
		break;
	case IORING_OP_MKDIRAT:
		NAME_ONE(named, io_mkdir, request);
		break;
	case IORING_OP_STATX:
		NAME_ONE(named, io_statx, request);
		break;
	case IORING_OP_RENAMEAT:
		NAME_TWO(named, io_rename, request);
		break;
	case IORING_OP_LINKAT:
		NAME_TWO(named, io_link, request);
		break;
	case IORING_OP_SYMLINKAT:
		NAME_TWO(named, io_link, request);
		named->descriptor = TRACE_NO_DESCRIPTOR; /* the first path is a text */
		break;
	case IORING_OP_CLOSE:
		if (bpf_core_type_exists(struct io_close))
			named->descriptor = BPF_CORE_READ((struct io_close *)request, fd);
	}
}

static __always_inline void append_path(struct ring *ring, const char *path, u8 arg)
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
		end_chunk(&sink, room, arg, CHUNK_STRING, 0, 0, bytes - 1);
}

static __always_inline void emit_request(struct io_kiocb *request)
{
	struct named named = { TRACE_NO_DESCRIPTOR, TRACE_NO_DESCRIPTOR };
	struct task_struct *task = current();
	struct thread *thread = traced_thread_or_worker(task);
	struct io_rw *transfer = (struct io_rw *)request;
	struct trace_record *record;
	struct ring ring;
	u8 opcode;

	if (!thread || thread->scope & SCOPE_FROM_EXEC || !tracing())
		return;
	record = begin_moment(&ring, task, thread, TRACE_IO_URING);
	if (!record)
		return;
	opcode = BPF_CORE_READ(request, opcode);
	find_named(&named, request, opcode);
	record->args[0] = opcode;
	record->args[1] = named.descriptor;
	record->args[2] = BPF_CORE_READ(request, cqe.user_data);
	record->args[3] = BPF_CORE_READ(request, flags) & 0xff; /* the rest is the kernel's own */
	record->args[4] = named.second;
	if (moves_bytes(opcode) && bpf_core_type_exists(struct io_rw)) {
		record->args[4] = BPF_CORE_READ(transfer, kiocb.ki_pos);
		record->args[5] = BPF_CORE_READ(transfer, len);
	}
	if (named.path)
		append_path(&ring, named.path, 1);
	if (named.second_path)
		append_path(&ring, named.second_path, 4);
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
