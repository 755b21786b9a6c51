/* SPDX-License-Identifier: Apache-2.0 */
/* A table from the number of a TLS handle to what is known of it: open addressing. */
#include <stdlib.h>

struct handle_slot {
	__u64 tls;
	void *value;             /* NULL: free */
};

struct handle_table {
	struct handle_slot *slots;
	__u32 size;              /* a power of two, or 0 */
	__u32 count;
};

/* What malloc and its like gave. Without memory there is no going on: half of a step is none. */
static void *allocated(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* Where the search for `tls` begins. */
static __u32 first_slot(const struct handle_table *table, __u64 tls)
{
	return (tls * 0x9E3779B97F4A7C15ULL) >> 32 & (table->size - 1);
}

/* Where `tls` is, or would be put. */
static __u32 slot_of(const struct handle_table *table, __u64 tls)
{
	__u32 at = first_slot(table, tls);

	while (table->slots[at].value && table->slots[at].tls != tls)
		at = (at + 1) & (table->size - 1);
	return at;
}

static void *table_get(const struct handle_table *table, __u64 tls)
{
	return table->size ? table->slots[slot_of(table, tls)].value : NULL;
}

static void table_grow(struct handle_table *table)
{
	struct handle_table larger = { .size = table->size ? 2 * table->size : 64,
				       .count = table->count };
	__u32 at;

	larger.slots = allocated(calloc(larger.size, sizeof(*larger.slots)));
	for (at = 0; at < table->size; at++)
		if (table->slots[at].value)
			larger.slots[slot_of(&larger, table->slots[at].tls)] = table->slots[at];
	free(table->slots);
	*table = larger;
}

/* `tls` must not be there yet. */
static void table_put(struct handle_table *table, __u64 tls, void *value)
{
	__u32 at;

	if (2 * table->count >= table->size)
		table_grow(table);
	at = slot_of(table, tls);
	table->slots[at].tls = tls;
	table->slots[at].value = value;
	table->count++;
}

static void *table_take(struct handle_table *table, __u64 tls)
{
	__u32 last = table->size - 1, hole, at;
	void *value = table_get(table, tls);

	if (!value)
		return NULL;
	table->count--;
	/* Those behind it came there by passing it: who is searched for from before it moves up. */
	for (at = hole = slot_of(table, tls); table->slots[at = (at + 1) & last].value;) {
		__u32 first = first_slot(table, table->slots[at].tls);

		if (((at - first) & last) >= ((at - hole) & last)) {
			table->slots[hole] = table->slots[at];
			hole = at;
		}
	}
	table->slots[hole].value = NULL;
	return value;
}

static void table_free(struct handle_table *table)
{
	__u32 at;

	for (at = 0; at < table->size; at++)
		free(table->slots[at].value);
	free(table->slots);
}
