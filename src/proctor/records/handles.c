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

static void *allocated(void *memory)
{
	/* As in a program's interpreter: nothing can be told apart from nothing known here. */
	if (!memory)
		abort();
	return memory;
}

static __u32 slot_of(const struct handle_table *table, __u64 tls)
{
	__u32 at = (tls * 0x9E3779B97F4A7C15ULL) >> 32 & (table->size - 1);

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
	__u32 free_at, at;
	void *value;

	if (!table->size)
		return NULL;
	free_at = at = slot_of(table, tls);
	value = table->slots[at].value;
	if (!value)
		return NULL;
	table->slots[at].value = NULL;
	table->count--;
	/* Those behind it came there by passing it: each goes where it is found from now on. */
	while (table->slots[at = (at + 1) & (table->size - 1)].value) {
		struct handle_slot moved = table->slots[at];

		table->slots[at].value = NULL;
		free_at = slot_of(table, moved.tls);
		table->slots[free_at] = moved;
	}
	return value;
}

static void table_free(struct handle_table *table)
{
	__u32 at;

	for (at = 0; at < table->size; at++)
		free(table->slots[at].value);
	free(table->slots);
}
