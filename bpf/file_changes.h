/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Calls that name files by path: a record each.
 */
#ifndef PROCTOR_FILE_CHANGES_H
#define PROCTOR_FILE_CHANGES_H

#include "descriptor_names.h"
#include "file_text.h"
#include "registers.h"

static __always_inline u64 working_directory(void)
{
	u64 fs = (u64)BPF_CORE_READ(current_task(), fs);

	return fs + bpf_core_field_offset(struct fs_struct, pwd);
}

static __always_inline u64 root_directory(void)
{
	u64 fs = (u64)BPF_CORE_READ(current_task(), fs);

	return fs + bpf_core_field_offset(struct fs_struct, root);
}

/* Appends a name as it was passed, and where it counts from. */
static __always_inline void append_name(struct file_scratch *scratch, struct pt_regs *regs, u8 path,
					u8 directory, bool follows, u16 *path_bytes,
					u16 *base_bytes)
{
	u64 pointer = path == FILE_NO_ARGUMENT ? 0 : argument_in(regs, path);
	u64 base = working_directory(), at = *(volatile u32 *)&scratch->used;
	s32 fd = directory == FILE_NO_ARGUMENT ? AT_FDCWD : (s32)argument_in(regs, directory);
	int bytes = 0;

	/* None, as of utimensat: the descriptor itself is meant. */
	if (pointer) {
		bytes = append_text(pointer);
		if (bytes < 0) {
			scratch->change.head.flags |= FLAG_UNREADABLE;
			lose(LOSS_FILE, LOSS_UNREADABLE);
			return;
		}
	}
	if (follows && bytes > 0) {
		struct file *named = file_of(current_task(), descriptor_named(at));

		if (has_place(named)) {
			scratch->used = at; /* the kernel's path instead of the text */
			*base_bytes = append_place(path_of(named));
			return;
		}
	}
	*path_bytes = bytes;
	barrier_var(at);
	if (bytes > 0 && at <= TEXT_LAST_START && scratch->text[at] == '/') {
		base = root_directory();
	} else if (fd != AT_FDCWD) {
		struct file *file = file_of(current_task(), fd);

		if (!file) {
			scratch->change.head.flags |= FLAG_UNREADABLE;
			return;
		}
		base = path_of(file);
	}
	*base_bytes = append_place(base);
}

static __always_inline u64 flags_in(struct file_rule *rule, struct pt_regs *regs)
{
	u64 flags, given = rule->flags == FILE_NO_ARGUMENT ? 0 : argument_in(regs, rule->flags);

	if (rule->options & FILE_RULE_FLAGS_IN_MEMORY) {
		if (bpf_probe_read_user(&flags, sizeof(flags), (void *)given)) {
			lose(LOSS_FILE, LOSS_UNREADABLE);
			return 0;
		}
		given = flags;
	}
	if (rule->options & FILE_RULE_TRUNCATES)
		given |= O_CREAT | O_TRUNC;
	return given;
}

/* Whether a symbolic link at the end of its first name is followed. */
static __always_inline bool follows_links(struct file_rule *rule, u64 flags)
{
	switch (rule->operation) {
	case FILE_LINK:
		return flags & AT_SYMLINK_FOLLOW;
	case FILE_PATH_ATTRIBUTES:
		return !(rule->options & FILE_RULE_NO_FOLLOW || flags & AT_SYMLINK_NOFOLLOW);
	case FILE_PATH_RESIZE:
		return true;
	default:
		return false;
	}
}

/* Static functions are checked at each call, but laid out once. */
static __noinline void emit_change(struct process *process, struct file_rule *rule,
				   struct pt_regs *regs, long result)
{
	struct file_scratch *scratch = current_scratch();
	u32 flags = flags_in(rule, regs), operation = rule->operation;
	struct file_change_record *record;
	u64 size;

	if (!scratch)
		return;
	record = &scratch->change;
	fill_head(&record->head, RECORD_FILE_CHANGE, sizeof(*record), process->start_ns);
	if (operation == FILE_DELETE && flags & AT_REMOVEDIR)
		operation = FILE_DELETE_DIRECTORY;
	record->operation = operation;
	record->flags_given = flags;
	record->error = result < 0 ? -result : 0;
	record->path_bytes = record->base_bytes = 0;
	record->new_path_bytes = record->new_base_bytes = 0;
	record->reserved = 0;
	scratch->used = 0;
	scratch->cut = 0;

	append_name(scratch, regs, rule->path, rule->file, follows_links(rule, flags),
		    &record->path_bytes, &record->base_bytes);
	if (rule->other_path != FILE_NO_ARGUMENT)
		append_name(scratch, regs, rule->other_path, rule->other, false,
			    &record->new_path_bytes, &record->new_base_bytes);
	if (*(volatile u32 *)&scratch->cut)
		record->head.flags |= FLAG_TRUNCATED;
	size = sizeof(*record) + *(volatile u32 *)&scratch->used;
	CLAMP(size, sizeof(*record) + sizeof(scratch->text));
	record->head.length = size;
	if (bpf_ringbuf_output(&lifecycle, record, size, BPF_RB_NO_WAKEUP))
		lose(LOSS_FILE, LOSS_RING_FULL);
}

#endif
