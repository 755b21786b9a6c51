/* libbpf's own macros, without the relocation that only clang's BPF target knows. */
#ifndef STUB_BPF_CORE_READ_H
#define STUB_BPF_CORE_READ_H

#define __builtin_preserve_access_index(access) (access)
/* Some versions include libbpf's own of the other, which would declare all helpers anew. */
#define __BPF_HELPERS__
#ifndef __ksym
#define __ksym
#define __weak __attribute__((weak))
#endif
#include_next <bpf/bpf_core_read.h>

#undef bpf_core_field_exists
#undef bpf_core_field_offset
#undef bpf_core_enum_value_exists
/* By the words of the question: a test says which fields and helpers its kernel has. */
#define bpf_core_field_exists(field...) stub_exists(#field)
#define bpf_core_enum_value_exists(type, value) stub_exists(#value)
#define bpf_core_field_offset(type, field) offsetof(type, field)

_Bool stub_exists(const char *what);

#endif
