/* What tests may do to the stub kernel. Read by cffi. */

enum stub_memory { STUB_USER, STUB_KERNEL };

/* What can be made to fail, once: the nth of its kind from now on. */
enum stub_fault {
	STUB_RESERVE, STUB_UPDATE, STUB_READ_USER, STUB_READ_KERNEL, STUB_SIGNAL, STUB_SKB,
	STUB_WRITE_ROW, STUB_MEMORY_LOCK,
	STUB_FAULTS
};

/* All that stays as it is while a program runs. */
struct stub_now {
	uint64_t time_ns, pid_tgid, cgroup, task, cookie;
	uint64_t ancestors[12];
	uint32_t processor;
	char comm[16];
	uint64_t registers; /* of the program, at its syscall's exit */
	uint64_t areas, area_count; /* struct vm_area_struct[], of its memory */
};
extern struct stub_now stub_now;

/* What the programs did, in its order. */
enum stub_deed { STUB_RESERVED, STUB_SUBMITTED, STUB_DISCARDED, STUB_SIGNALLED, STUB_WRITTEN };
struct stub_event {
	enum stub_deed deed;
	uint64_t flags;      /* of submit; the signal */
	const char *ring;    /* NULL for a row of an iterator */
	uint8_t *data;       /* of submit: as much as was reserved */
	uint64_t size_bytes;
};

void stub_reset(void);
void *stub_allocate(enum stub_memory memory, uint64_t size_bytes);
void *stub_packet(const char *data, uint64_t size_bytes);
void stub_unmap(void *memory);
int stub_run(const char *program, void *context);
uint64_t stub_event_count(void);
struct stub_event *stub_event_at(uint64_t index);
void stub_fail(enum stub_fault fault, uint64_t nth);
uint64_t stub_faulted(void);
uint64_t stub_seen(enum stub_fault fault);
void stub_absent(const char *what);
void stub_let_go_meanwhile(void); /* before the next signal lands, its process's note is taken */
void stub_waiting(uint64_t bytes, uint64_t ring_bytes);
void stub_keep(uint64_t bytes);
void stub_set_configuration(const void *configuration, uint64_t size_bytes);
void stub_shrink(const char *map, uint64_t value_bytes);
void stub_limit(const char *map, uint64_t entries);
uint64_t stub_entries(const char *map);
uint64_t stub_entry(const char *map, uint64_t index, void **key, void **value);
int stub_update(const char *map, const void *key, const void *value);
int stub_delete(const char *map, const void *key);
void *stub_lookup(const char *map, const void *key);
