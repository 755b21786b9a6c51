/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Plain loads through any address, once the kernel is told the type behind it (6.2): they take a
 * tenth of a helper's time. Where one faults it gives 0.
 */
#ifndef PROCTOR_TYPED_H
#define PROCTOR_TYPED_H

#ifdef __bpf__
extern void *bpf_rdonly_cast(const void *object, u32 btf_id) __ksym __weak;

#define TYPED(type, address) \
	((type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(type)))
#else /* tests/bpf */
#define TYPED(type, address) ((type *)(address))
#endif

#endif
