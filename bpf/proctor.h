/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Records: what the kernel programs say, and the only description of it.
 *
 * Types and limits only. The same text is compiled into the BPF object and
 * read by cffi for Python (src/proctor/records/layout.py), so it keeps to what
 * both understand: fixed-width types, enums for constants, no macros.
 *
 * Every record starts with struct record_head. Fields are ordered so that no
 * compiler pads; a record's text or payload follows its struct directly.
 * Times are CLOCK_BOOTTIME nanoseconds. A process is (pid, start_ns): a reused
 * pid is another process.
 */

enum record_type {
	/* Lifecycle ring. */
	RECORD_FORK = 1,
	RECORD_EXEC = 2,
	RECORD_EXIT = 3,
	RECORD_PROCESS = 4,      /* a process that ran before we looked */
	RECORD_CONNECT = 16,     /* a connect that succeeded or failed */
	RECORD_ACCEPT = 17,
	RECORD_CLOSE = 18,
	RECORD_COUNTERS = 19,    /* byte counts of a connection that lives */
	RECORD_CLIENT_HELLO = 20,
	RECORD_DNS = 21,
	RECORD_MAPPING = 24,     /* to the recorder only: a file not seen before */
	RECORD_FILE = 25,        /* the path of a file that a process begins to use */
	RECORD_FILE_USE = 26,    /* what it did to it since the last of these */
	RECORD_FILE_CHANGE = 27, /* one call that names files by path */
	/* Payload ring. */
	RECORD_TLS_OPEN = 32,
	RECORD_TLS_DATA = 33,
	RECORD_TLS_RETURN = 34,  /* what a write accepted */
	RECORD_TLS_TIE = 35,     /* this TLS handle owns that connection */
	RECORD_TLS_FREE = 36,
	RECORD_TLS_COUNTERS = 37,
	/* Made by the recorder or the keeper: JSON text after the head. */
	RECORD_COVERAGE = 64,
	RECORD_LOSS = 65,
	RECORD_END = 66,         /* the recording ended in good order */
	/* Made by the keeper, and turned back by whoever reads the recording. */
	RECORD_TLS_REPEAT = 67,
};

enum record_limits {
	ARGV_MAX_BYTES = 16384,
	PATH_MAX_BYTES = 4096,
	HELLO_MAX_BYTES = 4096,
	DNS_MAX_BYTES = 1472,
	PIECE_MAX_BYTES = 262144,
};

enum tls_direction {
	DIRECTION_SENT = 0,
	DIRECTION_RECEIVED = 1,
};

enum record_flag {
	FLAG_UNREADABLE = 1,     /* the memory could not be read: data is absent */
	FLAG_TRUNCATED = 2,      /* text was longer than the limit */
	FLAG_LATE = 4,           /* the connection or handle was older than the watch */
	FLAG_HELD = 8,           /* the process was stopped until probes are in */
	FLAG_SKIPPED = 16,       /* payload was not copied: no model traffic */
	FLAG_RECONSIDER = 32,    /* a skipped handle began a new POST: judge it afresh */
	FLAG_MAPPED_TO_READ = 64, /* FILE_USE: what was read through a mapping is not seen */
};

/*
 * Where and why something was not recorded: counters[program][reason] in the
 * kernel, "program:reason" in the output's `lost`.
 */
enum loss_program {
	LOSS_PROCESS = 0,
	LOSS_CONNECTION = 1,
	LOSS_HELLO = 2,
	LOSS_DNS = 3,
	LOSS_TLS = 4,
	LOSS_TIE = 5,
	LOSS_MAPPING = 6,
	LOSS_FILE = 7,
	LOSS_PROGRAMS = 8,
};

enum loss_reason {
	LOSS_RING_FULL = 0,
	LOSS_MAP_FULL = 1,
	LOSS_UNREADABLE = 2,
	LOSS_CALL_TOO_LONG = 3,
	LOSS_NOT_HELD = 4,
	LOSS_REASONS = 5,
};

enum {
	/* Who reads the payload ring is woken when more than this share of it gets taken. */
	PAYLOAD_WAKEUP_SHARE = 16,
};

struct record_head {
	__u32 length;            /* bytes of the whole record, this head included */
	__u16 type;
	__u16 flags;
	__u64 time_ns;
	__u64 start_ns;          /* of the process */
	__u32 pid;               /* the kernel's tgid, initial pid namespace */
	__u32 tid;
	__u64 cgroup;
};

struct endpoints {
	__u16 family;            /* AF_INET or AF_INET6; v4-mapped comes as AF_INET6 */
	__u16 local_port;        /* host byte order */
	__u16 remote_port;
	__u16 reserved;
	__u8 local[16];          /* AF_INET: the first four bytes */
	__u8 remote[16];
};

struct fork_record {         /* head: the child */
	struct record_head head;
	__u64 parent_start_ns;
	__u32 parent_pid;
	__u32 reserved;
};

/*
 * Also RECORD_PROCESS. Text after it: exe, cwd, argv, of the lengths given.
 * exe and cwd are path components, leaf first, each ended by NUL (the kernel
 * walks dentries upwards); argv is the process's own argument memory.
 */
struct exec_record {
	struct record_head head;
	__u64 parent_start_ns;
	__u32 parent_pid;
	__u32 uid;
	__u32 gid;
	__u32 argv_total_bytes;  /* before truncation */
	__u16 exe_bytes;
	__u16 cwd_bytes;
	__u32 argv_bytes;
	__u8 comm[16];
};

struct exit_record {
	struct record_head head;
	__s32 exit_code;
	__s32 signal;            /* 0 unless a signal ended it */
};

struct connection_record {   /* CONNECT, ACCEPT, CLOSE, COUNTERS */
	struct record_head head;
	__u64 connection;        /* unique in a recording */
	__u64 bytes_sent;        /* acknowledged by the peer, as TCP counts */
	__u64 bytes_received;
	__u64 duration_ns;       /* CONNECT: until the result; else since it opened */
	struct endpoints endpoints;
	__s32 error;             /* errno, 0 for success */
	__u32 reserved;
};

struct hello_record {        /* data: the first TLS record(s) as written; again: of the next write */
	struct record_head head;
	__u64 connection;
};

struct dns_record {          /* data: the DNS message, from its id on */
	struct record_head head;
	struct endpoints endpoints;
	__u8 direction;          /* DIRECTION_SENT: a query; RECEIVED: an answer */
	__u8 reserved[3];
	__u32 total_bytes;
};

struct mapping_record {
	struct record_head head;
	__u64 inode;
	__u64 ctime_ns;
	__u64 device;            /* the kernel's s_dev */
	__s32 fd;                /* -1: the executable itself */
	__u32 reserved;
};

/*
 * A path up to the root of its mount namespace follows: components as in exec_record.
 * A use is of one file by one program of one process.
 */
struct file_record {
	struct record_head head;
	__u64 use;               /* unique in a recording */
	__u64 inode;
	__u64 device;            /* the kernel's s_dev */
	__u32 mode;
	__u32 reserved;
};

struct file_use_record {     /* head: time_ns is when it was used last */
	struct record_head head;
	__u64 use;
	__u64 first_ns;          /* of what this record counts */
	__u64 bytes_written;
	__u64 bytes_read;
	__u32 writes;
	__u32 reads;
	__u32 creations;         /* open() made the file */
	__u32 resizes;           /* O_TRUNC, ftruncate, fallocate */
	__u32 mappings;          /* shared and writable, by mmap or mprotect: what is written is not seen */
	__u32 attributes;        /* mode, owner, times, extended attributes: how often changed */
};

/*
 * Follow, of the lengths given: the text that the program passed and the directory it counts from
 * (the process's root where the text begins with `/`), components as in exec_record; both once
 * more for calls with two names. A text that could not be read is absent, with FLAG_UNREADABLE.
 */
struct file_change_record {
	struct record_head head;
	__u32 operation;         /* enum file_operation */
	__u32 flags_given;       /* those of the call that the rule names */
	__s32 error;             /* errno, 0 for success */
	__u16 path_bytes;
	__u16 base_bytes;
	__u16 new_path_bytes;
	__u16 new_base_bytes;
	__u32 reserved;
};

struct tls_open_record {     /* a TLS handle (SSL*) is seen for the first time */
	struct record_head head;
	__u64 tls;               /* unique in a recording, never reused */
	__u64 pointer;
	__u64 library;           /* the attach cookie; 0 where the kernel has none (< 5.15) */
};

/*
 * One piece of one call. Writes come at entry, as an attempt that a
 * RECORD_TLS_RETURN commits; reads come at return, as fact. Pieces of a call
 * share `call`; position counts from 0 to total_bytes.
 */
struct tls_data_record {
	struct record_head head;
	__u64 tls;
	__u64 stream_bytes;      /* bytes of this direction before this call */
	__u64 total_bytes;       /* of the call */
	__u64 position;          /* of this piece in the call */
	__u32 call;              /* counts the calls of this handle, both directions */
	__u32 piece_bytes;       /* data follows, or is absent with FLAG_UNREADABLE */
	__u8 direction;
	__u8 reserved[7];
};

/*
 * A TLS_DATA record, stored without the bytes that it repeats of an earlier request:
 * records/repeats.py says of which. Follow: struct tls_repeat_run, as many as `runs`, ordered and
 * apart from each other; then the bytes that are in no run.
 */
struct tls_repeat_record {
	struct tls_data_record piece; /* as it was, but for length and type */
	__u64 checksum;          /* XXH3-64 of the bytes of all runs, seeded by the recording's marker */
	__u32 runs;
	__u32 reserved;
};

struct tls_repeat_run {
	__u32 start;             /* counted from the piece's first byte */
	__u32 size_bytes;
};

struct tls_return_record {
	struct record_head head;
	__u64 tls;
	__s64 accepted_bytes;    /* <= 0: nothing, the attempt stays open */
	__u64 total_bytes;       /* as offered at entry */
	__u32 call;
	__u32 reserved;
};

struct tls_tie_record {
	struct record_head head;
	__u64 tls;
	__u64 connection;
};

struct tls_free_record {     /* also RECORD_TLS_COUNTERS, while it lives */
	struct record_head head;
	__u64 tls;
	__u64 bytes_sent;        /* plaintext accepted, skipped or not */
	__u64 bytes_received;
	__u64 calls;
};

/* Not records: what iterators write, one row an element. */
struct process_row {         /* iter/task: /proc gives the rest */
	__u64 start_ns;
	__u64 parent_start_ns;
	__u32 pid;
	__u32 parent_pid;
	__u32 uid;
	__u32 gid;
	__u32 kernel_thread;
	__u32 reserved;
};

/* What the recorder sets before load, and the keys and values of maps that it reads or writes. */

struct configuration {
	__u32 recorder_tgid;
	__u8 scope_host;
	__u8 scope_cgroups_set;
	__u8 scope_exes_set;
	__u8 hold_enabled;
};

struct process {             /* processes: tgid -> */
	__u64 start_ns;
	__u16 flags;             /* enum process_flag */
	__u16 images;            /* how often it called exec */
	__u32 untied;            /* TLS handles that wait for their socket */
	__u64 sharing_from;      /* between these it maps files that mprotect can make writable */
	__u64 sharing_to;
};

enum process_flag {
	PROCESS_EXCLUDED = 1,    /* ourselves: never in scope, inherited */
	PROCESS_NEVER_HELD = 2,  /* an ancestor of ours, or what our terminal hangs on */
};

struct file_key {            /* files: -> enum file_state; a changed file is another file */
	__u64 inode;
	__u64 device;
	__u64 ctime_ns;
};

enum file_state {
	FILE_PENDING = 1,        /* the recorder was told; later comers wait too */
	FILE_KNOWN = 2,          /* attached, or without TLS: costs one look-up */
};

struct hold {                /* held: tgid -> */
	__u64 since_ns;
	__u32 foreign_stop;      /* somebody else stopped it meanwhile: leave it stopped */
	__u32 foreign_continue;  /* somebody else let it go: it ran unattached */
};

/* What a syscall does to files: file_rules, by number. */
enum file_operation {
	/* Through a descriptor: kept in file_uses, told as FILE_USE. */
	FILE_OPEN = 1,           /* a FILE_CHANGE where it was refused */
	FILE_WRITE = 2,
	FILE_READ = 3,
	FILE_COPY = 4,           /* to `file` from `other` */
	FILE_RESIZE = 5,
	FILE_MAP = 6,
	FILE_ATTRIBUTES = 7,     /* a FILE_CHANGE where it was refused */
	/* By path: each a FILE_CHANGE. */
	FILE_PATH_ATTRIBUTES = 16,
	FILE_PATH_RESIZE = 17,
	FILE_DELETE = 18,
	FILE_DELETE_DIRECTORY = 19,
	FILE_RENAME = 20,
	FILE_MAKE = 21,
	FILE_MAKE_DIRECTORY = 22,
	FILE_LINK = 23,
	FILE_SYMLINK = 24,       /* the second name is the text of the link: without a directory */
};

enum file_rule_limits {
	FILE_SYSCALLS = 512,
	FILE_NO_ARGUMENT = 7,
};

enum file_rule_flag {
	FILE_RULE_READS = 1,     /* reads are asked for */
	FILE_RULE_FLAGS_IN_MEMORY = 2, /* `flags` points to them: openat2 */
	FILE_RULE_TRUNCATES = 4, /* creat */
	FILE_RULE_NO_FOLLOW = 8, /* of a symbolic link it changes the link */
};

struct file_rule {           /* numbers of arguments, or FILE_NO_ARGUMENT */
	__u8 operation;
	__u8 options;            /* enum file_rule_flag */
	__u8 file;               /* a descriptor: the file, or the directory that `path` counts from */
	__u8 other;              /* likewise for `other_path` */
	__u8 path;
	__u8 other_path;
	__u8 flags;
	__u8 reserved;
};

struct handle_key {          /* handles: -> state of an SSL* */
	__u64 ssl;
	__u32 tgid;
	__u32 reserved;
};
