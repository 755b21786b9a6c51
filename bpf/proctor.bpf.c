/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * All kernel programs as one object: the subjects share rings, scope and counters, and one load
 * is quicker than several. Order matters where a subject declares what a later one defines.
 */
#include "process.bpf.c"
#include "mapping.bpf.c"
#include "network.bpf.c"
#include "dns.bpf.c"
#include "handles.bpf.c"
#include "calls.bpf.c"
#include "pieces.bpf.c"
#include "tls.bpf.c"
#include "tie.bpf.c"
#include "files.bpf.c"
#include "protections.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
