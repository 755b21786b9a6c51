/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane: what most records of a flood are, from where they lie to the frame that is written.
 * It takes what it is sure of, and stops before the rest: that goes the whole way, in Python.
 * So nothing is known here alone: what masking stands on goes both ways, see DirectionMask.
 *
 * Compiled as one text with what it stands on: handles.c and repeats.c of records/, then
 * usual_heads.c (what is secret in a head), frame.c (what is written), this (what is taken).
 *
 * A record's bytes are a stranger's, and lie at any place: structs are copied out of them. They do
 * not change: the ring's memory is given back, and a batch used again, when the frame is written.
 */

/* No stream comes so far: below it no sum overflows. */
static const __u64 FAR = 1ULL << 62;

/*
 * Where one direction of a handle stands. DirectionMask writes it behind each piece that went the
 * whole way, and reads it before the next. Positions are those of the stream.
 */
struct lane_direction {
	__u64 call_at;           /* where the last call begins */
	__u64 plain_at;          /* from here on nothing of it can be secret */
	__u64 until;             /* where it ends: the next piece is to begin there */
	__u64 body_ends_at;      /* 0: the next call is to begin a message */
	__u32 call;              /* the last, on either way */
	__u8 is_ready;           /* the lane may go on at `until` */
	__u8 is_ahead;           /* it has: what is above is not known on the whole way */
	__u8 begins_line;        /* at `until`; 0: nothing of the line there can be secret */
	__u8 began_line;         /* at `plain_at` */
};

struct lane_handle {
	struct lane_direction sent, received;
};

struct lane {
	struct repeat_memory *memory;
	struct handle_table handles;
	struct header_names ordinary;
	struct frame frame;
};

static struct lane *proctor_lane_new(const struct repeat_limits *limits,
				     const char *const *ordinary, __u32 ordinary_count,
				     __u32 frame_bytes, __u32 frame_parts_max)
{
	struct lane *lane = allocated(calloc(1, sizeof(*lane)));

	lane->memory = proctor_memory_new(limits);
	lane->ordinary.names = ordinary;
	lane->ordinary.count = ordinary_count;
	lane->frame.full_bytes = frame_bytes;
	lane->frame.parts_max = frame_parts_max;
	lane->frame.parts = allocated(calloc(frame_parts_max, sizeof(*lane->frame.parts)));
	return lane;
}

static void proctor_lane_free(struct lane *lane)
{
	proctor_memory_free(lane->memory);
	table_free(&lane->handles);
	free(lane->frame.parts);
	free(lane);
}

/* The handle carries model traffic: its records may be taken. It must not be open yet. */
static struct lane_handle *proctor_lane_open(struct lane *lane, __u64 tls)
{
	struct lane_handle *handle = allocated(calloc(1, sizeof(*handle)));

	table_put(&lane->handles, tls, handle);
	return handle;
}

static void proctor_lane_close(struct lane *lane, __u64 tls)
{
	free(table_take(&lane->handles, tls));
}

/*
 * Whether nothing of these bytes of a body can be secret: they are of one line, which is no header,
 * and no next message begins in them.
 */
static int is_plain(const struct lane_direction *at, const __u8 *data, __u32 size_bytes)
{
	return at->until < at->body_ends_at && size_bytes <= at->body_ends_at - at->until &&
	       !(at->begins_line && is_name_byte(*data)) && !memchr(data, '\n', size_bytes);
}

/* A call begins there. 0: it may begin a message whose head is not as usual. */
static int begin_call(const struct lane *lane, const struct tls_data_record *record,
		      const __u8 *data, struct lane_direction *at, struct usual_head *head)
{
	int is_sent = record->direction == DIRECTION_SENT;
	__u32 size_bytes = record->piece_bytes;

	at->call = record->call;
	at->call_at = at->plain_at = at->until;
	at->began_line = at->begins_line;
	*head = read_usual_head(&lane->ordinary, data,
				size_bytes < HEAD_MAX_BYTES ? size_bytes : HEAD_MAX_BYTES, is_sent);
	if (!head->size_bytes)
		return *data < 'A' || *data > 'Z';
	at->until += head->size_bytes;
	at->body_ends_at = is_sent ? at->until + head->length_bytes : ~0ULL;
	at->plain_at = at->until;
	at->began_line = at->begins_line = 1;
	/* Where a request tells no length, chunks may follow, or nothing. */
	return !is_sent || head->length_bytes;
}

/* Goes on behind this piece. 0: it is none for the lane, and `at` is of no use any more. */
static int follow(const struct lane *lane, const struct tls_data_record *record,
		  const __u8 *data, struct lane_direction *at, struct usual_head *head)
{
	__u32 body_bytes;

	if (!at->is_ready || record->stream_bytes > FAR || record->position > FAR ||
	    record->stream_bytes + record->position != at->until)
		return 0;
	/* Pieces of one call go one way: a retry of it finds all the places that it came by. */
	if (record->position ? !at->is_ahead || record->call != at->call : record->call == at->call)
		return 0;
	if (!record->position && !begin_call(lane, record, data, at, head))
		return 0;
	at->is_ahead = 1;
	body_bytes = record->piece_bytes - head->size_bytes;
	if (body_bytes) {
		if (!is_plain(at, data + head->size_bytes, body_bytes))
			return 0;
		at->until += body_bytes;
		at->begins_line = 0;
	}
	if (head->size_bytes && record->direction == DIRECTION_RECEIVED) {
		/* The whole way looks at lines there, and so knows the piece's end alone. */
		at->plain_at = at->until;
		at->began_line = at->begins_line;
	}
	return 1;
}

/* A piece of a TLS call. 0: nothing has changed. */
static int take_piece(struct lane *lane, const __u8 *address, __u32 length)
{
	struct masked_piece piece = { .address = address };
	struct lane_direction *direction, after;
	struct lane_handle *handle;

	if (length <= sizeof(piece.record))
		return 0;
	memcpy(&piece.record, address, sizeof(piece.record));
	piece.size_bytes = length - sizeof(piece.record);
	handle = table_get(&lane->handles, piece.record.tls);
	if (!handle || piece.record.head.flags || piece.record.piece_bytes != piece.size_bytes ||
	    piece.record.direction > DIRECTION_RECEIVED)
		return 0;
	direction = piece.record.direction == DIRECTION_SENT ? &handle->sent : &handle->received;
	after = *direction;
	if (!follow(lane, &piece.record, address + sizeof(piece.record), &after, &piece.head))
		return 0;
	*direction = after;
	frame_piece(&lane->frame, &piece, lane->memory);
	return 1;
}

/* 0: the whole way masks, judges or counts it. All types not named here are written as they are. */
static int take_record(struct lane *lane, const __u8 *address, __u32 length, __u16 type)
{
	struct tls_return_record returned;

	switch (type) {
	case RECORD_TLS_DATA:
		return take_piece(lane, address, length);
	case RECORD_TLS_RETURN:
		if (length < sizeof(returned))
			return 0;
		memcpy(&returned, address, sizeof(returned));
		if (!table_get(&lane->handles, returned.tls))
			return 0;
		break;
	case RECORD_EXEC:
	case RECORD_PROCESS:
	case RECORD_TLS_OPEN:
	case RECORD_TLS_FREE:
	case RECORD_TLS_COUNTERS:
	case RECORD_END:
		return 0;
	}
	frame_record(&lane->frame, address, length);
	return 1;
}

static int proctor_lane_has_room(const struct lane *lane, __u32 length)
{
	return frame_has_room(&lane->frame, length);
}

/*
 * Takes records from `places[from]` on. What lies there must stay until the frame is written.
 * Returns the number of the first that is not taken: the frame has no room for it, or it is none
 * for the lane.
 */
static __u32 proctor_lane_take(struct lane *lane, const struct record_place *places, __u32 from,
			       __u32 count)
{
	for (; from < count; from++) {
		const struct record_place *place = places + from;
		const __u8 *address = (const __u8 *)place->address;
		__u32 said;

		/* One that belies its length is counted as lost, on the whole way. */
		if (place->length < sizeof(struct record_head))
			break;
		memcpy(&said, address, sizeof(said));
		if (said != place->length || !frame_has_room(&lane->frame, place->length) ||
		    !take_record(lane, address, place->length, place->type))
			break;
	}
	return from;
}

/* A record that went the whole way, masked. The frame must have room. */
static void proctor_lane_add(struct lane *lane, const void *record, __u32 length)
{
	struct masked_piece piece = { .address = record };

	if (length >= sizeof(piece.record)) {
		memcpy(&piece.record, record, sizeof(piece.record));
		piece.size_bytes = length - sizeof(piece.record);
		if (piece.record.head.type == RECORD_TLS_DATA) {
			frame_piece(&lane->frame, &piece, lane->memory);
			return;
		}
	}
	frame_record(&lane->frame, record, length);
}

static const struct frame *proctor_lane_frame(const struct lane *lane)
{
	return &lane->frame;
}

static void proctor_lane_clear(struct lane *lane)
{
	frame_clear(&lane->frame);
}

static void proctor_lane_distrust(struct lane *lane)
{
	proctor_memory_distrust(lane->memory);
}
