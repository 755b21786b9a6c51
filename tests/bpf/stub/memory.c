/* User and kernel memory apart, each readable where it was allocated and nowhere else. */
#include "internal.h"

struct region {
	struct region *next;
	enum stub_memory memory;
	uintptr_t start;
	uint64_t size;
};

static struct region *regions;

static bool readable(enum stub_memory memory, const void *from, uint64_t size)
{
	uintptr_t start = (uintptr_t)from;

	for (struct region *each = regions; each; each = each->next)
		if (each->memory == memory && start >= each->start &&
		    start - each->start <= each->size && size <= each->size - (start - each->start))
			return true;
	return false;
}

static long read_memory(enum stub_memory memory, void *to, uint32_t size, const void *from)
{
	enum stub_fault fault = memory == STUB_USER ? STUB_READ_USER : STUB_READ_KERNEL;

	if (fails(fault) || !readable(memory, from, size)) {
		memset(to, 0, size); /* as the kernel does */
		return -EFAULT;
	}
	memcpy(to, from, size);
	return 0;
}

long bpf_probe_read_user(void *to, __u32 size, const void *from)
{
	return read_memory(STUB_USER, to, size, from);
}

long bpf_probe_read_kernel(void *to, __u32 size, const void *from)
{
	return read_memory(STUB_KERNEL, to, size, from);
}

/* Up to the NUL or the end of what is readable: strings of tests lie in memory of their own. */
long bpf_probe_read_user_str(void *to, __u32 size, const void *from)
{
	char *out = to;

	if (fails(STUB_READ_USER))
		return -EFAULT;
	for (uint32_t i = 0; i < size; i++) {
		if (!readable(STUB_USER, (const char *)from + i, 1))
			return -EFAULT;
		out[i] = i + 1 < size ? ((const char *)from)[i] : 0;
		if (!out[i])
			return i ? i + 1 : 0; /* as before 6.16 */
	}
	return 0;
}

long bpf_probe_read_kernel_str(void *to, __u32 size, const void *from)
{
	char *out = to;

	if (fails(STUB_READ_KERNEL) || !readable(STUB_KERNEL, from, 1))
		return -EFAULT;
	for (uint32_t i = 0; i < size; i++) {
		out[i] = i + 1 < size ? ((const char *)from)[i] : 0;
		if (!out[i])
			return i + 1;
	}
	return 0;
}

long bpf_skb_load_bytes(const void *skb, __u32 offset, void *to, __u32 size)
{
	const struct __sk_buff *head = skb;
	const uint8_t *packet = (const uint8_t *)(head + 1);

	if (fails(STUB_SKB) || !size || offset > head->len || size > head->len - offset) {
		memset(to, 0, size);
		return -EFAULT;
	}
	memcpy(to, packet + offset, size);
	return 0;
}

void *stub_allocate(enum stub_memory memory, uint64_t size_bytes)
{
	struct region *region = malloc(sizeof(*region));
	void *start = calloc(1, size_bytes ? size_bytes : 1);

	*region = (struct region){ regions, memory, (uintptr_t)start, size_bytes };
	regions = region;
	return start;
}

/* A struct __sk_buff with the packet after it. */
void *stub_packet(const char *data, uint64_t size_bytes)
{
	struct __sk_buff *skb = stub_allocate(STUB_KERNEL, sizeof(*skb) + size_bytes);

	skb->len = size_bytes;
	memcpy(skb + 1, data, size_bytes);
	return skb;
}

void stub_unmap(void *memory)
{
	for (struct region *each = regions; each; each = each->next)
		if (each->start == (uintptr_t)memory)
			each->size = 0;
}

void reset_memory(void)
{
	while (regions) {
		struct region *next = regions->next;

		free((void *)regions->start);
		free(regions);
		regions = next;
	}
}
