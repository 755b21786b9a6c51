/*
 * Maps as lists. Each value is an allocation of its own, so that AddressSanitizer sees a step past
 * its end and a use after its deletion.
 */
#include "internal.h"

struct stub_entry {
	struct stub_entry *next;
	void *key, *value;
};

struct stub_map *map_of(void *map)
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

void *copy_of(const void *data, uint64_t size)
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

void reset_maps(void)
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
}
