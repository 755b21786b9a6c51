/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the registers of a syscall say at its exit, called in the machine's native way. */
#ifndef PROCTOR_REGISTERS_H
#define PROCTOR_REGISTERS_H

#ifdef __TARGET_ARCH_arm64
#define _TIF_32BIT (1 << 22)

static __always_inline u64 argument_in(struct pt_regs *regs, u32 number)
{
	switch (number) {
	case 0: return regs->orig_x0;
	case 1: return regs->user_regs.regs[1];
	case 2: return regs->user_regs.regs[2];
	case 3: return regs->user_regs.regs[3];
	case 4: return regs->user_regs.regs[4];
	case 5: return regs->user_regs.regs[5];
	default: return 0;
	}
}

static __always_inline long number_in(struct pt_regs *regs)
{
	return (s32)regs->syscallno;
}

static __always_inline long result_in(struct pt_regs *regs)
{
	return regs->user_regs.regs[0];
}
#else
#define TS_COMPAT 2 /* in a 32-bit call, whatever the code segment */

static __always_inline u64 argument_in(struct pt_regs *regs, u32 number)
{
	switch (number) {
	case 0: return regs->di;
	case 1: return regs->si;
	case 2: return regs->dx;
	case 3: return regs->r10;
	case 4: return regs->r8;
	case 5: return regs->r9;
	default: return 0;
	}
}

static __always_inline long number_in(struct pt_regs *regs)
{
	return (s32)regs->orig_ax; /* whose other half the kernel does not look at */
}

static __always_inline long result_in(struct pt_regs *regs)
{
	return regs->ax;
}
#endif

#endif
