/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Strings of the program. */
#ifndef PROCTOR_USER_TEXT_H
#define PROCTOR_USER_TEXT_H

/*
 * Bytes of the string with its NUL, cut to `bytes`; negative where it is not readable. Before 6.16
 * ("maccess: fix strncpy_from_user_nofault() empty string handling") the kernel says 0 of one that
 * is empty, and nothing else of which it says that.
 */
static __always_inline long read_user_text(void *to, u32 bytes, u64 pointer)
{
	long read = bpf_probe_read_user_str(to, bytes, (void *)pointer);

	return read ? read : 1;
}

#endif
