/* SPDX-License-Identifier: Apache-2.0 */
/* What each TLS handle sent last, by the rule of records/repeats.py. */
#include <stdlib.h>
#include <string.h>

enum { REPEAT_BLOCK_BYTES = 1024 };

struct repeat_limits {
	__u32 piece_min_bytes;
	__u32 body_max_bytes;
	__u32 repeated_max_bytes;
	__u32 memory_max_bytes;
	__u32 handle_bytes;
	__u32 head_max_bytes;
};

struct repeat_body {
	__u64 tls;
	__u64 start_ns;          /* of the process */
	__u64 begins_at;         /* its place in the stream */
	__u64 repeated_bytes;    /* since it was written whole */
	__u8 *data;
	__u32 size_bytes;
	__u32 room_bytes;
	__u32 pid;
	struct repeat_body *older, *newer; /* by when they were heard of */
	int is_new;              /* nothing was remembered of it yet, see `inherit` */
};

struct repeat_spot {
	struct repeat_body *body;
	__u32 at;                /* the place in the body */
	__u32 skipped_bytes;     /* of the piece's first bytes, which come before the body */
	__u32 size_bytes;        /* how many bytes after them belong there */
};

struct repeat_memory {
	struct repeat_limits limits;
	struct handle_table bodies;
	struct repeat_body *oldest, *newest;
	__u64 size_bytes;        /* what they count for */
};

static struct repeat_memory *proctor_memory_new(const struct repeat_limits *limits)
{
	struct repeat_memory *memory = allocated(calloc(1, sizeof(*memory)));

	memory->limits = *limits;
	return memory;
}

static void proctor_memory_free(struct repeat_memory *memory)
{
	struct repeat_body *body;

	for (body = memory->oldest; body; body = body->newer)
		free(body->data);
	table_free(&memory->bodies);
	free(memory);
}

static void unlink_body(struct repeat_memory *memory, struct repeat_body *body)
{
	*(body->older ? &body->older->newer : &memory->oldest) = body->newer;
	*(body->newer ? &body->newer->older : &memory->newest) = body->older;
}

static void make_newest(struct repeat_memory *memory, struct repeat_body *body)
{
	body->older = memory->newest;
	body->newer = NULL;
	*(memory->newest ? &memory->newest->newer : &memory->oldest) = body;
	memory->newest = body;
}

static void give_room(struct repeat_body *body, __u32 size_bytes)
{
	if (size_bytes <= body->room_bytes)
		return;
	body->room_bytes = size_bytes + size_bytes / 4;
	body->data = allocated(realloc(body->data, body->room_bytes));
}

/* Its memory, too: what is remembered is to be bounded in truth. */
static void empty_body(struct repeat_memory *memory, struct repeat_body *body)
{
	memory->size_bytes -= body->size_bytes;
	free(body->data);
	body->data = NULL;
	body->size_bytes = body->room_bytes = 0;
	body->repeated_bytes = 0;
}

static struct repeat_body *new_body(struct repeat_memory *memory,
				    const struct tls_data_record *piece)
{
	struct repeat_body *body = allocated(calloc(1, sizeof(*body)));

	body->tls = piece->tls;
	body->pid = piece->head.pid;
	body->start_ns = piece->head.start_ns;
	body->is_new = 1;
	table_put(&memory->bodies, body->tls, body);
	make_newest(memory, body);
	memory->size_bytes += memory->limits.handle_bytes;
	return body;
}

static void inherit(struct repeat_memory *memory, struct repeat_body *body)
{
	const struct repeat_body *other;

	/* Of no body that is new has anything been remembered. */
	body->is_new = 0;
	for (other = memory->newest; other; other = other->older)
		if (other->size_bytes && other->pid == body->pid &&
		    other->start_ns == body->start_ns)
			break;
	/* With so many repeats this is the next request. */
	if (!other || other == body || other->repeated_bytes >= memory->limits.repeated_max_bytes)
		return;
	give_room(body, other->size_bytes);
	memcpy(body->data, other->data, other->size_bytes);
	memory->size_bytes += other->size_bytes;
	body->size_bytes = other->size_bytes;
	body->repeated_bytes = other->repeated_bytes;
}

static void forget_the_oldest(struct repeat_memory *memory)
{
	struct repeat_body *body;

	while (memory->size_bytes > memory->limits.memory_max_bytes && memory->bodies.count > 1) {
		body = memory->oldest;
		unlink_body(memory, body);
		table_take(&memory->bodies, body->tls);
		memory->size_bytes -= memory->limits.handle_bytes + body->size_bytes;
		free(body->data);
		free(body);
	}
}

/*
 * Where a piece of `size_bytes` belongs, of which the first `beginning_bytes` lie at `beginning`
 * if it is a call's first piece. To be asked of every piece that was sent and has bytes. 0: it is
 * to be passed over. What the spot names is there until the next question.
 */
static int proctor_memory_spot(struct repeat_memory *memory, const struct tls_data_record *piece,
			       __u32 size_bytes, const void *beginning, __u32 beginning_bytes,
			       struct repeat_spot *spot)
{
	struct repeat_body *body = table_get(&memory->bodies, piece->tls);
	__u64 place = piece->stream_bytes + piece->position;
	const struct repeat_limits *limits = &memory->limits;
	__u32 skipped_bytes = 0;
	int belongs;
	__s64 at;

	if (beginning_bytes > limits->head_max_bytes)
		beginning_bytes = limits->head_max_bytes;
	if (beginning_bytes >= 5 && !memcmp(beginning, "POST ", 5)) {
		const __u8 *blank = memmem(beginning, beginning_bytes, "\r\n\r\n", 4);

		skipped_bytes = blank ? blank + 4 - (const __u8 *)beginning : size_bytes;
		if (!body)
			body = new_body(memory, piece);
		body->begins_at = place + skipped_bytes;
		if (body->repeated_bytes >= limits->repeated_max_bytes)
			empty_body(memory, body);
	} else if (!body) {
		return 0;
	}
	at = place + skipped_bytes - body->begins_at;
	size_bytes = size_bytes > skipped_bytes ? size_bytes - skipped_bytes : 0;
	if (at >= 0 && at < limits->body_max_bytes && size_bytes > limits->body_max_bytes - at)
		size_bytes = limits->body_max_bytes - at;
	belongs = at >= 0 && at < limits->body_max_bytes && size_bytes >= limits->piece_min_bytes;
	if (belongs) {
		unlink_body(memory, body);
		make_newest(memory, body);
		if (body->is_new)
			inherit(memory, body);
	}
	if (memory->size_bytes > limits->memory_max_bytes)
		forget_the_oldest(memory);
	spot->body = body;
	spot->at = at;
	spot->skipped_bytes = skipped_bytes;
	spot->size_bytes = size_bytes;
	return belongs;
}

/* Remembers bytes at a place that a spot names. */
static void proctor_memory_put(struct repeat_memory *memory, struct repeat_body *body, __u32 at,
			       const void *data, __u32 size_bytes)
{
	__u32 before = body->size_bytes, end = at + size_bytes;

	if (end > before) {
		give_room(body, end);
		if (at > before)
			memset(body->data + before, 0, at - before);
		body->size_bytes = end;
		memory->size_bytes += end - before;
	}
	memcpy(body->data + at, data, size_bytes);
}

/* What was written last may not be in the recording: all is to be written whole again. */
static void proctor_memory_distrust(struct repeat_memory *memory)
{
	struct repeat_body *body;

	for (body = memory->oldest; body; body = body->newer)
		body->repeated_bytes = memory->limits.repeated_max_bytes;
}

/*
 * Remembers at a spot the `came` that belong there. Writes down where runs of blocks lie that were
 * remembered already, counted from the piece's first byte, and returns how many: blocks that would
 * be of one run more than `runs_max` count as different.
 */
static __u32 proctor_remember(struct repeat_memory *memory, const struct repeat_spot *spot,
			      const void *came, struct tls_repeat_run *runs, __u32 runs_max)
{
	struct repeat_body *body = spot->body;
	const __u8 *new = came;
	__u32 count = 0, at, block, compared = 0;
	int in_run = 0;

	if (body->size_bytes > spot->at &&
	    body->repeated_bytes < memory->limits.repeated_max_bytes) {
		compared = body->size_bytes - spot->at;
		if (compared > spot->size_bytes)
			compared = spot->size_bytes;
	}
	for (at = 0; at < compared; at += block) {
		__u8 *old = body->data + spot->at + at;

		block = compared - at < REPEAT_BLOCK_BYTES ? compared - at : REPEAT_BLOCK_BYTES;
		if (memcmp(old, new + at, block)) {
			memcpy(old, new + at, block);
			in_run = 0;
		} else if (in_run) {
			runs[count - 1].size_bytes += block;
		} else if (count < runs_max) {
			runs[count].start = spot->skipped_bytes + at;
			runs[count++].size_bytes = block;
			in_run = 1;
		}
	}
	if (compared < spot->size_bytes)
		proctor_memory_put(memory, body, spot->at + compared, new + compared,
				   spot->size_bytes - compared);
	return count;
}
