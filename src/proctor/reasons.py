"""The one catalogue of reasons: why something is missing, cut or not seen.

A reason is a stable word in the output (`gaps[].reason`, `lost`; of `coverage` where
it is not what the kernel said); the text here is what documentation and the terminal
say of it. Words are added, never reused for something else.
"""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, str]] = {
    # Loss in the kernel
    "ring_full": "the kernel's ring was full: the record or payload was dropped",
    "map_full": "a kernel map was full: the process, connection, handle or file was not followed",
    "unreadable": "memory that the kernel program could not read, or a repeat of what is damaged",
    "call_too_long": "the call was longer than this kernel's loop bound",
    "arguments_full": "no room for what a syscall's arguments point to: it came without",
    # Streams
    "joined_late": "the connection was older than the watch: its beginning was not seen",
    "abandoned": "a write was given up after a failed attempt: up to this many bytes may have left",
    "reordered": "a piece came out of order and could not be placed",
    "skipped": "the connection was judged to carry no model traffic",
    # Recording
    "recording_cut": "the recording ends without its end mark",
    "recording_damaged": "bytes of the recording are damaged",
    "unknown_record": "the recording holds a record of a kind that this version does not know",
    "disk_full": "the recording could not be written: no space left",
    "write_failed": "the recording could not be written",
    "spool_damaged": "the spool, between drainer and formatter, could not be read",
    "interrupted": "Ctrl-C twice: what was not written yet was left out",
    # Messages
    "closed_early": "the connection closed before the message was complete",
    "process_exit": "the process ended before the message was complete",
    "recording_end": "the watch ended before the message was complete",
    "malformed": "the bytes are not what the protocol allows",
    "too_large": "the body was longer than is kept",
    "bad_encoding": "the content encoding could not be undone",
    "no_request": "an answer whose request was not seen",
    # Attaching
    "not_held": "the process was not held while probes were attached: first bytes may be missing",
    "protocol_unsupported": "the plaintext is of a protocol that is not understood yet",
    # Coverage
    "library_unknown": "TLS went over the wire, and no TLS library of the process is known",
    "plaintext_not_seen": "TLS went over the wire past the libraries that are attached",
    "untied": "plaintext was seen, but not which connection carried it",
}
