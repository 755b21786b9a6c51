/* SPDX-License-Identifier: Apache-2.0 */
/* What Python can't do fast enough or at all: libbpf's log, option structs, and draining rings. */
#ifndef PROCTOR_NATIVE_H
#define PROCTOR_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

typedef struct bpf_object bpf_object;
typedef struct bpf_program bpf_program;
typedef struct bpf_map bpf_map;
typedef struct bpf_link bpf_link;
typedef struct proctor_ring proctor_ring;

/* Collect what libbpf says from here on, verifier logs included. */
void proctor_log_start(void);
const char *proctor_log_text(void);

bpf_link *proctor_attach_uprobe(const bpf_program *program, const char *path, size_t offset,
				bool at_return, uint64_t cookie);
/*
 * All of these places of a file through one link, whose descriptor is returned; errno, negative,
 * where that fails. For programs set to it before they were loaded. Since 6.6.
 */
int proctor_attach_uprobe_multi(const bpf_program *program, const char *path,
				const uint64_t *offsets, uint32_t count, bool at_return,
				uint64_t cookie);
bool proctor_has_uprobe_multi(void);
int proctor_set_uprobe_multi(bpf_program *program);
bpf_link *proctor_attach_map_iterator(const bpf_program *program, int map_fd);

/* A BPF ring buffer, read by one reader. size_bytes: the map's max_entries. NULL sets errno. */
proctor_ring *proctor_ring_open(int map_fd, size_t size_bytes);
void proctor_ring_close(proctor_ring *ring);
/* The producer's position now: everything before it was reserved before this call. */
uint64_t proctor_ring_produced(const proctor_ring *ring);
/*
 * Copy the committed records before `until` one after the other into the buffer, each trimmed to
 * the length in its own first four bytes. Stops where a record is not committed yet or does not
 * fit. Returns the bytes copied.
 */
size_t proctor_ring_drain(proctor_ring *ring, void *buffer, size_t capacity_bytes, uint64_t until);
uint64_t proctor_ring_consumed(const proctor_ring *ring);

/*
 * Writes down where whole committed records lie before `until`, places_max at most (an array of
 * struct record_place), and until the next would begin size_bytes behind the first. Returns how
 * many. They stay there until they are released.
 */
uint32_t proctor_ring_look(proctor_ring *ring, void *places, uint32_t places_max,
			   uint64_t size_bytes, uint64_t until);

/* Gives what was looked at last back to the kernel. */
void proctor_ring_release(proctor_ring *ring);

#endif
