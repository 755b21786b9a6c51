/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

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
		places[count].address = (__u64)(const __u8 *)batch + start;
		places[count].length = head.length;
		places[count].type = head.type;
		places[count++].flags = head.flags;
		start += head.length;
	}
	return count;
}

/* By time; those of one time stay in their order. They come nearly so. */
static void proctor_sort_places(struct record_place *places, __u32 count)
{
	__u32 next, at;

	for (next = 1; next < count; next++) {
		struct record_place moved = places[next];

		for (at = next; at > 0 && places[at - 1].time_ns > moved.time_ns; at--)
			places[at] = places[at - 1];
		places[at] = moved;
	}
}
