/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The TLS calls a thread is in: mostly one; in TLS inside of TLS several, each made by the one
 * around it (SSL_write, whose BIO calls the SSL_write of the connection below).
 *
 * Some never return: longjmp, an exception or the thread's end leaves them. The stack tells. It
 * grows down, so a call lies below the one around it; one that does not lie above whoever enters or
 * returns now has been left.
 */
#include "common.h"

#define OUTER_CALLS_MAX 3

#ifdef __TARGET_ARCH_arm64
#define RETURN_ADDRESS_BYTES 0 /* it comes in a register */
#else
#define RETURN_ADDRESS_BYTES 8
#endif

struct call {
	struct handle_key key;
	u64 tls;
	u64 buffer;
	u64 size;      /* as asked for; for a read: as returned */
	u64 out;       /* where the _ex functions put the count */
	u64 position;
	u64 stream_bytes;
	u64 start_ns;
	u64 stack;     /* pointer at entry */
	u32 number;
	u16 record_flags;
	u8 direction;
	u8 tied;
	u8 skipped;
	u8 handshake;  /* we see no return of it */
	u8 outer;      /* how many calls it was made in */
	u8 reserved[5];
};

/* The innermost call of each thread; after a handshake, the handle it was about. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct call);
} calls SEC(".maps");

struct outer_key {
	u64 thread;
	u64 level; /* 1: of the outermost */
};

/* The calls around those. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct outer_key);
	__type(value, struct call);
} outer_calls SEC(".maps");

/* The thread is back in the call around this one, which takes its place; or in none: NULL. */
static __always_inline struct call *leave_call(u64 thread, struct call *call)
{
	struct outer_key key = { .thread = thread, .level = call->outer };
	struct call *outer;

	if (call->outer) {
		outer = bpf_map_lookup_elem(&outer_calls, &key);
		if (outer) {
			*call = *outer;
			bpf_map_delete_elem(&outer_calls, &key);
			return call;
		}
	}
	bpf_map_delete_elem(&calls, &thread);
	return NULL;
}

static __always_inline void forget_thread(u64 thread)
{
	struct call *call = bpf_map_lookup_elem(&calls, &thread);

	for (int i = 0; i <= OUTER_CALLS_MAX && call; i++)
		call = leave_call(thread, call);
}

/*
 * Put by the call that a new one is made in, for its return; drop those that were left. The same
 * handle again is one call in two forms: LibreSSL's SSL_write_ex calls SSL_write.
 */
static __always_inline void put_by_outer(u64 thread, struct call *call)
{
	struct call *outer = bpf_map_lookup_elem(&calls, &thread);
	struct outer_key key = { .thread = thread };

	for (int i = 0; i <= OUTER_CALLS_MAX && outer; i++) {
		if (!outer->handshake && outer->stack > call->stack &&
		    outer->key.ssl != call->key.ssl)
			break;
		outer = leave_call(thread, outer);
	}
	if (!outer)
		return;
	call->outer = outer->outer;
	key.level = outer->outer + 1;
	if (key.level <= OUTER_CALLS_MAX &&
	    !bpf_map_update_elem(&outer_calls, &key, outer, BPF_ANY))
		call->outer = key.level;
	else
		lose(LOSS_TLS, LOSS_MAP_FULL); /* its return will find no call */
}

static __always_inline bool enter_call(u64 thread, struct call *call)
{
	/* Before 6.4 maps return an int, whose sign does not reach the upper half of a long. */
	int error = bpf_map_update_elem(&calls, &thread, call, BPF_NOEXIST);

	if (error == -EEXIST) {
		put_by_outer(thread, call);
		error = bpf_map_update_elem(&calls, &thread, call, BPF_ANY);
	}
	if (error)
		lose(LOSS_TLS, LOSS_MAP_FULL);
	return !error;
}

/* The call that returns, made the thread's innermost; NULL if its entry was not noted. */
static __always_inline struct call *returning_call(u64 thread, u64 stack_after)
{
	struct call *call = bpf_map_lookup_elem(&calls, &thread);
	u64 stack = stack_after - RETURN_ADDRESS_BYTES;

	for (int i = 0; i <= OUTER_CALLS_MAX && call; i++) {
		if (!call->handshake && call->stack >= stack)
			break;
		call = leave_call(thread, call);
	}
	return call && call->stack == stack ? call : NULL;
}
