/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heads that nearly all messages have: a POST of a path, or an answer, whose headers hold
 * neither URL nor secret, but for a few whole credentials. What is said here of such a head,
 * masking.py and message_ends.py say, too, line by line: what differs in anything is no such head.
 */
#include <string.h>

enum {
	SECRETS_MAX = 4,
	NAME_MAX_BYTES = 40,
	BLANKS_MAX = 9,          /* those two are message_ends.py's limits of a Content-Length */
	DIGITS_MAX = 15,
};

struct header_names {
	const char *const *names;  /* in lower case, sorted, of headers that hold no secret and no URL */
	__u32 count;
};

struct secret {
	__u32 start, end;        /* counted from the head's first byte */
};

struct usual_head {
	__u32 size_bytes;        /* up to where the body begins; 0: it is no such head */
	__u64 length_bytes;      /* Content-Length; 0: none */
	struct secret secrets[SECRETS_MAX];
	__u32 secret_count;
};

static int is_blank(__u8 byte)
{
	return byte == ' ' || byte == '\t';
}

/* NAME_BYTES of masking.py: what a header's name is made of. */
static int is_name_byte(__u8 byte)
{
	return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') ||
	       (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

/* Blanks and the line's end stay, as on the whole way. */
static void hide(__u8 *start, __u8 *end)
{
	for (; start < end; start++)
		if (!is_blank(*start) && *start != '\r' && *start != '\n')
			*start = '*';
}

static const __u8 *skip_blanks(const __u8 *at, const __u8 *end)
{
	while (at < end && is_blank(*at))
		at++;
	return at;
}

/* ASCII's, whatever the locale says of other bytes. */
static __u8 lower(__u8 byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte | 32 : byte;
}

/* Behind `text`, which is in lower case; NULL where something else stands there. */
static const __u8 *skip_text(const __u8 *at, const __u8 *end, const char *text)
{
	for (; *text; text++, at++)
		if (at == end || lower(*at) != (__u8)*text)
			return NULL;
	return at;
}

/* Behind the scheme and its blank; NULL where it is not one of those known. */
static const __u8 *skip_scheme(const __u8 *at, const __u8 *end)
{
	static const char *const schemes[] = { "bearer ", "basic ", "digest ", "token ",
					       "negotiate ", "apikey ", "aws4-hmac-sha256 " };
	const __u8 *behind = NULL;
	unsigned int i;

	at = skip_blanks(at, end);
	for (i = 0; i < sizeof(schemes) / sizeof(*schemes) && !behind; i++)
		behind = skip_text(at, end, schemes[i]);
	return behind;
}

/* A Content-Length's value. 0: message_ends.py does not take it for one. */
static int read_length(const __u8 *at, const __u8 *end, __u64 *length_bytes)
{
	const __u8 *first = skip_blanks(at, end), *last;

	*length_bytes = 0;
	for (last = first; last < end && *last >= '0' && *last <= '9'; last++)
		if (last - first < DIGITS_MAX)
			*length_bytes = 10 * *length_bytes + (*last - '0');
	at = skip_blanks(last, end);
	return first < last && last - first <= DIGITS_MAX && at == end && end - last <= BLANKS_MAX;
}

static int is_one_of(const char *name, const char *const *names, __u32 count)
{
	__u32 low = 0, high = count;

	while (low < high) {
		__u32 middle = (low + high) / 2;
		int order = strcmp(name, names[middle]);

		if (!order)
			return 1;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return 0;
}

/*
 * A header's line, without its CR and LF: notes the length or the secret that it has. 0: one that
 * no usual head has.
 */
static int read_header(const struct header_names *ordinary, const __u8 *data, const __u8 *line,
		       const __u8 *end, struct usual_head *head)
{
	char name[NAME_MAX_BYTES + 1];
	const __u8 *at, *value;
	__u32 size;

	for (size = 0; size < NAME_MAX_BYTES && line + size < end && is_name_byte(line[size]); size++)
		name[size] = lower(line[size]);
	name[size] = 0;
	at = skip_blanks(line + size, end);
	if (!size || at == end || *at != ':' || at - line - size > BLANKS_MAX)
		return 0;
	value = at + 1;
	if (!strcmp(name, "content-length"))
		/* One that is told twice, or is 0, ends where only message_ends.py knows. */
		return !head->length_bytes && skip_blanks(value, end) - value <= BLANKS_MAX &&
		       read_length(value, end, &head->length_bytes) && head->length_bytes;
	if (is_one_of(name, ordinary->names, ordinary->count))
		return 1;
	if (!strcmp(name, "authorization") || !strcmp(name, "proxy-authorization"))
		value = skip_scheme(value, end);
	else if (strcmp(name, "x-api-key") && strcmp(name, "api-key") && strcmp(name, "cookie") &&
		 strcmp(name, "set-cookie"))
		return 0;
	if (!value || head->secret_count == SECRETS_MAX)
		return 0;
	head->secrets[head->secret_count].start = value - data;
	head->secrets[head->secret_count++].end = end - data;
	return 1;
}

/* The first line, without its CR and LF. A URL with a host or parameters may hold a secret. */
static int begins_usually(const __u8 *line, const __u8 *end, int is_sent)
{
	static const char version[] = "HTTP/1.";

	if (!is_sent)
		return end - line > 10 && !memcmp(line, version, strlen(version)) &&
		       (line[7] == '0' || line[7] == '1') && line[8] == ' ' && line[9] >= '1' &&
		       line[9] <= '5';
	if (end - line < 6 || memcmp(line, "POST /", 6))
		return 0;
	for (; line < end; line++)
		if (*line == ':' || *line == '?' || *line == '&' || *line == ';' || *line == '#')
			return 0;
	return 1;
}

/* Looks whether a message begins at `data` with such a head, whole in `size_bytes`. */
static struct usual_head read_usual_head(const struct header_names *ordinary, const __u8 *data,
					 __u32 size_bytes, int is_sent)
{
	const __u8 *line = data, *stop = data + size_bytes, *end;
	struct usual_head head = { 0 }, none = { 0 };

	for (; (end = memchr(line, '\n', stop - line)); line = end + 1) {
		if (end == line || end[-1] != '\r')
			break;
		if (line == data) {
			if (!begins_usually(line, end - 1, is_sent))
				break;
		} else if (end - line == 1) {
			head.size_bytes = end + 1 - data;
			return head;
		} else if (!read_header(ordinary, data, line, end - 1, &head)) {
			break;
		}
	}
	return none;
}
