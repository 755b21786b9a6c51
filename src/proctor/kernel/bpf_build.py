"""Builds `proctor.kernel._bpf`: the part of libbpf that we use, and our own ring reader.

Run by setup.py through cffi's `cffi_modules`; never imported at run time.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent

CDEF = """
typedef struct bpf_object bpf_object;
typedef struct bpf_program bpf_program;
typedef struct bpf_map bpf_map;
typedef struct bpf_link bpf_link;

bpf_object *bpf_object__open(const char *path);
int bpf_object__load(bpf_object *object);
void bpf_object__close(bpf_object *object);
bpf_program *bpf_object__next_program(const bpf_object *object, bpf_program *previous);
bpf_map *bpf_object__next_map(const bpf_object *object, const bpf_map *previous);
const char *bpf_program__name(const bpf_program *program);
const char *bpf_program__section_name(const bpf_program *program);
int bpf_program__set_autoload(bpf_program *program, bool autoload);
int bpf_program__fd(const bpf_program *program);
const char *bpf_map__name(const bpf_map *map);
int bpf_map__fd(const bpf_map *map);
unsigned int bpf_map__max_entries(const bpf_map *map);
int bpf_map__set_max_entries(bpf_map *map, unsigned int max_entries);
uint32_t bpf_map__map_flags(const bpf_map *map);
int bpf_map__set_map_flags(bpf_map *map, uint32_t flags);
int bpf_map__set_autocreate(bpf_map *map, bool autocreate);
int bpf_map__set_initial_value(bpf_map *map, const void *data, size_t size);

bpf_link *bpf_program__attach(const bpf_program *program);
bpf_link *bpf_program__attach_tracepoint(const bpf_program *program, const char *category,
                                         const char *name);
bpf_link *bpf_program__attach_cgroup(const bpf_program *program, int cgroup_fd);
int bpf_link__fd(const bpf_link *link);
int bpf_link__destroy(bpf_link *link);
int bpf_iter_create(int link_fd);

int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values,
                         uint32_t *count, const void *options);
int libbpf_num_possible_cpus(void);

/* Ours: native.h */
void proctor_log_start(void);
const char *proctor_log_text(void);
bpf_link *proctor_attach_uprobe(const bpf_program *program, const char *path, size_t offset,
                                bool at_return, uint64_t cookie);
int proctor_attach_uprobe_multi(const bpf_program *program, const char *path,
                                const uint64_t *offsets, uint32_t count, bool at_return,
                                uint64_t cookie);
bool proctor_has_uprobe_multi(void);
int proctor_set_uprobe_multi(bpf_program *program);
bpf_link *proctor_attach_map_iterator(const bpf_program *program, int map_fd);

typedef struct proctor_ring proctor_ring;
proctor_ring *proctor_ring_open(int map_fd, size_t size_bytes);
void proctor_ring_close(proctor_ring *ring);
uint64_t proctor_ring_produced(const proctor_ring *ring);
size_t proctor_ring_drain(proctor_ring *ring, void *buffer, size_t capacity_bytes, uint64_t until);
uint64_t proctor_ring_consumed(const proctor_ring *ring);
uint32_t proctor_ring_look(proctor_ring *ring, void *places, uint32_t places_max,
                           uint64_t size_bytes, uint64_t until);
void proctor_ring_release(proctor_ring *ring);
"""


def _flags(option: str) -> list[str]:
    """What pkg-config says of libbpf, or nothing where there is none."""
    try:
        said = subprocess.run(
            ["pkg-config", option, "libbpf"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return said.stdout.split()


ffibuilder = FFI()
ffibuilder.cdef(CDEF)
ffibuilder.set_source(
    "proctor.kernel._bpf",
    '#include "native.h"',
    sources=["src/proctor/kernel/native.c"],
    include_dirs=[str(HERE), str(HERE.parent / "records"), str(HERE.parents[2] / "bpf")],
    libraries=["bpf"],
    depends=["src/proctor/kernel/native.h"],
    extra_compile_args=["-O2", "-Wall", *_flags("--cflags")],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(HERE.parent.parent), verbose=True)
