/* Types of system calls that the kernel keeps to itself, as its source has them. */
#include <linux/types.h>
#include <linux/posix_types.h>
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 loff_t;
typedef __kernel_size_t size_t;
typedef __kernel_long_t off_t;
typedef int pid_t;
typedef unsigned short sa_family_t;
typedef unsigned int uid_t;
typedef unsigned int gid_t;
typedef unsigned short old_uid_t;
typedef unsigned short old_gid_t;
typedef int timer_t;
typedef __s32 old_time32_t;
typedef unsigned long old_sigset_t;
struct old_timespec32 { __s32 tv_sec, tv_nsec; };
struct old_timeval32 { __s32 tv_sec, tv_usec; };
struct old_itimerspec32 { struct old_timespec32 it_interval, it_value; };
struct old_itimerval32 { struct old_timeval32 it_interval, it_value; };
struct old_utimbuf32 { __s32 actime, modtime; };
struct old_timex32 { __u32 modes; __s32 offset, freq, maxerror, esterror, status, constant,
	precision, tolerance; struct old_timeval32 time; __s32 tick, ppsfreq, jitter, shift, stabil,
	jitcnt, calcnt, errcnt, stbcnt, tai; int : 32; int : 32; int : 32; int : 32; int : 32; int : 32;
	int : 32; int : 32; int : 32; int : 32; int : 32; };
struct sel_arg_struct { __u32 n, inp, outp, exp, tvp; };
struct mmap_arg_struct32 { __u32 addr, len, prot, flags, fd, offset; };
struct mmap_arg_struct { unsigned long addr, len, prot, flags, fd, offset; };
struct kernel_sigset { __u32 bits[2]; };
struct kernel_sigaction { void *handler; unsigned long flags; void *restorer; __u32 mask[2]; };
struct old_sigaction { void *handler; unsigned long mask, flags; void *restorer; };
struct sched_param { int sched_priority; };
struct pointers { unsigned long pointer; };

/* The names that prctl(2) has for what the kernel calls otherwise by now. */
#define SUID_DUMP_DISABLE TASK_DUMPABLE_OFF
#define SUID_DUMP_USER TASK_DUMPABLE_OWNER
#define SUID_DUMP_ROOT TASK_DUMPABLE_ROOT
