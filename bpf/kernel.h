/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel types that our programs read, and only the fields they read.
 *
 * preserve_access_index makes libbpf look the real offsets up in the running
 * kernel's BTF, so this stands in for a generated vmlinux.h: it needs no
 * kernel and no bpftool at build time, and shows what we depend on. Fields that a
 * type had only before or since some version stand side by side: libbpf looks
 * each type up by its name, in 1.3 ms.
 */
#ifndef PROCTOR_KERNEL_H
#define PROCTOR_KERNEL_H

/* Tells bpf_tracing.h that pt_regs has the kernel's field names, not uapi's. */
#define __VMLINUX_H__
#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#define AF_INET 2
#define AF_INET6 10
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define O_ACCMODE 3
#define O_CREAT 0100
#define O_TRUNC 01000
#define __O_TMPFILE 020000000
#define AT_FDCWD -100
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_FOLLOW 0x400
#define FMODE_WRITE 2
#define FMODE_CREATED 0x100000 /* open() made the file */
#define PROC_SUPER_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_TYPE 0xf
#define MAP_SHARED 1
#define MAP_SHARED_VALIDATE 3
#define MAP_ANONYMOUS 0x20
#define VM_WRITE 2
#define VM_SHARED 8
#define EPERM 1
#define EACCES 13
#define EBUSY 16
#define EEXIST 17
#define EROFS 30
#define ENOSYS 38
#define SIGILL 4
#define SIGTRAP 5
#define SIGBUS 7
#define SIGFPE 8
#define SIGSEGV 11
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define PF_EXITING 0x00000004
#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000
#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
#define ECONNABORTED 103
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define SOCK_DONE 1 /* enum sock_flags: the peer sent FIN */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#ifdef __TARGET_ARCH_arm64
struct user_pt_regs { __u64 regs[31]; __u64 sp; __u64 pc; __u64 pstate; };
struct pt_regs { struct user_pt_regs user_regs; u64 orig_x0; s32 syscallno; };
#else
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
	unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#endif

struct pid;
struct tty_struct;
typedef struct { int counter; } atomic_t;
typedef struct { u32 val; } kuid_t;
typedef struct { u32 val; } kgid_t;

struct qstr { u32 len; const unsigned char *name; };
struct timespec64 { s64 tv_sec; long tv_nsec; };
struct super_block { u32 s_dev; unsigned long s_magic; };
struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	u32 i_generation;
	s64 i_ctime_sec;   /* since 6.11 */
	u32 i_ctime_nsec;
	struct timespec64 __i_ctime; /* since 6.6 */
	struct timespec64 i_ctime;   /* before */
};
union shortname_store { unsigned char string[40]; };
struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	union shortname_store d_shortname; /* since 6.14 */
	unsigned char d_iname[32];         /* before */
};
struct vfsmount { struct dentry *mnt_root; };
struct ns_common { unsigned int inum; };
struct mnt_namespace { struct ns_common ns; };
struct nsproxy { struct mnt_namespace *mnt_ns; };
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};
struct path { struct vfsmount *mnt; struct dentry *dentry; };
struct file { unsigned int f_mode; struct inode *f_inode; struct path f_path; void *private_data; };
struct backing_file { struct file file; /* it begins with one */ struct path user_path; /* since 6.7 */ };
struct vm_area_struct { unsigned long vm_start, vm_end, vm_flags; struct file *vm_file; };
struct fdtable { unsigned int max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };
struct fs_struct { struct path root, pwd; };
struct mm_struct { unsigned long arg_start, arg_end; };
struct cred { kuid_t uid; kgid_t gid; };
struct signal_struct {
	atomic_t live;
	int group_exit_code;
	struct task_struct *group_exec_task; /* since 5.17; before: */
	struct task_struct *group_exit_task;
	struct pid *pids[4]; /* enum pid_type: PID, TGID, PGID, SID */
	struct tty_struct *tty;
};
struct thread_info { unsigned long flags; u32 status; };
struct kernfs_node {
	u64 id;
	struct kernfs_node *__parent; /* since 6.15 */
	struct kernfs_node *parent;   /* before */
};
struct cgroup { struct kernfs_node *kn; };
struct css_set { struct cgroup *dfl_cgrp; };
struct task_struct {
	struct thread_info thread_info;
	void *stack;
	unsigned int flags;
	unsigned int __state; /* since 5.14 */
	unsigned int ptrace;
	int pid;
	int tgid;
	int exit_code;
	u64 start_boottime;
	char comm[16];
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	const struct cred *cred;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
};
struct linux_binprm { struct file *file; };

struct in6_addr { u8 bytes[16]; };
struct sock_common {
	u16 skc_family;
	u16 skc_num;   /* host byte order */
	u16 skc_dport; /* network byte order */
	u32 skc_rcv_saddr;
	u32 skc_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
};
struct sock { struct sock_common __sk_common; u16 sk_protocol; int sk_err; };
struct tcp_sock { struct sock sk; /* it begins with one */ u64 bytes_sent, bytes_retrans, bytes_received; };
struct socket { struct sock *sk; };

struct trace_entry { int pid; };
struct trace_event_raw_sys_enter { long id; unsigned long args[6]; };
struct trace_event_raw_sys_exit { long id; long ret; };

struct kernel_siginfo { int si_signo, si_errno, si_code; int _sifields; /* a union, as user space has it */ };

struct kiocb { s64 ki_pos; };
struct io_cqe { u64 user_data; s32 res; s32 fd; };
struct io_cmd_data { struct file *file; };
struct io_kiocb { struct io_cmd_data cmd; u8 opcode; u32 flags; struct io_cqe cqe; };
struct filename { const char *name; };
/* What a request is, in place of io_kiocb's cmd. */
struct io_rw { struct kiocb kiocb; u32 len; };
struct io_open { int dfd; struct filename *filename; };
struct io_unlink { int dfd; struct filename *filename; };
struct io_mkdir { int dfd; struct filename *filename; };
struct io_statx { int dfd; struct filename *filename; };
struct io_rename { int old_dfd, new_dfd; struct filename *oldpath, *newpath; };
struct io_link { int old_dfd, new_dfd; struct filename *oldpath, *newpath; };
struct io_close { int fd; };

struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; u64 session_id; u64 seq_num; };
struct bpf_map;
struct bpf_iter__bpf_map_elem { struct bpf_iter_meta *meta; struct bpf_map *map; void *key; void *value; };
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; };

#pragma clang attribute pop

/* What sys_enter_writev and sys_enter_sendmsg point to in user memory. */
struct user_iovec { u64 base; u64 length; };
struct user_msghdr { u64 name; u64 name_length; u64 iov; u64 iov_length; };

#endif
