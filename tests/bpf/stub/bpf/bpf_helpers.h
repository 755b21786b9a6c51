/*
 * Stands in for libbpf's header of this name: the helpers are functions of kernel.c, and maps are
 * plain variables whose types that file asks for their sizes.
 */
#ifndef STUB_BPF_HELPERS_H
#define STUB_BPF_HELPERS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stddef.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#define barrier_var(var) asm volatile("" : "+r"(var))

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
long bpf_map_delete_elem(void *map, const void *key);

void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void *record, __u64 flags);
void bpf_ringbuf_discard(void *record, __u64 flags);
long bpf_ringbuf_output(void *ring, void *record, __u64 size, __u64 flags);
__u64 bpf_ringbuf_query(void *ring, __u64 what);
long bpf_seq_write(void *seq, const void *data, __u32 size);

long bpf_probe_read_user(void *to, __u32 size, const void *from);
long bpf_probe_read_user_str(void *to, __u32 size, const void *from);
long bpf_probe_read_kernel(void *to, __u32 size, const void *from);
long bpf_probe_read_kernel_str(void *to, __u32 size, const void *from);
long bpf_skb_load_bytes(const void *skb, __u32 offset, void *to, __u32 size);

__u64 bpf_get_current_task(void);
__u64 bpf_get_current_pid_tgid(void);
__u64 bpf_get_current_cgroup_id(void);
__u64 bpf_get_current_ancestor_cgroup_id(int level);
long bpf_get_current_comm(void *to, __u32 size);
__u32 bpf_get_smp_processor_id(void);
__u64 bpf_ktime_get_boot_ns(void);
__u64 bpf_get_attach_cookie(void *context);
__u64 bpf_get_socket_cookie(void *skb);
__u64 bpf_skb_cgroup_id(void *skb);
long bpf_send_signal_thread(__u32 signal);
struct task_struct;
struct task_struct *bpf_get_current_task_btf(void);
long bpf_task_pt_regs(struct task_struct *task);
long bpf_find_vma(struct task_struct *task, __u64 address, void *callback, void *context, __u64 flags);
long bpf_tail_call(void *context, void *programs, __u32 index);

#endif
