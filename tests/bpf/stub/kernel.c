/*
 * The kernel as the programs see it: maps, rings, memory that may be unreadable, one task at a
 * time. Every map value and ring record is an allocation of its own, so that AddressSanitizer sees
 * a step past its end and a use after its deletion.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/bpf.h>
#include "machine.h"
#include "stub.h"

#define TAIL_CALLS 33 /* MAX_TAIL_CALL_CNT of linux/bpf.h, kernel 5.16 */
#define POISON 0xa5   /* a ring's memory is not zeroed: what nobody wrote shows */
#define POISON_BYTES 1024

struct stub_entry {
	struct stub_entry *next;
	void *key, *value;
};
struct region {
	struct region *next;
	enum stub_memory memory;
	uintptr_t start;
	uint64_t size;
};
struct open_record {
	struct open_record *next;
	const char *ring;
	void *data;
	uint64_t size;
};

struct stub_now stub_now;
static struct region *regions;
static struct open_record *open_records;
static struct stub_event *events;
static uint64_t event_count, event_room, kept_bytes = UINT64_MAX;
static uint64_t seen[STUB_FAULTS], fail_at[STUB_FAULTS], faulted;
static uint64_t waiting_bytes, ring_bytes;
static const char *absent[8];
static jmp_buf tail_call;
static stub_program *tail_target;
static int tail_calls;

static void stop(const char *why)
{
	fprintf(stderr, "stub kernel: %s\n", why);
	abort();
}

static bool fails(enum stub_fault fault)
{
	if (++seen[fault] != fail_at[fault])
		return false;
	faulted++;
	return true;
}

/* Maps. */

static struct stub_map *map_of(void *map)
{
	for (struct stub_map *each = stub_maps; each->name; each++)
		if (each->map == map)
			return each;
	stop("a map that programs.c does not name");
	return NULL;
}

static struct stub_map *map_named(const char *name)
{
	for (struct stub_map *each = stub_maps; each->name; each++)
		if (!strcmp(each->name, name))
			return each;
	stop("no map of this name");
	return NULL;
}

static bool is_array(struct stub_map *map)
{
	return map->type == BPF_MAP_TYPE_PERCPU_ARRAY || map->type == BPF_MAP_TYPE_ARRAY;
}

static struct stub_entry **place_of(struct stub_map *map, const void *key)
{
	struct stub_entry **place = &map->entries;

	while (*place && memcmp((*place)->key, key, map->key_bytes))
		place = &(*place)->next;
	return place;
}

static void drop(struct stub_map *map, struct stub_entry **place)
{
	struct stub_entry *entry = *place;

	*place = entry->next;
	free(entry->key);
	free(entry->value);
	free(entry);
	map->count--;
}

static void *copy_of(const void *data, uint64_t size)
{
	void *copy = malloc(size);

	if (data)
		memcpy(copy, data, size);
	else
		memset(copy, 0, size);
	return copy;
}

static void *add(struct stub_map *map, const void *key, const void *value)
{
	struct stub_entry *entry = malloc(sizeof(*entry));

	entry->key = copy_of(key, map->key_bytes);
	entry->value = copy_of(value, map->value_bytes);
	entry->next = map->entries;
	map->entries = entry;
	map->count++;
	return entry->value;
}

static void *lookup(struct stub_map *map, const void *key)
{
	struct stub_entry **place = place_of(map, key);

	if (*place)
		return (*place)->value;
	/* Arrays are there from the beginning. */
	if (is_array(map) && *(const uint32_t *)key < map->max_entries)
		return add(map, key, NULL);
	return NULL;
}

static int update(struct stub_map *map, const void *key, const void *value, uint64_t flags)
{
	struct stub_entry **place = place_of(map, key);

	if (*place && flags == BPF_NOEXIST)
		return -EEXIST;
	if (!*place && flags == BPF_EXIST)
		return -ENOENT;
	if (*place) {
		memcpy((*place)->value, value, map->value_bytes);
		return 0;
	}
	if (map->count >= map->max_entries) {
		if (map->type != BPF_MAP_TYPE_LRU_HASH || !map->entries)
			return -E2BIG;
		for (place = &map->entries; (*place)->next;)
			place = &(*place)->next;
		drop(map, place);
	}
	add(map, key, value);
	return 0;
}

static int delete(struct stub_map *map, const void *key)
{
	struct stub_entry **place = place_of(map, key);

	if (!*place)
		return -ENOENT;
	drop(map, place);
	return 0;
}

void *bpf_map_lookup_elem(void *map, const void *key)
{
	return lookup(map_of(map), key);
}

long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	if (fails(STUB_UPDATE))
		return -E2BIG;
	return update(map_of(map), key, value, flags);
}

long bpf_map_delete_elem(void *map, const void *key)
{
	return delete(map_of(map), key);
}

int stub_update(const char *map, const void *key, const void *value)
{
	return update(map_named(map), key, value, BPF_ANY);
}

int stub_delete(const char *map, const void *key)
{
	return delete(map_named(map), key);
}

void *stub_lookup(const char *map, const void *key)
{
	return lookup(map_named(map), key);
}

/* An error of ours, to see that it is seen: values smaller than the programs believe. */
void stub_shrink(const char *map, uint64_t value_bytes)
{
	for (struct stub_entry *each = map_named(map)->entries; each; each = each->next)
		each->value = realloc(each->value, value_bytes);
}

void stub_limit(const char *map, uint64_t entries)
{
	map_named(map)->max_entries = entries;
}

uint64_t stub_entries(const char *map)
{
	return map_named(map)->count;
}

/* Returns the value's size. */
uint64_t stub_entry(const char *map, uint64_t index, void **key, void **value)
{
	struct stub_entry *entry = map_named(map)->entries;

	while (index-- && entry)
		entry = entry->next;
	if (!entry)
		stop("no entry at this index");
	*key = entry->key;
	*value = entry->value;
	return map_named(map)->value_bytes;
}

/* Rings. */

static void note(enum stub_deed deed, uint64_t flags, const char *ring, void *data, uint64_t size)
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
	note(STUB_WRITTEN, 0, NULL, copy_of(data, size), size);
	return 0;
}

/* Memory. */

static bool readable(enum stub_memory memory, const void *from, uint64_t size)
{
	uintptr_t start = (uintptr_t)from;

	for (struct region *each = regions; each; each = each->next)
		if (each->memory == memory && start >= each->start &&
		    start - each->start <= each->size && size <= each->size - (start - each->start))
			return true;
	return false;
}

static long read_memory(enum stub_memory memory, void *to, uint32_t size, const void *from)
{
	enum stub_fault fault = memory == STUB_USER ? STUB_READ_USER : STUB_READ_KERNEL;

	if (fails(fault) || !readable(memory, from, size)) {
		memset(to, 0, size); /* as the kernel does */
		return -EFAULT;
	}
	memcpy(to, from, size);
	return 0;
}

long bpf_probe_read_user(void *to, __u32 size, const void *from)
{
	return read_memory(STUB_USER, to, size, from);
}

long bpf_probe_read_kernel(void *to, __u32 size, const void *from)
{
	return read_memory(STUB_KERNEL, to, size, from);
}

long bpf_probe_read_kernel_str(void *to, __u32 size, const void *from)
{
	char *out = to;

	if (fails(STUB_READ_KERNEL) || !readable(STUB_KERNEL, from, 1))
		return -EFAULT;
	for (uint32_t i = 0; i < size; i++) {
		out[i] = i + 1 < size ? ((const char *)from)[i] : 0;
		if (!out[i])
			return i + 1;
	}
	return 0;
}

long bpf_skb_load_bytes(const void *skb, __u32 offset, void *to, __u32 size)
{
	const struct __sk_buff *head = skb;
	const uint8_t *packet = (const uint8_t *)(head + 1);

	if (fails(STUB_SKB) || !size || offset > head->len || size > head->len - offset) {
		memset(to, 0, size);
		return -EFAULT;
	}
	memcpy(to, packet + offset, size);
	return 0;
}

void *stub_allocate(enum stub_memory memory, uint64_t size_bytes)
{
	struct region *region = malloc(sizeof(*region));
	void *start = calloc(1, size_bytes ? size_bytes : 1);

	*region = (struct region){ regions, memory, (uintptr_t)start, size_bytes };
	regions = region;
	return start;
}

/* A struct __sk_buff with the packet after it. */
void *stub_packet(const char *data, uint64_t size_bytes)
{
	struct __sk_buff *skb = stub_allocate(STUB_KERNEL, sizeof(*skb) + size_bytes);

	skb->len = size_bytes;
	memcpy(skb + 1, data, size_bytes);
	return skb;
}

void stub_unmap(void *memory)
{
	for (struct region *each = regions; each; each = each->next)
		if (each->start == (uintptr_t)memory)
			each->size = 0;
}

/* The task and its machine. */

__u64 bpf_get_current_task(void) { return stub_now.task; }
__u64 bpf_get_current_pid_tgid(void) { return stub_now.pid_tgid; }
__u64 bpf_get_current_cgroup_id(void) { return stub_now.cgroup; }
__u32 bpf_get_smp_processor_id(void) { return stub_now.processor; }
__u64 bpf_ktime_get_boot_ns(void) { return stub_now.time_ns; }
__u64 bpf_get_socket_cookie(void *skb) { (void)skb; return stub_now.cookie; }
__u64 bpf_get_attach_cookie(void *context) { (void)context; return stub_now.cookie; }
__u64 bpf_get_current_ancestor_cgroup_id(int level) { return stub_now.ancestors[level]; }

long bpf_get_current_comm(void *to, __u32 size)
{
	memcpy(to, stub_now.comm, size);
	return 0;
}

long bpf_send_signal_thread(__u32 signal)
{
	if (fails(STUB_SIGNAL))
		return -EBUSY;
	note(STUB_SIGNALLED, signal, NULL, NULL, 0);
	return 0;
}

bool stub_exists(const char *what)
{
	for (unsigned int i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		if (absent[i] && !strcmp(absent[i], what))
			return false;
	return true;
}

/* Like the kernel's: does not return, unless there were too many. */
long bpf_tail_call(void *context, void *programs, __u32 index)
{
	(void)context;
	if (tail_calls == TAIL_CALLS)
		return -ELOOP;
	tail_calls++;
	tail_target = stub_tail(programs, index);
	if (!tail_target)
		return -ENOENT;
	longjmp(tail_call, 1);
}

static stub_program *program_named(const char *name)
{
	for (const struct stub_named_program *each = stub_programs; each->name; each++)
		if (!strcmp(each->name, name))
			return each->run;
	stop("no program of this name");
	return NULL;
}

int stub_run(const char *program, void *context)
{
	int result;

	tail_calls = 0;
	tail_target = program_named(program);
	(void)setjmp(tail_call);
	result = tail_target(context);
	if (open_records)
		stop("a record was reserved and neither submitted nor discarded");
	return result;
}

/* For the tests. */

uint64_t stub_event_count(void) { return event_count; }
struct stub_event *stub_event_at(uint64_t index) { return &events[index]; }
uint64_t stub_faulted(void) { return faulted; }
uint64_t stub_seen(enum stub_fault fault) { return seen[fault]; }
void stub_keep(uint64_t bytes) { kept_bytes = bytes; }

void stub_fail(enum stub_fault fault, uint64_t nth)
{
	fail_at[fault] = nth ? seen[fault] + nth : 0;
	faulted = 0;
}

void stub_waiting(uint64_t bytes, uint64_t size)
{
	waiting_bytes = bytes;
	ring_bytes = size;
}

void stub_absent(const char *what)
{
	for (unsigned int i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		if (!absent[i]) {
			absent[i] = strdup(what);
			return;
		}
	stop("too many absent things");
}

void stub_set_configuration(const void *configuration, uint64_t size_bytes)
{
	uintptr_t page = getpagesize(), start = (uintptr_t)stub_configuration() & ~(page - 1);
	uintptr_t end = (uintptr_t)stub_configuration() + size_bytes;

	if (mprotect((void *)start, end - start, PROT_READ | PROT_WRITE))
		stop("the configuration stays constant");
	memcpy(stub_configuration(), configuration, size_bytes);
}

void stub_reset(void)
{
	static unsigned long limits[32];

	for (int i = 0; stub_maps[i].name; i++) {
		struct stub_map *map = &stub_maps[i];

		if (!limits[i])
			limits[i] = map->max_entries;
		map->max_entries = limits[i];
		while (map->entries)
			drop(map, &map->entries);
	}
	while (regions) {
		struct region *next = regions->next;

		free((void *)regions->start);
		free(regions);
		regions = next;
	}
	for (uint64_t i = 0; i < event_count; i++)
		free(events[i].data);
	for (unsigned int i = 0; i < sizeof(absent) / sizeof(*absent); i++) {
		free((void *)absent[i]);
		absent[i] = NULL;
	}
	event_count = 0;
	kept_bytes = UINT64_MAX;
	waiting_bytes = ring_bytes = 0;
	memset(seen, 0, sizeof(seen));
	memset(fail_at, 0, sizeof(fail_at));
	memset(&stub_now, 0, sizeof(stub_now));
}
