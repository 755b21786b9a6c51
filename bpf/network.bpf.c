/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TCP connections of processes in scope: opened, accepted, closed, with byte counts; and the first
 * bytes written, for a ClientHello names the server, and what is written after it tells by its form
 * which version the two agreed on: so no read need be looked at.
 */
#include "common.h"
#include <bpf/bpf_endian.h>

#define TLS_HANDSHAKE 0x16
#define TLS_FIRST_TYPE 0x14 /* change cipher spec */
#define TLS_LAST_TYPE 0x17  /* application data */
#define HELLO_SECOND_BYTES 32

enum tcp_state { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_CLOSE = 7, TCP_LISTEN = 10 };

enum connection_flag {
	CONNECTION_OPENING = 1,
	CONNECTION_WRITTEN = 2, /* the first bytes were looked at */
	CONNECTION_TIED = 4,
	CONNECTION_LATE = 8,
	CONNECTION_HELLO = 16, /* what was written was one; what follows tells the version */
};

struct connection {
	u64 id;
	u64 opened_ns;
	u64 start_ns; /* of the process */
	u64 cgroup;
	u32 pid;
	u32 flags;
};

/* By struct sock. An entry is deleted when the socket's state becomes CLOSE. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct connection);
} connections SEC(".maps");

static __always_inline void read_endpoints(struct sock *sk, struct endpoints *out)
{
	__builtin_memset(out, 0, sizeof(*out));
	out->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	out->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	out->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (out->family == AF_INET6) {
		BPF_CORE_READ_INTO(&out->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&out->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		BPF_CORE_READ_INTO((u32 *)out->local, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((u32 *)out->remote, sk, __sk_common.skc_daddr);
	}
}

/*
 * bytes_sent counts retransmissions, bytes_received the peer's FIN; bytes_acked would count SYN
 * and FIN (net/ipv4/tcp_input.c).
 */
static __always_inline void read_bytes(struct sock *sk, struct connection_record *record)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	u64 received = BPF_CORE_READ(tcp, bytes_received);

	if (received && (BPF_CORE_READ(sk, __sk_common.skc_flags) & (1UL << SOCK_DONE)))
		received--;
	record->bytes_sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	record->bytes_received = received;
}

static __always_inline void fill_connection(struct connection_record *record, u16 type,
					    struct sock *sk, struct connection *connection, s32 error)
{
	fill_head(&record->head, type, sizeof(*record), connection->start_ns);
	/* Most of these happen in no process's context: the connection knows whose it is. */
	record->head.pid = connection->pid;
	record->head.tid = connection->pid;
	record->head.cgroup = connection->cgroup;
	if (connection->flags & CONNECTION_LATE)
		record->head.flags |= FLAG_LATE;
	record->connection = connection->id;
	record->duration_ns = record->head.time_ns - connection->opened_ns;
	record->error = error;
	record->reserved = 0;
	read_bytes(sk, record);
	read_endpoints(sk, &record->endpoints);
}

static __always_inline void emit_connection(u16 type, struct sock *sk,
					    struct connection *connection, s32 error)
{
	struct connection_record *record;

	record = reserve(&lifecycle, sizeof(*record), LOSS_CONNECTION);
	if (!record)
		return;
	fill_connection(record, type, sk, connection, error);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

static __always_inline struct connection *add_connection(struct process *process, struct sock *sk,
							 u32 flags)
{
	struct connection fresh = {
		.id = unique_id(),
		.opened_ns = bpf_ktime_get_boot_ns(),
		.start_ns = process->start_ns,
		.cgroup = bpf_get_current_cgroup_id(),
		.pid = bpf_get_current_pid_tgid() >> 32,
		.flags = flags,
	};
	u64 key = (u64)sk;

	if (bpf_map_update_elem(&connections, &key, &fresh, BPF_ANY)) {
		lose(LOSS_CONNECTION, LOSS_MAP_FULL);
		return NULL;
	}
	return bpf_map_lookup_elem(&connections, &key);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state, struct sock *sk, int old_state, int new_state)
{
	u64 key = (u64)sk;
	struct connection *connection;
	struct process *process;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (new_state == TCP_SYN_SENT) {
		/* Only connect() leads here, in the caller's context. */
		process = watched();
		if (process)
			add_connection(process, sk, CONNECTION_OPENING);
		else
			bpf_map_delete_elem(&connections, &key); /* of a socket freed unseen */
		return 0;
	}
	if (new_state != TCP_ESTABLISHED && new_state != TCP_CLOSE)
		return 0;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection)
		return 0;
	if (new_state == TCP_ESTABLISHED) {
		emit_connection(RECORD_CONNECT, sk, connection, 0);
		connection->flags &= ~CONNECTION_OPENING;
		return 0;
	}
	if (connection->flags & CONNECTION_OPENING) {
		s32 error = BPF_CORE_READ(sk, sk_err);

		/* Closed by its owner before there was a result. */
		emit_connection(RECORD_CONNECT, sk, connection, error ? error : ECONNABORTED);
	} else {
		emit_connection(RECORD_CLOSE, sk, connection, BPF_CORE_READ(sk, sk_err));
	}
	bpf_map_delete_elem(&connections, &key);
	return 0;
}

/* The TCP socket behind a descriptor of the current process. */
static __always_inline struct sock *tcp_socket_of(s32 fd)
{
	struct file *file = file_of(current_task(), fd);
	struct socket *socket;
	struct sock *sk;
	u16 family;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk)
		return NULL;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return NULL;
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP ? sk : NULL;
}

/* Over before it was accepted: no state change will come that would end it. */
static __always_inline void close_if_over(struct sock *sk, struct connection *connection)
{
	struct connection ended = *connection;
	u64 key = (u64)sk;

	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE)
		return;
	if (!bpf_map_delete_elem(&connections, &key))
		emit_connection(RECORD_CLOSE, sk, &ended, BPF_CORE_READ(sk, sk_err));
}

static __always_inline int accepted(struct trace_event_raw_sys_exit *ctx)
{
	struct process *process;
	struct connection *connection;
	struct sock *sk;
	s64 fd = BPF_CORE_READ(ctx, ret);

	if (fd < 0)
		return 0;
	process = watched();
	if (!process)
		return 0;
	sk = tcp_socket_of(fd);
	if (!sk)
		return 0;
	connection = add_connection(process, sk, 0);
	if (!connection)
		return 0;
	emit_connection(RECORD_ACCEPT, sk, connection, 0);
	close_if_over(sk, connection);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_accept")
int exit_accept(struct trace_event_raw_sys_exit *ctx)
{
	return accepted(ctx);
}

SEC("tracepoint/syscalls/sys_exit_accept4")
int exit_accept4(struct trace_event_raw_sys_exit *ctx)
{
	return accepted(ctx);
}

/* Whether these bytes begin TLS; what can be is sent up. */
static __always_inline bool emit_hello(struct process *process, u64 connection, u64 buffer,
				       u64 size, bool is_first)
{
	struct hello_record *record;
	u8 first[2] = {};

	if (size < 16)
		return false;
	if (bpf_probe_read_user(first, sizeof(first), (void *)buffer)) {
		lose(LOSS_HELLO, LOSS_UNREADABLE);
		return false;
	}
	if (first[1] != 3 || (is_first ? first[0] != TLS_HANDSHAKE
				       : first[0] < TLS_FIRST_TYPE || first[0] > TLS_LAST_TYPE))
		return false;
	record = reserve(&lifecycle, sizeof(*record) + HELLO_MAX_BYTES, LOSS_HELLO);
	if (!record)
		return true;
	if (!is_first && size > HELLO_SECOND_BYTES)
		size = HELLO_SECOND_BYTES;
	CLAMP(size, HELLO_MAX_BYTES);
	fill_head(&record->head, RECORD_CLIENT_HELLO, sizeof(*record) + size, process->start_ns);
	record->connection = connection;
	if (bpf_probe_read_user(record + 1, size, (void *)buffer)) {
		lose(LOSS_HELLO, LOSS_UNREADABLE);
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
		return true;
	}
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return true;
}

/* tie.bpf.c: is this buffer the beginning of a TLS record that a handle of ours just made? */
static __always_inline bool tie(struct process *process, u64 connection, u64 buffer, u64 size);

/* A process in scope writes to a socket. */
static __always_inline void socket_write(struct process *process, s32 fd, u64 buffer, u64 size)
{
	struct connection *connection;
	struct sock *sk;
	u64 key;

	sk = tcp_socket_of(fd);
	if (!sk)
		return;
	key = (u64)sk;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection) {
		u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

		if (state == TCP_CLOSE || state == TCP_LISTEN)
			return; /* this write fails */
		/* Older than the watch, or inherited from outside the scope. */
		connection = add_connection(process, sk, CONNECTION_LATE);
		if (!connection)
			return;
		emit_connection(RECORD_COUNTERS, sk, connection, 0);
	}
	if (!(connection->flags & CONNECTION_WRITTEN)) {
		connection->flags |= CONNECTION_WRITTEN;
		if (emit_hello(process, connection->id, buffer, size, true))
			connection->flags |= CONNECTION_HELLO;
	} else if (connection->flags & CONNECTION_HELLO) {
		connection->flags &= ~CONNECTION_HELLO;
		emit_hello(process, connection->id, buffer, size, false);
	}
	if (!(connection->flags & CONNECTION_TIED) && process->untied &&
	    tie(process, connection->id, buffer, size))
		connection->flags |= CONNECTION_TIED;
}

static __always_inline int plain_write(struct trace_event_raw_sys_enter *ctx)
{
	struct process *process = watched();

	if (process)
		socket_write(process, BPF_CORE_READ(ctx, args[0]), BPF_CORE_READ(ctx, args[1]),
			     BPF_CORE_READ(ctx, args[2]));
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_write")
int enter_write(struct trace_event_raw_sys_enter *ctx)
{
	return plain_write(ctx);
}

SEC("tracepoint/syscalls/sys_enter_sendto")
int enter_sendto(struct trace_event_raw_sys_enter *ctx)
{
	return plain_write(ctx);
}

/*
 * Of several buffers the first: a TLS record's first bytes lie in one. A vector that can't be read
 * is no loss of ours: the call itself is about to fail with EFAULT, or has nothing to send.
 */
SEC("tracepoint/syscalls/sys_enter_writev")
int enter_writev(struct trace_event_raw_sys_enter *ctx)
{
	struct process *process = watched();
	struct user_iovec iovec;

	if (process &&
	    !bpf_probe_read_user(&iovec, sizeof(iovec), (void *)BPF_CORE_READ(ctx, args[1])))
		socket_write(process, BPF_CORE_READ(ctx, args[0]), iovec.base, iovec.length);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_sendmsg")
int enter_sendmsg(struct trace_event_raw_sys_enter *ctx)
{
	struct process *process = watched();
	struct user_msghdr message;
	struct user_iovec iovec;

	if (process &&
	    !bpf_probe_read_user(&message, sizeof(message), (void *)BPF_CORE_READ(ctx, args[1])) &&
	    !bpf_probe_read_user(&iovec, sizeof(iovec), (void *)message.iov))
		socket_write(process, BPF_CORE_READ(ctx, args[0]), iovec.base, iovec.length);
	return 0;
}

/* Byte counts of connections that live: read every now and then, whatever network namespace. */
SEC("iter/bpf_map_elem")
int connection_rows(struct bpf_iter__bpf_map_elem *ctx)
{
	struct connection_record record = {};
	struct connection *value = ctx->value, connection;
	u64 *key = ctx->key;

	if (!key || !value)
		return 0;
	connection = *value;
	if (connection.flags & CONNECTION_OPENING)
		return 0;
	fill_connection(&record, RECORD_COUNTERS, (struct sock *)*key, &connection, 0);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
