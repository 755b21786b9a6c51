"""The syscall tracer."""
