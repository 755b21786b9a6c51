/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proctor.h"
#include "places.h"

/* Verifier logs of several programs: what is longer loses its beginning, the end says why. */
#define LOG_BYTES (4 << 20)

static char *log_text;
static size_t log_used;

static int append_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	int written;

	if (level == LIBBPF_DEBUG || !log_text)
		return 0;
	if (log_used > LOG_BYTES / 2) {
		memmove(log_text, log_text + LOG_BYTES / 4, log_used - LOG_BYTES / 4);
		log_used -= LOG_BYTES / 4;
	}
	written = vsnprintf(log_text + log_used, LOG_BYTES - log_used, format, arguments);
	if (written > 0)
		log_used += (size_t)written < LOG_BYTES - log_used ? (size_t)written
								     : LOG_BYTES - log_used - 1;
	return 0;
}

void proctor_log_start(void)
{
	if (!log_text)
		log_text = malloc(LOG_BYTES);
	log_used = 0;
	if (log_text)
		log_text[0] = 0;
	libbpf_set_print(append_log);
}

const char *proctor_log_text(void)
{
	return log_text ? log_text : "";
}

bpf_link *proctor_attach_uprobe(const bpf_program *program, const char *path, size_t offset,
				bool at_return, uint64_t cookie)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = at_return, .bpf_cookie = cookie);

	return bpf_program__attach_uprobe_opts(program, -1, path, offset, &options);
}

/* linux/bpf.h since 6.6: headers and libbpf of older distributions have none of it. */
#define TRACE_UPROBE_MULTI 48
#define UPROBE_MULTI_RETURN 1
#define UPROBE_MULTI_MAX 16

struct uprobe_multi_link {
	uint32_t program_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t reference_counters;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t unused;
};

static int link_uprobes(struct uprobe_multi_link *link)
{
	int fd = syscall(SYS_bpf, BPF_LINK_CREATE, link, sizeof(*link));

	return fd < 0 ? -errno : fd;
}

/* Tried on a folder, which cannot be probed: a kernel that gets as far as that says so. */
bool proctor_has_uprobe_multi(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = TRACE_UPROBE_MULTI);
	struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	uint64_t offset = 0;
	struct uprobe_multi_link link = {
		.attach_type = TRACE_UPROBE_MULTI,
		.path = (uintptr_t)"/",
		.offsets = (uintptr_t)&offset,
		.count = 1,
	};
	int program, fd;

	program = bpf_prog_load(BPF_PROG_TYPE_KPROBE, NULL, "Dual BSD/GPL", nothing, 2, &options);
	if (program < 0)
		return false;
	link.program_fd = program;
	fd = link_uprobes(&link);
	if (fd >= 0)
		close(fd);
	close(program);
	return fd == -EBADF;
}

int proctor_set_uprobe_multi(bpf_program *program)
{
	return bpf_program__set_expected_attach_type(program, TRACE_UPROBE_MULTI);
}

int proctor_attach_uprobe_multi(const bpf_program *program, const char *path,
				const uint64_t *offsets, uint32_t count, bool at_return,
				uint64_t cookie)
{
	uint64_t cookies[UPROBE_MULTI_MAX];
	struct uprobe_multi_link link = {
		.program_fd = bpf_program__fd(program),
		.attach_type = TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offsets,
		.cookies = (uintptr_t)cookies,
		.count = count,
		.multi_flags = at_return ? UPROBE_MULTI_RETURN : 0,
	};

	if (count > UPROBE_MULTI_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < count; i++)
		cookies[i] = cookie;
	return link_uprobes(&link);
}

bpf_link *proctor_attach_map_iterator(const bpf_program *program, int map_fd)
{
	union bpf_iter_link_info info = { .map.map_fd = map_fd };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info,
		    .link_info_len = sizeof(info));

	return bpf_program__attach_iter(program, &options);
}

struct proctor_ring {
	size_t size;
	size_t page;
	unsigned long *consumer; /* a page of ours */
	unsigned long *producer; /* a page of the kernel's, then the data, mapped twice in a row */
	const char *data;
	uint64_t looked_at;      /* up to here, since it was released last */
};

proctor_ring *proctor_ring_open(int map_fd, size_t size_bytes)
{
	struct proctor_ring *ring = calloc(1, sizeof(*ring));
	size_t page = sysconf(_SC_PAGESIZE);
	void *mapped;

	if (!ring)
		return NULL;
	ring->size = size_bytes;
	ring->page = page;
	mapped = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (mapped == MAP_FAILED)
		goto fail;
	ring->consumer = mapped;
	mapped = mmap(NULL, page + 2 * size_bytes, PROT_READ, MAP_SHARED, map_fd, page);
	if (mapped == MAP_FAILED) {
		munmap(ring->consumer, page);
		goto fail;
	}
	ring->producer = mapped;
	ring->data = (const char *)mapped + page;
	return ring;
fail:
	free(ring);
	return NULL;
}

void proctor_ring_close(proctor_ring *ring)
{
	munmap(ring->consumer, ring->page);
	munmap(ring->producer, ring->page + 2 * ring->size);
	free(ring);
}

uint64_t proctor_ring_produced(const proctor_ring *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
}

uint64_t proctor_ring_consumed(const proctor_ring *ring)
{
	return *ring->consumer;
}

size_t proctor_ring_drain(proctor_ring *ring, void *buffer, size_t capacity_bytes, uint64_t until)
{
	uint64_t position = *ring->consumer, freed = position;
	size_t used = 0;

	while (position < until) {
		const char *record = ring->data + (position & (ring->size - 1));
		uint32_t head = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		uint32_t length = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		uint32_t wanted;

		if (head & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
			memcpy(&wanted, record + BPF_RINGBUF_HDR_SZ, sizeof(wanted));
			if (wanted > length)
				wanted = length;
			if (wanted > capacity_bytes - used)
				break;
			memcpy((char *)buffer + used, record + BPF_RINGBUF_HDR_SZ, wanted);
			used += wanted;
		}
		position += (length + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
		/* Give room back early: the producer may be waiting for it. */
		if (position - freed > ring->size / 16) {
			__atomic_store_n(ring->consumer, position, __ATOMIC_RELEASE);
			freed = position;
		}
	}
	__atomic_store_n(ring->consumer, position, __ATOMIC_RELEASE);
	return used;
}

uint32_t proctor_ring_look(proctor_ring *ring, void *places, uint32_t places_max,
			   uint64_t size_bytes, uint64_t until)
{
	uint64_t first = *ring->consumer, position = first;
	struct record_place *place = places;
	uint32_t count = 0;

	while (position < until && count < places_max && (!count || position - first < size_bytes)) {
		const char *record = ring->data + (position & (ring->size - 1));
		uint32_t said = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		uint32_t length = said & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		struct record_head head = { 0 };

		if (said & BPF_RINGBUF_BUSY_BIT)
			break;
		position += (length + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
		if (said & BPF_RINGBUF_DISCARD_BIT)
			continue;
		record += BPF_RINGBUF_HDR_SZ;
		memcpy(&head, record, length < sizeof(head) ? length : sizeof(head));
		place->time_ns = head.time_ns;
		place->address = (uintptr_t)record;
		place->length = length < head.length ? length : head.length;
		place->type = head.type;
		place->flags = head.flags;
		place++;
		count++;
	}
	ring->looked_at = position;
	if (!count)
		proctor_ring_release(ring);
	return count;
}

void proctor_ring_release(proctor_ring *ring)
{
	/* A step back would be a full ring to the kernel, and old records to who reads on. */
	if (ring->looked_at > *ring->consumer)
		__atomic_store_n(ring->consumer, ring->looked_at, __ATOMIC_RELEASE);
}
