/* The memory of the task that runs, by its areas. */
#include "kernel.h"
#include "internal.h"

typedef long area_callback(struct task_struct *task, struct vm_area_struct *area, void *context);

long bpf_find_vma(struct task_struct *task, __u64 address, void *callback, void *context, __u64 flags)
{
	struct vm_area_struct *areas = (struct vm_area_struct *)stub_now.areas;

	(void)flags;
	if (fails(STUB_MEMORY_LOCK))
		return -EBUSY;
	for (uint64_t i = 0; i < stub_now.area_count; i++)
		if (address >= areas[i].vm_start && address < areas[i].vm_end) {
			((area_callback *)callback)(task, &areas[i], context);
			return 0;
		}
	return -ENOENT;
}
