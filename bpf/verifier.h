/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the verifier needs to see. */
#ifndef PROCTOR_VERIFIER_H
#define PROCTOR_VERIFIER_H

#ifdef __bpf__
/* In assembly, because clang compares one copy of a value and uses another, unbounded for the verifier. */
#define CLAMP(value, limit)                                                             \
	asm volatile("if %[v] <= %[l] goto +1\n%[v] = %[l]\n" : [v] "+r"(value) : [l] "i"(limit))
#else /* tests/bpf */
#define CLAMP(value, limit) ((value) = (value) <= (limit) ? (value) : (limit))
#endif

#endif
