/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Records about files, with their paths and names.
 */
#ifndef PROCTOR_FILE_TEXT_H
#define PROCTOR_FILE_TEXT_H

#include "common.h"
#include "path.h"
#include "user_text.h"

#define TEXT_LAST_START (4 * PATH_MAX_BYTES)

/* A record with its text right after it, whichever it is. */
struct file_scratch {
	union {
		struct {
			u64 before;
			struct file_change_record change;
		};
		struct file_record file;
	};
	u8 text[TEXT_LAST_START + NAME_BYTES];
	u32 used; /* of text */
	u32 cut;
	struct path_walk walk; /* the stack has no room for it */
};

_Static_assert(sizeof(struct file_record) == 8 + sizeof(struct file_change_record), "text follows");

/* Programs at a syscall's exit run without preemption and do not nest. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct file_scratch);
} file_scratch SEC(".maps");

static __always_inline struct file_scratch *current_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&file_scratch, &zero);
}

/* Functions of their own are verified once and not in each round; with numbers only, as 5.10 has it. */
__noinline int append_place_component(void)
{
	struct file_scratch *scratch = current_scratch();

	if (!scratch)
		return COMPONENT_CUT;
	return append_component(scratch->text, &scratch->used, TEXT_LAST_START, &scratch->walk);
}

/* Appends a struct path's components. */
__noinline int append_place(u64 path_address)
{
	struct file_scratch *scratch = current_scratch();
	int component = COMPONENT_APPENDED;
	volatile u32 *used;
	u32 before;

	if (!scratch)
		return 0;
	used = &scratch->used;
	before = *used;
	begin_walk(&scratch->walk, (struct path *)path_address);
	for (u32 i = 0; i < PATH_COMPONENTS && component == COMPONENT_APPENDED; i++)
		component = append_place_component();
	if (component != COMPONENT_NONE_LEFT) {
		scratch->cut = 1;
		if (*used > before)
			*used -= 1; /* see path_text in records/decode.py */
	}
	return *used - before;
}

/* Appends a text of the program, without its NUL. -1: not readable. */
__noinline int append_text(u64 pointer)
{
	struct file_scratch *scratch = current_scratch();
	long read;
	u64 at;

	if (!scratch)
		return -1;
	at = *(volatile u32 *)&scratch->used;
	barrier_var(at);
	if (at > TEXT_LAST_START + NAME_BYTES - PATH_MAX_BYTES)
		return -1;
	read = read_user_text(scratch->text + at, PATH_MAX_BYTES, pointer);
	if (read < 0)
		return -1;
	scratch->used = at + read - 1;
	return read - 1;
}

static __always_inline u64 path_of(struct file *file)
{
	return (u64)file + bpf_core_field_offset(struct file, f_path);
}

#endif
