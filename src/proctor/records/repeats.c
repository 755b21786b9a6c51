/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled behind bpf/proctor.h by layout_build.py. */
#include <string.h>

enum { REPEAT_BLOCK_BYTES = 1024 };

/*
 * Compares `came` with what is remembered, block by block, and remembers what differs. Writes
 * down where runs of equal blocks lie, as if `came` began at `start`, and returns how many: equal
 * blocks that would be of one run more than `runs_max` count as different.
 */
static __u32 proctor_remember(void *remembered, const void *came, __u32 size_bytes, __u32 start,
			      struct tls_repeat_run *runs, __u32 runs_max)
{
	__u8 *old = remembered;
	const __u8 *new = came;
	__u32 count = 0, at, block;
	int in_run = 0;

	for (at = 0; at < size_bytes; at += block) {
		block = size_bytes - at < REPEAT_BLOCK_BYTES ? size_bytes - at : REPEAT_BLOCK_BYTES;
		if (memcmp(old + at, new + at, block)) {
			memcpy(old + at, new + at, block);
			in_run = 0;
		} else if (in_run) {
			runs[count - 1].size_bytes += block;
		} else if (count < runs_max) {
			runs[count].start = start + at;
			runs[count++].size_bytes = block;
			in_run = 1;
		}
	}
	return count;
}
