/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that are gathered for one frame: parts of memory, written from where they lie. What is
 * made here (masked heads, structs of shortened records) and what is small lies in the scratch.
 *
 *     a piece as it is       struct and data where they lie
 *     with a usual head      struct and masked head in the scratch, then the body where it lies
 *     that repeats           struct, runs and head in the scratch, then what is in no run
 */
enum {
	FRAME_SCRATCH_BYTES = 256 * 1024,
	COPIED_MAX_BYTES = 1024, /* a record so small is copied: it would be a part of its own */
	HEAD_MAX_BYTES = 8192,   /* of a message, copied to be masked */
	LARGE_BYTES = 512 * 1024, /* a record beyond has a frame of its own: readers take 2 MiB */
	RUNS_MAX = 64,           /* of one piece; what would make more is written */
	REPEATS_MAX = 128,       /* of one frame */
	/* Of one record: the scratch, and what lies before, between and behind its runs. */
	RECORD_PARTS_MAX = RUNS_MAX + 2,
	RECORD_SCRATCH_MAX_BYTES = sizeof(struct tls_repeat_record) + HEAD_MAX_BYTES +
				   RUNS_MAX * sizeof(struct tls_repeat_run),
};

struct frame_part {
	const void *address;
	__u64 size_bytes;
};

/* A record of repeats that was left out. Its `checksum` is still to be written. */
struct frame_repeat {
	void *checksum;          /* at any place */
	const __u8 *data;        /* of the piece */
	const struct tls_repeat_run *runs; /* at any place */
	__u32 run_count;
};

struct frame {
	struct frame_repeat repeats[REPEATS_MAX];
	__u32 repeat_count;
	struct frame_part *parts;
	__u32 part_count;
	__u32 parts_max;
	__u32 records;
	__u32 size_bytes;        /* of all parts */
	__u32 full_bytes;        /* with so many it is full */
	__u32 scratch_used;
	__u8 scratch[FRAME_SCRATCH_BYTES];
};

/* For one record more, whatever becomes of it. */
static int frame_has_room(const struct frame *frame, __u32 length)
{
	return !frame->records ||
	       (frame->size_bytes < frame->full_bytes && length <= LARGE_BYTES &&
		frame->repeat_count < REPEATS_MAX &&
		frame->part_count + RECORD_PARTS_MAX <= frame->parts_max &&
		frame->scratch_used + RECORD_SCRATCH_MAX_BYTES <= FRAME_SCRATCH_BYTES);
}

static void frame_clear(struct frame *frame)
{
	frame->part_count = frame->repeat_count = frame->records = frame->size_bytes = 0;
	frame->scratch_used = 0;
}

/* What lies there must stay until the frame is written. */
static void frame_part(struct frame *frame, const void *address, __u32 size_bytes)
{
	struct frame_part *last = frame->part_count ? frame->parts + frame->part_count - 1 : NULL;

	if (!size_bytes)
		return;
	frame->size_bytes += size_bytes;
	if (last && (const __u8 *)last->address + last->size_bytes == address) {
		last->size_bytes += size_bytes;
		return;
	}
	frame->parts[frame->part_count].address = address;
	frame->parts[frame->part_count++].size_bytes = size_bytes;
}

/* Room for bytes of a record in the frame's own memory, as its next part. */
static void *frame_scratch(struct frame *frame, __u32 size_bytes)
{
	void *room = frame->scratch + frame->scratch_used;

	frame->scratch_used += size_bytes;
	frame_part(frame, room, size_bytes);
	return room;
}

static void frame_copy(struct frame *frame, const void *address, __u32 size_bytes)
{
	memcpy(frame_scratch(frame, size_bytes), address, size_bytes);
}

/* A record as it is, which must not change any more. There must be room. */
static void frame_record(struct frame *frame, const void *record, __u32 length)
{
	frame->records++;
	if (length <= COPIED_MAX_BYTES)
		frame_copy(frame, record, length);
	else
		frame_part(frame, record, length);
}

struct masked_piece {
	const __u8 *address;     /* of the record: its struct and its data */
	struct tls_data_record record; /* the struct, which lies at any place there */
	__u32 size_bytes;        /* of the data */
	struct usual_head head;  /* of a message that begins there; else all is masked where it lies */
};

/* A copy of the piece's head, masked. */
static void frame_head(struct frame *frame, const struct masked_piece *piece)
{
	const struct usual_head *usual = &piece->head;
	__u8 *head = frame_scratch(frame, usual->size_bytes);
	__u32 i;

	memcpy(head, piece->address + sizeof(piece->record), usual->size_bytes);
	for (i = 0; i < usual->secret_count; i++)
		hide(head + usual->secrets[i].start, head + usual->secrets[i].end);
}

/* The piece with all its bytes. */
static void frame_whole(struct frame *frame, const struct masked_piece *piece)
{
	__u32 length = sizeof(piece->record) + piece->size_bytes, at = 0;

	if (piece->head.size_bytes) {
		frame_copy(frame, &piece->record, sizeof(piece->record));
		frame_head(frame, piece);
		at = sizeof(piece->record) + piece->head.size_bytes;
	}
	if (length <= COPIED_MAX_BYTES)
		frame_copy(frame, piece->address + at, length - at);
	else
		frame_part(frame, piece->address + at, length - at);
}

/* The piece without these runs, which lie behind its head. */
static void frame_shortened(struct frame *frame, const struct masked_piece *piece,
			    struct repeat_body *body, const struct tls_repeat_run *runs,
			    __u32 count)
{
	const __u8 *data = piece->address + sizeof(piece->record);
	__u32 before = frame->size_bytes, at = piece->head.size_bytes, run;
	struct tls_repeat_record record = { .piece = piece->record, .runs = count };
	struct frame_repeat *repeat = frame->repeats + frame->repeat_count++;
	__u8 *place = frame_scratch(frame, sizeof(record));

	repeat->checksum = place + offsetof(struct tls_repeat_record, checksum);
	repeat->data = data;
	repeat->runs = memcpy(frame_scratch(frame, count * sizeof(*runs)), runs,
			      count * sizeof(*runs));
	repeat->run_count = count;
	frame_head(frame, piece);
	for (run = 0; run < count; run++) {
		frame_part(frame, data + at, runs[run].start - at);
		at = runs[run].start + runs[run].size_bytes;
		body->repeated_bytes += runs[run].size_bytes;
	}
	frame_part(frame, data + at, piece->size_bytes - at);
	record.piece.head.type = RECORD_TLS_REPEAT;
	record.piece.head.length = frame->size_bytes - before;
	memcpy(place, &record, sizeof(record));
}

/*
 * A masked piece, without what it repeats. To be asked of every piece that is written: it is
 * remembered. Its head must end where a body begins. There must be room.
 */
static void frame_piece(struct frame *frame, const struct masked_piece *piece,
			struct repeat_memory *memory)
{
	const __u8 *data = piece->address + sizeof(piece->record);
	struct tls_repeat_run runs[RUNS_MAX];
	struct repeat_spot spot;
	__u32 count = 0;

	frame->records++;
	if (piece->record.direction == DIRECTION_SENT && piece->size_bytes &&
	    proctor_memory_spot(memory, &piece->record, piece->size_bytes, data,
				piece->record.position ? 0 : piece->size_bytes, &spot))
		count = proctor_remember(memory, &spot, data + spot.skipped_bytes, runs, RUNS_MAX);
	if (count && piece->record.piece_bytes == piece->size_bytes)
		frame_shortened(frame, piece, spot.body, runs, count);
	else
		frame_whole(frame, piece);
}
