/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * All programs of the syscall tracer as one object: they share threads, scope and rings.
 */
#include "calls.bpf.c"
#include "life.bpf.c"
#include "signals.bpf.c"
#include "io_uring.bpf.c"
#include "threads.bpf.c"
#include "count.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
