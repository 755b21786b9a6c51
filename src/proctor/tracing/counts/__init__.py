"""Calls counted, by the kernel or of a file, and how that is shown."""
