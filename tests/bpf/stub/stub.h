/* What programs.c and kernel.c tell each other, and what the tests call. */
#ifndef STUB_H
#define STUB_H

typedef int stub_program(void *context);

struct stub_named_program {
	const char *name;
	stub_program *run;
};

struct stub_map {
	const char *name;
	void *map; /* the programs' variable */
	unsigned long type, max_entries, key_bytes, value_bytes;
	struct stub_entry *entries; /* newest first */
	unsigned long count;
};

extern struct stub_map stub_maps[];
extern const struct stub_named_program stub_programs[];
stub_program *stub_tail(void *programs, unsigned int index);
void *stub_configuration(void);

#endif
