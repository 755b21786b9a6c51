/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the syscall tracer's kernel programs say, and the only description of it.
 *
 * Types and limits only: compiled into the BPF object, and read by cffi for
 * Python, so it keeps to what both understand (fixed-width types, enums, no macros).
 *
 * One record a syscall, made at its exit. Records have one size and lie in an array
 * that each CPU has for itself, used as a ring: the record's place is its number, so
 * a reader maps them as one table without walking. What arguments point to lies beside
 * them, in a second ring of the same CPU: chunks, one after another.
 *
 * Times are CLOCK_MONOTONIC nanoseconds, except process_start_ns (CLOCK_BOOTTIME), which
 * with pid names a process as everywhere in Proctor.
 */

enum trace_kind {
	TRACE_SYSCALL = 0,       /* a call that returned */
	TRACE_NO_RETURN = 1,     /* ended in the call: exit, or killed; duration until then */
	TRACE_JOINED = 2,        /* under way when we attached: start_ns unknown (0), duration_ns is when it ended, entry memory as it is at the exit */
	TRACE_UNDER_WAY = 3,     /* still under way when we detached; also when we attached: start_ns and duration_ns as JOINED */
	TRACE_FORK = 4,          /* args: child pid, child tid, child's process_start_ns, CLONE_FILES shared (0/1), CLONE_FS shared; of the parent */
	TRACE_EXEC = 5,          /* args: former tid; chunks: KERNEL_FILE of the executable, STRING comm */
	TRACE_EXIT = 6,          /* args: exit code, signal, 1 if the process ends with it: once a process; 1 if
				    the first thread ends for another's exec, which has its tid then */
	TRACE_SIGNAL = 7,        /* delivered; args: number, si_code, si_pid or si_addr, si_uid, si_status */
	TRACE_IO_URING = 8,      /* a request submitted; args: opcode, fd or directory, user_data, flags, offset (of a
				    second path: its directory), length; chunks: path with arg 1, second path with arg 4 */
};

enum trace_abi {
	ABI_X86_64 = 0,
	ABI_I386 = 1,
	ABI_X32 = 2,
	ABI_ARM64 = 3,
	ABI_ARM = 4,
	ABIS = 5,
};

/* As a descriptor of a request on an io_uring, beyond any that a program can pass: it has none. */
enum trace_descriptor { TRACE_NO_DESCRIPTOR = 0x40000000 };

enum trace_limits {
	TRACE_SYSCALLS = 1024,   /* numbers we know rules for, an ABI */
	TRACE_FETCHES = 6,       /* pieces of memory a rule can name */
	TRACE_ENTRY_BYTES = 8192,/* entry memory kept per thread until the exit */
	TRACE_PIECE_BYTES = 4096,/* of one piece of entry memory; at the exit as many as text_bytes */
	TRACE_MESSAGES = 32,     /* of a struct mmsghdr[] */
	TRACE_TEXT_BYTES = 65536,/* text_bytes at most */
	TRACE_BLOCK_BYTES = 1048576, /* positions in a block of the memory ring */
	TRACE_SLACK_BYTES = 131072,  /* past them, so that a record's chunks lie in one piece */
};

struct trace_record {
	__u64 start_ns;
	__u64 duration_ns;
	__u64 args[6];
	__s64 result;            /* as the kernel returned it: -errno on failure */
	__u64 process_start_ns;
	__u64 cgroup;
	__u64 memory_position;   /* of the chunks, in this CPU's memory ring; counts up for ever */
	__u32 memory_bytes;      /* 0: none */
	__u32 pid;
	__u32 tid;
	__u32 task_sequence;     /* counts this thread's records from 1, taken before there is room for one */
	__u32 cpu_sequence;      /* low bits of this CPU's count, likewise */
	__u16 number;            /* of the syscall; 0xffff: none, or above all that fit */
	__u8 kind;               /* enum trace_kind */
	__u8 abi;                /* enum trace_abi */
	__u32 flags;             /* enum trace_flag */
	__u32 reserved;
};

enum trace_flag {
	TRACE_MEMORY_LOST = 1,   /* no room for the chunks: the record came without */
	TRACE_ENTRY_LOST = 2,    /* more memory than a call has room for: the last chunks are missing */
	TRACE_RESTARTED = 4,     /* result is one of ERESTART*: the kernel calls it again */
	TRACE_NOT_ENTERED = 8,   /* answered before it began, by seccomp or a tracer; start_ns is that of the answer */
	TRACE_FILES_TOLD = 16,   /* chunks say what its descriptors stand for: see descriptors_told */
	TRACE_OTHER_MOUNTS = 32, /* returned a file, in another mount namespace than the tracer's */
};

/* Memory: a chunk a piece, each header followed by `bytes` bytes, padded to 8. */
struct trace_chunk {
	__u8 arg;                /* 0-5; 6: what the return value names; 7: the process */
	__u8 kind;               /* enum chunk_kind */
	__u8 flags;              /* enum chunk_flag */
	__u8 part;               /* of several for one argument: element of argv, of an iovec, … */
	__u32 bytes;             /* that follow */
};

enum chunk_kind {
	CHUNK_BYTES = 0,         /* memory as it is */
	CHUNK_STRING = 1,        /* up to the NUL, which is left out */
	CHUNK_IOVEC = 2,         /* struct iovec[]; the data of each follow as BYTES with part = index */
	CHUNK_MSGHDR = 3,        /* struct msghdr, or mmsghdr; parts that follow: 0 name, 1 iovec (IOVEC), 2 control, 16+i data */
	CHUNK_STRINGS = 4,       /* argv, envp: each element ended by NUL */
	CHUNK_KERNEL_FILE = 5,   /* struct trace_file, then its path: components leaf first, each ended by NUL;
				    of a descriptor argument: what it stood for at the entry, AT_FDCWD too */
	CHUNK_USER_STACK = 6,    /* u64[] addresses */
	CHUNK_KERNEL_STACK = 7,
	CHUNK_STACK_TOP = 9,     /* u64 sp, u64 bp, then memory from sp on: x86-64 */
};

enum chunk_flag {
	CHUNK_AT_EXIT = 1,       /* read at the exit; else at the entry */
	CHUNK_FAULT = 2,         /* the memory could not be read */
	CHUNK_MORE = 4,          /* longer than what is here */
};

/* What the kernel opened, or found behind a descriptor. */
struct trace_file {
	__u64 inode;
	__u32 device;            /* the kernel's dev_t */
	__u32 mode;              /* S_IFMT and permissions */
};

/* Which memory to read for a syscall; rules[abi * TRACE_SYSCALLS + number], set before attaching. */
struct trace_fetch {
	__u8 arg;
	__u8 kind;               /* enum fetch_kind */
	__u8 when;               /* enum fetch_when */
	__u8 count_from;         /* COUNTED: an argument 0-5, 6 the result, 16+n the u32 (32+n: u64) that argument n points to */
	__u32 size;              /* BYTES: bytes; COUNTED: bytes an element */
};

enum fetch_kind {
	FETCH_NONE = 0,
	FETCH_STRING = 1,        /* a path or name, whole up to 4096 bytes */
	FETCH_TEXT = 2,          /* a string as data: up to -s bytes */
	FETCH_BYTES = 3,         /* a struct: whole */
	FETCH_COUNTED = 4,       /* size × count: whole up to 4096 bytes (arrays) */
	FETCH_BUFFER = 5,        /* like COUNTED with size 1: up to -s bytes (data) */
	FETCH_IOVEC = 6,         /* count from count_from; exit data bounded by the result */
	FETCH_MSGHDR = 7,
	FETCH_STRINGS = 8,       /* argv, envp */
	FETCH_FILES = 9,         /* s32[2], new descriptors: at the exit also a KERNEL_FILE of each, by part */
	FETCH_MESSAGES = 10,     /* struct mmsghdr[]: each as FETCH_MSGHDR; of BOTH the exit has the array as one MSGHDR */
	FETCH_SIGSET = 11,       /* a pointer and its size, then what it points to: BYTES, part 1 */
};

enum fetch_when {
	AT_ENTRY = 1,
	AT_EXIT_SUCCEEDED = 2,
	AT_BOTH = 3,             /* the entry, and an exit that succeeded */
	AT_EXIT = 4,             /* however it ended */
};

struct trace_rule {
	__u8 fetches;            /* used ones */
	__u8 selected;           /* the syscall is wanted */
	__u8 returns_file;       /* success returns a descriptor: say what the kernel opened */
	__u8 fd_arguments;       /* bit n: argument n is a descriptor, for the fd filter */
	__u8 path_arguments;     /* bit n: argument n is a path, for the path filter */
	__u8 at_entry;           /* bit n: fetch n is due at the entry */
	__u8 at_success;         /* ... at an exit that succeeded */
	__u8 at_exit;            /* ... at every exit */
	struct trace_fetch fetch[6];
};

/*
 * The memory ring of a CPU: blocks of TRACE_BLOCK_BYTES + TRACE_SLACK_BYTES one after another, a
 * power of two of them. Position p is at
 *     (cpu * blocks + p / BLOCK % blocks) * (BLOCK + SLACK) + p % BLOCK
 * and from there a record's chunks lie in one piece. A record that runs into the slack is followed
 * by one at the next block's beginning: memory_position says where each lies, never the sum of sizes.
 */

/* Counted per CPU. made = written + lost_*; every wanted call is in made. */
enum trace_count {
	TRACE_MADE = 0,          /* records wanted, after all filters, before there was room */
	TRACE_WRITTEN = 1,
	TRACE_LOST_RECORDS = 2,  /* no room for the record */
	TRACE_LOST_MEMORY = 3,   /* written without its chunks */
	TRACE_LOST_TASK = 4,     /* no storage for a thread: not in made */
	TRACE_FILTERED = 5,      /* selected, and left out by result, duration, path or fd */
	TRACE_UNREADABLE = 6,    /* chunks with FAULT */
	TRACE_COUNTS = 8,
};

/* Of one CPU: its rings' positions, and counts. Written by the kernel program, read by the reader. */
struct trace_head {
	__u64 records;           /* records[cpu * capacity + n % capacity] */
	__u64 memory;            /* bytes */
	__u64 counts[TRACE_COUNTS]; /* by enum trace_count */
	__u64 reserved[6];       /* the program's own, of the record that it makes; two cache lines a CPU */
};

/* Up to where the reader has read: written by it, read by the kernel program. */
struct trace_tail {
	__u64 records;
	__u64 memory;
	__u64 reserved[14];       /* as large as the head */
};

/* A directory or file of the path filter: key of the map filter_places. */
struct trace_place {
	__u64 inode;
	__u32 device;            /* the kernel's dev_t */
	__u32 zero;
};

/*
 * Key of the map filter_paths, a trie. Of the directory 0 of the device 0: "/a", NUL and "/a/" stand
 * for the path /a, itself and what is below. Of a directory above it: the same of the rest of the
 * path, for whoever names it from there. 256 bytes behind prefix_bits are what a trie can compare.
 */
enum trace_prefix { TRACE_PREFIX_BYTES = 244 };
struct trace_path_key {
	__u32 prefix_bits;
	__u32 device;            /* the kernel's dev_t */
	__u32 inode[2];          /* low half, high half */
	__u8 text[244];
};

/* What each thread or process in the map scope_tgids is; the value of that map. */
enum trace_scope {
	SCOPE_TRACED = 1,
	SCOPE_EXCLUDED = 2,      /* never traced, nor what it forks: ourselves */
	SCOPE_FROM_EXEC = 4,     /* traced from its next execve that succeeds, that one included */
	SCOPE_GIVEN = 8,         /* beside these: of a process that was named, or what it forks; no cgroup decides */
};

enum trace_result_filter {
	RESULT_ANY = 0,
	RESULT_INSIDE = 1,       /* result_low..result_high, both included; failures: -4095..-1 */
	RESULT_OUTSIDE = 2,
};

/* Set before loading: what is off costs nothing. Zeroes trace no one, with -s 0. */
struct trace_configuration {
	__u32 record_capacity;   /* records a CPU, a power of two */
	__u32 memory_blocks;     /* a CPU, a power of two */
	__u32 text_bytes;        /* of FETCH_TEXT and FETCH_BUFFER: -s */
	__u8 task_storage;       /* the kernel has it for tracing programs (5.12); else a hash by tid */
	__u8 scope_host;         /* everyone but who is excluded */
	__u8 scope_cgroups_set;  /* who is in a cgroup of the map scope_cgroups, or below one */
	__u8 fds_set;            /* only calls with a descriptor of the map filter_fds as an argument */
	__u8 paths_set;          /* only calls on what filter_paths or filter_places name, or below it */
	__u8 result_filter;      /* enum trace_result_filter */
	__u8 user_stacks;
	__u8 kernel_stacks;
	__s64 result_low;
	__s64 result_high;
	__u64 minimum_duration_ns;
	__u8 processes;          /* records of forks, execs and exits */
	__u8 signals;            /* records of signals */
	__u8 counting;           /* count in the kernel: see count.bpf.c; no records */
	__u8 descriptors_told;   /* each call says what its descriptors stand for: some are made unseen */
	__u8 typed_loads;        /* the kernel has bpf_rdonly_cast (6.2): see path.h */
	__u8 reserved[3];
	__u32 mount_namespace;   /* the tracer's, by its inode number */
	__u32 reserved_too;
};

/*
 * Counting: in the kernel, a value a thread and syscall, so that each has one writer and needs
 * neither atomics nor a copy a CPU; the reader adds threads up.
 */
enum trace_latency_shape {
	/* 8 buckets of 16 ns below 128 ns; then 8 an octave; the last one is open. */
	TRACE_LINEAR_BUCKETS = 8,
	TRACE_LINEAR_SHIFT = 4,
	TRACE_OCTAVE_BUCKETS = 8,
	TRACE_FIRST_OCTAVE = 7,  /* 128 ns */
	TRACE_OCTAVES = 26,      /* up to 8.6 s; with them a map's element just fits 1024 bytes */
	TRACE_LATENCY_BUCKETS = 216,
};

struct trace_count_key {
	__u64 process_start_ns;  /* with tid for one thread: no two share both */
	__u32 tid;
	__u16 number;
	__u8 abi;
	__u8 zero;
};

struct trace_counted {
	__u64 calls;             /* that returned */
	__u64 errors;
	__u64 total_ns;          /* of those whose entry we saw, as the buckets; 0 where no times are kept */
	__u64 min_ns;
	__u64 max_ns;
	__u64 named_ns;          /* when comm was read: at the first call, and the first after an exec */
	__u32 pid;
	__u32 reserved;
	__u8 comm[16];
};

/* What a thread counts without a key: see tally.h. */
enum trace_tally_limits {
	TRACE_TALLIES = 64,      /* a CPU, of threads that began to be counted there */
	TRACE_TALLIED = 512,     /* numbers, of the machine's own ABI */
};

struct trace_tally {
	__u64 process_start_ns;
	__u64 named_ns;          /* as in trace_counted */
	__u32 tid;
	__u32 pid;               /* 0: nobody's yet */
	__u8 comm[16];
	__u64 calls[TRACE_TALLIED]; /* that succeeded */
};

struct trace_latency {
	struct trace_counted counted;
	__u32 buckets[TRACE_LATENCY_BUCKETS];
};

struct trace_error_key {
	__u64 process_start_ns;
	__u32 tid;
	__u32 pid;
	__u16 number;
	__u16 error;             /* errno, positive */
	__u8 abi;
	__u8 zero[3];
};

/* What the counting maps had no room for: by syscall only, counted per CPU, index abi * TRACE_SYSCALLS + number. */
struct trace_other {
	__u64 calls;
	__u64 errors;
	__u64 total_ns;
	__u64 errors_unnamed;    /* of these and others: without their errno */
};
