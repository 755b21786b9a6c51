/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Paths that stand for a descriptor of the process itself: how a file without a name is linked
 * (open(2), O_TMPFILE), and how libc changes the mode of an O_PATH descriptor.
 */
#ifndef PROCTOR_DESCRIPTOR_NAMES_H
#define PROCTOR_DESCRIPTOR_NAMES_H

#include "file_text.h"

#define DIGITS_MAX 9 /* of a descriptor: a number that cannot overflow */

static __always_inline bool begins(const u8 *text, const char *with, u32 length)
{
	for (u32 i = 0; i < length; i++)
		if (text[i] != with[i])
			return false;
	return true;
}

static __always_inline u32 descriptor_folder(const u8 *text)
{
	if (begins(text, "/proc/self/fd/", 14))
		return 14;
	if (begins(text, "/dev/fd/", 8))
		return 8;
	return begins(text, "/proc/thread-self/fd/", 21) ? 21 : 0;
}

/* The descriptor that the scratch's text from `at` on names; -1 where it names none. */
__noinline int descriptor_named(u64 at)
{
	struct file_scratch *scratch = current_scratch();
	u32 folder;
	u8 *digits;
	int fd = 0;

	if (!scratch || at > TEXT_LAST_START)
		return -1;
	folder = descriptor_folder(scratch->text + at);
	if (!folder)
		return -1;
	digits = scratch->text + at + folder;
	for (u32 i = 0; i < DIGITS_MAX; i++) {
		if (!digits[i])
			return i ? fd : -1;
		if (digits[i] < '0' || digits[i] > '9')
			return -1;
		fd = fd * 10 + digits[i] - '0';
	}
	return -1;
}

static __always_inline bool has_place(struct file *file)
{
	u32 kind = file ? BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT : 0;

	return kind == S_IFREG || kind == S_IFDIR;
}

#endif
