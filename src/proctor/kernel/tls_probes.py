"""Which of our programs go on which functions of a TLS library, and putting them there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proctor.kernel.elf import Elf, ElfError, Symbol
from proctor.kernel.object import KernelError, KernelObject, Link, UprobeLink
from proctor.kernel.placement import (
    SEARCH_BYTES,
    calls,
    entry_offset,
    is_emulated_start,
    passing_callee,
    return_offset,
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One program on one function."""

    function: str
    program: str
    at_return: bool = False


PROBES: Final = (
    Probe("SSL_new", "ssl_new_return", at_return=True),
    Probe("SSL_free", "ssl_free_enter"),
    Probe("SSL_do_handshake", "ssl_do_handshake_enter"),
    Probe("SSL_read", "ssl_return", at_return=True),
    Probe("SSL_read", "ssl_read_enter"),
    Probe("SSL_read_ex", "ssl_return", at_return=True),
    Probe("SSL_read_ex", "ssl_read_ex_enter"),
    Probe("BIO_write", "bio_write_enter"),
    Probe("SSL_write", "ssl_return", at_return=True),
    Probe("SSL_write", "ssl_write_enter"),
    Probe("SSL_write_ex", "ssl_return", at_return=True),
    Probe("SSL_write_ex", "ssl_write_ex_enter"),
)
"""In the order of attaching: returns before entries, so that no entry waits for its return."""

TIE_FUNCTION: Final = "BIO_write"
"""In libcrypto where that is a file of its own: probed there alone."""


@dataclass(frozen=True, slots=True)
class Site:
    """A probe and where it goes in the file."""

    probe: Probe
    offset: int


PAIRS: Final = (("SSL_read", "SSL_read_ex"), ("SSL_write", "SSL_write_ex"))
"""In OpenSSL up to 3.1 both of a pair hand on to one internal function of the _ex form's
arguments, which begins with a push: one cheap place instead of two dear ones."""


def find_sites(elf: Elf) -> list[Site]:
    """Where the probes go in this file; nothing where it defines no part of OpenSSL."""
    if not elf.functions([TIE_FUNCTION, "SSL_write"]):  # a cheap no for most files
        return []
    functions = elf.functions(sorted({probe.function for probe in PROBES}))
    for pair in PAIRS:
        _use_internal(elf, functions, *pair)
    return [
        Site(probe, _offset(elf, functions[probe.function], probe))
        for probe in PROBES
        if probe.function in functions
    ]


def _use_internal(elf: Elf, functions: dict[str, Symbol], plain: str, extended: str) -> None:
    """Let the extended name stand for the internal function, where both lead there."""
    if plain not in functions or extended not in functions:
        return
    start = functions[extended].offset
    callee = passing_callee(_code(elf, functions[extended]), elf.machine)
    if callee is None:
        return
    distance = start + callee - functions[plain].offset
    if not calls(_code(elf, functions[plain]), elf.machine, distance):
        return
    internal = Symbol(extended, start + callee, 0)
    if not is_emulated_start(_code(elf, internal), elf.machine):
        return
    functions[extended] = internal
    del functions[plain]


def _code(elf: Elf, symbol: Symbol) -> bytes:
    length = min(symbol.size or SEARCH_BYTES, SEARCH_BYTES)
    return elf.read(symbol.offset, length)


def speaks_tls(sites: list[Site]) -> bool:
    """Whether these are the sites of a TLS library, and not of libcrypto alone."""
    functions = {site.probe.function for site in sites}
    return all(functions & set(pair) for pair in PAIRS)


def _offset(elf: Elf, symbol: Symbol, probe: Probe) -> int:
    """An entry probe beside a return probe goes where that goes: one trap for both."""
    has_return = any(p.at_return and p.function == probe.function for p in PROBES)
    place = return_offset if has_return else entry_offset
    return symbol.offset + place(_code(elf, symbol), elf.machine)


def sites_of(fd: int) -> list[Site]:
    """`find_sites` of an open file; a file that is no ELF has none."""
    try:
        return find_sites(Elf(fd))
    except (ElfError, OSError):
        return []


def attach_sites(
    kernel: KernelObject, path: str, sites: list[Site], cookie: int
) -> list[Link | UprobeLink]:
    """Put all probes in, or none: raises KernelError after taking out what was in."""
    offsets: dict[tuple[str, bool], list[int]] = {}
    for site in sites:
        offsets.setdefault((site.probe.program, site.probe.at_return), []).append(site.offset)
    links: list[Link | UprobeLink] = []
    try:
        for (program, at_return), places in offsets.items():
            links += kernel.attach_uprobes(
                program, path, places, at_return=at_return, cookie=cookie
            )
    except KernelError:
        for link in links:
            link.close()
        raise
    return links
