/* What the parts of the stub kernel share. */
#ifndef STUB_INTERNAL_H
#define STUB_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bpf.h>
#include "machine.h"
#include "stub.h"

void stop(const char *why);
bool fails(enum stub_fault fault);
void *copy_of(const void *data, uint64_t size);
struct stub_map *map_of(void *map);
void note(enum stub_deed deed, uint64_t flags, const char *ring, void *data, uint64_t size);
bool record_is_open(void);

void reset_maps(void);
void reset_rings(void);
void reset_memory(void);

#endif
