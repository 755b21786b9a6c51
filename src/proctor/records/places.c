/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled behind bpf/proctor.h by layout_build.py. */
#include <string.h>

struct record_place {
	__u64 time_ns;
	__u64 start;
	__u64 end;
	__u64 type;
};

/*
 * Writes down where the records of `batch[start..end)` lie, `places_max` at most, and returns how
 * many: up to one that is not whole, or of a length that cannot be.
 */
static __u32 proctor_places(const void *batch, __u64 start, __u64 end, __u32 length_max,
			    struct record_place *places, __u32 places_max)
{
	struct record_head head;
	__u32 count = 0;

	while (count < places_max && end - start >= sizeof(head)) {
		memcpy(&head, (const __u8 *)batch + start, sizeof(head));
		if (head.length < sizeof(head) || head.length > length_max ||
		    head.length > end - start)
			break;
		places[count].time_ns = head.time_ns;
		places[count].start = start;
		places[count].type = head.type;
		start += head.length;
		places[count++].end = start;
	}
	return count;
}
