/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The socket behind each TLS handle.
 *
 * At BIO_write inside a TLS call: the first bytes of the TLS record just made. At the socket
 * write: the first bytes of the buffer. Equal means this handle owns that socket. It holds for
 * programs that give OpenSSL the socket and for those that move the bytes themselves (asyncio,
 * Node), on whatever thread, and needs one hit a connection.
 *
 * TLS inside of TLS: what SSL_write takes is compared, too. Equal means that the inner handle is
 * carried where the one below is.
 */
#include "common.h"

#define RECORD_START_BYTES 43 /* past the explicit nonce of TLS 1.2, which may count up from 0 */

struct record_start {
	u8 bytes[48];
};

struct record_owner {
	u64 tls;
	struct handle_key key;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct record_start);
	__type(value, struct record_owner);
} record_starts SEC(".maps");

static __always_inline bool read_record_start(struct record_start *start, u64 buffer, u64 size)
{
	__builtin_memset(start, 0, sizeof(*start));
	if (size < RECORD_START_BYTES)
		return false;
	if (bpf_probe_read_user(start->bytes, RECORD_START_BYTES, (void *)buffer)) {
		lose(LOSS_TIE, LOSS_UNREADABLE);
		return false;
	}
	return start->bytes[0] >= 0x14 && start->bytes[0] <= 0x17 && start->bytes[1] == 3;
}

SEC("uprobe")
int BPF_KPROBE(bio_write_enter, u64 bio, u64 buffer, int size)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &thread);
	struct record_owner owner = {};
	struct record_start start;

	if (!call || call->tied || size <= 0)
		return 0;
	if (call->handshake && call->stack <= PT_REGS_SP(ctx))
		return 0; /* it is over: this belongs to whoever called it */
	if (!read_record_start(&start, buffer, size))
		return 0;
	owner.tls = call->tls;
	owner.key = call->key;
	bpf_map_update_elem(&record_starts, &start, &owner, BPF_ANY);
	return 0;
}

static __always_inline bool tie(struct process *process, u64 connection, u64 buffer, u64 size)
{
	struct record_owner *owner;
	struct record_start start;
	struct handle *handle;

	if (!read_record_start(&start, buffer, size))
		return false;
	owner = bpf_map_lookup_elem(&record_starts, &start);
	/* Another process that passes our ciphertext on (a proxy) has a connection of its own. */
	if (!owner || owner->key.tgid != bpf_get_current_pid_tgid() >> 32)
		return false;
	handle = bpf_map_lookup_elem(&handles, &owner->key);
	if (!handle || handle->id != owner->tls)
		return false;
	set_connection(process, handle, connection);
	bpf_map_delete_elem(&record_starts, &start);
	return true;
}
