/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * DNS over UDP: the messages as they are; user space reads them.
 */
#include "common.h"
#include <bpf/bpf_endian.h>

#define DNS_PORT 53

struct dns_owner {
	u64 start_ns;
	u64 cgroup;
	u32 pid;
	u32 reserved;
};

/* Who asked: socket cookie -> process, for the answers, which arrive in no process's context. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct dns_owner);
} dns_sockets SEC(".maps");

struct dns_packet {
	struct endpoints endpoints;
	u32 payload; /* offset of the DNS message */
	u32 bytes;
};

/* UDP from or to port 53. Extension headers are not followed: resolvers send none. */
static __always_inline bool parse_dns(struct __sk_buff *skb, struct dns_packet *packet, bool sent)
{
	u16 ports[4]; /* source, destination, length, checksum */
	u8 first = 0, protocol = 0;
	u32 udp, at = sent ? 12 : 16;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return false;
	if (first >> 4 == 4) {
		if (bpf_skb_load_bytes(skb, 9, &protocol, 1) || protocol != IPPROTO_UDP)
			return false;
		udp = (first & 15) * 4;
	} else {
		if (bpf_skb_load_bytes(skb, 6, &protocol, 1) || protocol != IPPROTO_UDP)
			return false;
		udp = 40;
	}
	if (bpf_skb_load_bytes(skb, udp, ports, sizeof(ports)))
		return false;
	if (ports[sent ? 1 : 0] != bpf_htons(DNS_PORT))
		return false;
	packet->endpoints.local_port = bpf_ntohs(ports[sent ? 0 : 1]);
	packet->endpoints.remote_port = DNS_PORT;
	if (udp == 40 && first >> 4 == 6) {
		packet->endpoints.family = AF_INET6;
		bpf_skb_load_bytes(skb, sent ? 8 : 24, packet->endpoints.local, 16);
		bpf_skb_load_bytes(skb, sent ? 24 : 8, packet->endpoints.remote, 16);
	} else {
		packet->endpoints.family = AF_INET;
		bpf_skb_load_bytes(skb, at, packet->endpoints.local, 4);
		bpf_skb_load_bytes(skb, sent ? 16 : 12, packet->endpoints.remote, 4);
	}
	packet->payload = udp + 8;
	packet->bytes = skb->len > packet->payload ? skb->len - packet->payload : 0;
	return packet->bytes >= 12;
}

static __always_inline void emit_dns(struct __sk_buff *skb, struct dns_packet *packet,
				     struct dns_owner *owner, u8 direction)
{
	u64 size = packet->bytes;
	struct dns_record *record;

	CLAMP(size, DNS_MAX_BYTES);

	record = reserve(&lifecycle, sizeof(*record) + DNS_MAX_BYTES, LOSS_DNS);
	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	record->head.length = sizeof(*record) + size;
	record->head.type = RECORD_DNS;
	record->head.flags = packet->bytes > DNS_MAX_BYTES ? FLAG_TRUNCATED : 0;
	record->head.time_ns = bpf_ktime_get_boot_ns();
	record->head.start_ns = owner->start_ns;
	record->head.pid = owner->pid;
	record->head.tid = owner->pid;
	record->head.cgroup = owner->cgroup;
	record->endpoints = packet->endpoints;
	record->direction = direction;
	record->total_bytes = packet->bytes;
	/* Said again for verifiers that learn no lower bound from parse_dns: a DNS head is 12 bytes. */
	if (size < 12 || bpf_skb_load_bytes(skb, packet->payload, record + 1, size)) {
		lose(LOSS_DNS, LOSS_UNREADABLE);
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
		return;
	}
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* These return 1 always: they look, they never drop. UDP is sent in the sender's own context. */
SEC("cgroup_skb/egress")
int dns_egress(struct __sk_buff *skb)
{
	struct dns_packet packet = {};
	struct dns_owner owner = {};
	struct task_struct *task;
	struct process *process;
	u64 cookie;
	u32 tgid;

	if (!parse_dns(skb, &packet, true))
		return 1;
	task = current_task();
	tgid = BPF_CORE_READ(task, tgid);
	process = bpf_map_lookup_elem(&processes, &tgid);
	if (!process || (process->flags & PROCESS_EXCLUDED))
		return 1;
	owner.start_ns = process->start_ns;
	owner.pid = tgid;
	owner.cgroup = bpf_skb_cgroup_id(skb); /* of the socket: the task's has no helper here */
	cookie = bpf_get_socket_cookie(skb);
	bpf_map_update_elem(&dns_sockets, &cookie, &owner, BPF_ANY);
	emit_dns(skb, &packet, &owner, DIRECTION_SENT);
	return 1;
}

SEC("cgroup_skb/ingress")
int dns_ingress(struct __sk_buff *skb)
{
	struct dns_packet packet = {};
	struct dns_owner *owner;
	u64 cookie;

	if (!parse_dns(skb, &packet, false))
		return 1;
	cookie = bpf_get_socket_cookie(skb);
	owner = bpf_map_lookup_elem(&dns_sockets, &cookie);
	if (owner)
		emit_dns(skb, &packet, owner, DIRECTION_RECEIVED);
	return 1;
}
