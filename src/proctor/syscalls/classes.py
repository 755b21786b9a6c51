"""strace's classes of syscalls, from what their arguments are; by name where that says nothing."""

from __future__ import annotations


def classes_of(name: str, formats: tuple[str, ...], returns: str) -> frozenset[str]:
    """Classes without their `%`."""
    classes = set()
    if "path" in formats:
        classes.add("file")
    if returns == "fd" or not {"fd", "dirfd", "fd_out"}.isdisjoint(formats):
        classes.add("desc")
    return frozenset(classes)
