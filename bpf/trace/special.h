/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The few syscalls that a program has to know by number, because the kernel's trace of them is
 * unlike that of others: the numbers are the kernel's ABI and do not change.
 */
#ifndef PROCTOR_TRACE_SPECIAL_H
#define PROCTOR_TRACE_SPECIAL_H

#include "task.h"

#define CLONE3 435 /* everywhere */

/* fork, vfork, clone, clone3: the child's first sys_exit is of the parent's call, with 0. */
static __always_inline bool is_fork(u8 abi, u16 number)
{
	if (number == CLONE3)
		return true;
	switch (abi) {
	case ABI_X86_64:
	case ABI_X32:
		return number == 56 || number == 57 || number == 58;
	case ABI_ARM64:
		return number == 220;
	default: /* i386 and arm have the old numbers in common */
		return number == 120 || number == 2 || number == 190;
	}
}

/* execve, execveat. */
static __always_inline bool is_exec(u8 abi, u16 number)
{
	switch (abi) {
	case ABI_X86_64:
		return number == 59 || number == 322;
	case ABI_X32:
		return number == 520 || number == 545;
	case ABI_ARM64:
		return number == 221 || number == 281;
	case ABI_I386:
		return number == 11 || number == 358;
	default:
		return number == 11 || number == 387;
	}
}

/* rt_sigreturn: the kernel forgets the number, so that sys_exit says -1. */
static __always_inline u16 sigreturn(u8 abi)
{
	switch (abi) {
	case ABI_X86_64:
		return 15;
	case ABI_X32:
		return 513;
	case ABI_ARM64:
		return 139;
	default: /* or 119, sigreturn, which nobody can tell apart here */
		return 173;
	}
}

static __always_inline u16 plain_number(long number, u8 abi)
{
	u64 plain = number;

	if (abi == ABI_X32)
		plain &= 0x3fffffff;
	/* A tracer or seccomp may put any number there; -1 says: skip the call. */
	return plain < 0xffff ? plain : 0xffff;
}

/*
 * At the exit. The kernel forgets that of rt_sigreturn; -1 that a program passed is no syscall, nor is
 * that of a call which a tracer skips.
 */
static __always_inline u16 left_number(long id, u8 abi, s64 result)
{
	return id == -1 && result != -ENOSYS ? sigreturn(abi) : plain_number(id, abi);
}

/* exit, exit_group: what is to be known of them is known at the entry. */
static __always_inline bool is_last(u8 abi, u16 number)
{
	switch (abi) {
	case ABI_X86_64:
	case ABI_X32:
		return number == 60 || number == 231;
	case ABI_ARM64:
		return number == 93 || number == 94;
	default:
		return number == 1 || number == (abi == ABI_I386 ? 252 : 248);
	}
}

#endif
