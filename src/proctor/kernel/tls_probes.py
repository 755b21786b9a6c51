"""Which of our programs go on which functions of a TLS library, and putting them there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proctor.kernel.elf import Elf, ElfError, Symbol
from proctor.kernel.object import KernelError, KernelObject, Link
from proctor.kernel.placement import SEARCH_BYTES, entry_offset


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


def find_sites(elf: Elf) -> list[Site]:
    """Where the probes go in this file; nothing where it defines no part of OpenSSL."""
    if not elf.mentions(TIE_FUNCTION.encode()) and not elf.mentions(b"SSL_write"):
        return []
    functions = elf.functions(sorted({probe.function for probe in PROBES}))
    return [
        Site(probe, _offset(elf, functions[probe.function], probe))
        for probe in PROBES
        if probe.function in functions
    ]


def speaks_tls(sites: list[Site]) -> bool:
    """Whether these are the sites of a TLS library, and not of libcrypto alone."""
    return {"SSL_read", "SSL_write"} <= {site.probe.function for site in sites}


def _offset(elf: Elf, symbol: Symbol, probe: Probe) -> int:
    """A return probe must sit on the entry; an entry probe beside one gains nothing elsewhere."""
    has_return = any(p.at_return and p.function == probe.function for p in PROBES)
    if probe.at_return or has_return:
        return symbol.offset
    length = min(symbol.size or SEARCH_BYTES, SEARCH_BYTES)
    return symbol.offset + entry_offset(elf.data[symbol.offset : symbol.offset + length], elf.machine)


def sites_of(fd: int) -> list[Site]:
    """`find_sites` of an open file; a file that is no ELF has none."""
    try:
        elf = Elf(fd)
    except (ElfError, ValueError, OSError):
        return []
    try:
        return find_sites(elf)
    finally:
        elf.close()


def attach_sites(kernel: KernelObject, path: str, sites: list[Site], cookie: int) -> list[Link]:
    """Put all probes in, or none: raises KernelError after taking out what was in."""
    links: list[Link] = []
    try:
        for site in sites:
            links.append(
                kernel.attach_uprobe(
                    site.probe.program,
                    path,
                    site.offset,
                    at_return=site.probe.at_return,
                    cookie=cookie,
                )
            )
    except KernelError:
        for link in links:
            link.close()
        raise
    return links
