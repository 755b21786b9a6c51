/* Rings without end, and all that programs did, in its order. Each record is an allocation. */
#include "internal.h"

#define POISON 0xa5 /* a ring's memory is not zeroed: what nobody wrote shows */
#define POISON_BYTES 1024

struct open_record {
	struct open_record *next;
	const char *ring;
	void *data;
	uint64_t size;
};

static struct open_record *open_records;
static struct stub_event *events;
static uint64_t event_count, event_room, kept_bytes = UINT64_MAX;
static uint64_t waiting_bytes, ring_bytes;

void note(enum stub_deed deed, uint64_t flags, const char *ring, void *data, uint64_t size)
{
	if (event_count == event_room) {
		event_room = event_room ? 2 * event_room : 64;
		events = realloc(events, event_room * sizeof(*events));
	}
	events[event_count++] = (struct stub_event){ deed, flags, ring, data, size };
}

void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags)
{
	struct open_record *open;
	struct stub_map *map = map_of(ring);

	if (map->type != BPF_MAP_TYPE_RINGBUF || flags)
		stop("reserve: not a ring, or flags");
	if (fails(STUB_RESERVE))
		return NULL;
	open = malloc(sizeof(*open));
	*open = (struct open_record){ open_records, map->name, malloc(size), size };
	open_records = open;
	memset(open->data, POISON, size < POISON_BYTES ? size : POISON_BYTES);
	note(STUB_RESERVED, 0, map->name, NULL, size);
	return open->data;
}

static struct open_record take_open(void *record)
{
	struct open_record **place = &open_records, *open, found;

	while (*place && (*place)->data != record)
		place = &(*place)->next;
	if (!*place)
		stop("submit or discard: not a reserved record");
	open = *place;
	found = *open;
	*place = open->next;
	free(open);
	return found;
}

void bpf_ringbuf_submit(void *record, __u64 flags)
{
	struct open_record open = take_open(record);
	void *kept = open.data;

	if (open.size > kept_bytes) {
		kept = copy_of(open.data, kept_bytes);
		free(open.data);
	}
	note(STUB_SUBMITTED, flags, open.ring, kept, open.size);
}

void bpf_ringbuf_discard(void *record, __u64 flags)
{
	struct open_record open = take_open(record);

	free(open.data);
	note(STUB_DISCARDED, flags, open.ring, NULL, open.size);
}

long bpf_ringbuf_output(void *ring, void *record, __u64 size, __u64 flags)
{
	void *copy = bpf_ringbuf_reserve(ring, size, 0);

	if (!copy)
		return -EAGAIN;
	memcpy(copy, record, size);
	bpf_ringbuf_submit(copy, flags);
	return 0;
}

__u64 bpf_ringbuf_query(void *ring, __u64 what)
{
	(void)map_of(ring);
	return what == BPF_RB_AVAIL_DATA ? waiting_bytes : ring_bytes;
}

long bpf_seq_write(void *seq, const void *data, __u32 size)
{
	(void)seq;
	if (fails(STUB_WRITE_ROW))
		return -EOVERFLOW;
	note(STUB_WRITTEN, 0, NULL, copy_of(data, size), size);
	return 0;
}

bool record_is_open(void) { return open_records; }
uint64_t stub_event_count(void) { return event_count; }
struct stub_event *stub_event_at(uint64_t index) { return &events[index]; }
void stub_keep(uint64_t bytes) { kept_bytes = bytes; }

void stub_waiting(uint64_t bytes, uint64_t size)
{
	waiting_bytes = bytes;
	ring_bytes = size;
}

void reset_rings(void)
{
	for (uint64_t i = 0; i < event_count; i++)
		free(events[i].data);
	event_count = 0;
	kept_bytes = UINT64_MAX;
	waiting_bytes = ring_bytes = 0;
}
