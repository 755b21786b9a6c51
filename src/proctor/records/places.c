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

/* `spare` has room for half of them. */
static void sort_halves(struct record_place *places, __u32 count, struct record_place *spare)
{
	__u32 half = count / 2, left = 0, right = half, at = 0;

	if (count < 2)
		return;
	sort_halves(places, half, spare);
	sort_halves(places + half, count - half, spare);
	if (places[half - 1].time_ns <= places[half].time_ns)
		return;
	memcpy(spare, places, half * sizeof(*spare));
	while (left < half)
		places[at++] = right < count && places[right].time_ns < spare[left].time_ns ?
				       places[right++] :
				       spare[left++];
}

/*
 * By time; those of one time stay in their order. The rings' come nearly so, but not all: the uses
 * of files are told when they end, of the time of the last.
 */
static void proctor_sort_places(struct record_place *places, __u32 count)
{
	struct record_place *spare;
	__u32 at = 1;

	while (at < count && places[at - 1].time_ns <= places[at].time_ns)
		at++;
	if (at >= count)
		return;
	spare = allocated(malloc(count / 2 * sizeof(*spare)));
	sort_halves(places, count, spare);
	free(spare);
}
