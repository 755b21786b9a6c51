"""Names, numbers, arguments and constants of the kernel's syscalls."""
