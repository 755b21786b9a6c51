"""keyctl: arguments by its operation."""

from __future__ import annotations

from functools import partial
from typing import Final

from proctor.syscalls.call import Call, Printer
from proctor.syscalls.constants import errno_name
from proctor.syscalls.quoting import quote_cut, terminated
from proctor.syscalls.text.scalars import address, hexadecimal, identity, integer, size, unsigned
from proctor.syscalls.text.symbols import flags, one_of
from proctor.syscalls.text.words import OfText, OfValue

Texts = list[str]

_KEYRINGS: Final = range(-8, 0)


def _serial(value: int) -> str:
    return one_of("keyring", value) if value in _KEYRINGS else str(value)


def _payload(call: Call, n: int) -> str:
    """Read as a string: one with a NUL in it is not here whole, and shown as an address."""
    chunk, wanted = call.entry(n), call.unsigned_long(n + 1)
    if chunk is None or (len(chunk.data) < wanted and not chunk.more):
        return call.pointer(n)
    data = chunk.data[:wanted]
    return quote_cut(data, call.text_bytes, len(data) < wanted)


def _answer(call: Call, n: int) -> str:
    """What the kernel put there: as much as there was room for."""
    chunk = call.exit(n)
    if chunk is None:
        return call.pointer(n)
    there = min(call.result, call.unsigned_long(n + 1))
    return quote_cut(chunk.data[:there], call.text_bytes, len(chunk.data) < there)


def _description(call: Call, n: int) -> str:
    """What the kernel put there: a string with its NUL."""
    chunk = call.exit(n)
    if chunk is None:
        return call.pointer(n)
    there = min(call.result, call.unsigned_long(n + 1))
    shown = terminated(chunk.data[:there])
    return quote_cut(shown, call.text_bytes, len(shown) == len(chunk.data) < there)


def _capabilities(call: Call, n: int) -> str:
    chunk = call.exit(n)
    if chunk is None or len(chunk.data) > len(_CAPABILITIES):
        return call.pointer(n)
    words = [flags(group, byte) for group, byte in zip(_CAPABILITIES, chunk.data, strict=False)]
    return "[" + ", ".join(words) + "]"


_CAPABILITIES: Final = ("keyctl_capabilities_0", "keyctl_capabilities_1")
_KEY: Final = OfValue("signed", _serial)
_TEXT: Final = OfText(limited=True, side="entry")
_USER: Final = OfValue("unsigned", identity)
_ERROR: Final = OfValue("unsigned", lambda value: errno_name(value) or str(value))

_OPERATIONS: Final[dict[str, tuple[Printer, ...]]] = {
    "KEYCTL_GET_KEYRING_ID": (_KEY, integer),
    "KEYCTL_JOIN_SESSION_KEYRING": (_TEXT,),
    "KEYCTL_UPDATE": (_KEY, _payload, size),
    "KEYCTL_REVOKE": (_KEY,),
    "KEYCTL_CHOWN": (_KEY, _USER, _USER),
    "KEYCTL_SETPERM": (_KEY, hexadecimal),
    "KEYCTL_DESCRIBE": (_KEY, _description, size),
    "KEYCTL_CLEAR": (_KEY,),
    "KEYCTL_LINK": (_KEY, _KEY),
    "KEYCTL_UNLINK": (_KEY, _KEY),
    "KEYCTL_SEARCH": (_KEY, _TEXT, _TEXT, _KEY),
    "KEYCTL_READ": (_KEY, _answer, size),
    "KEYCTL_INSTANTIATE": (_KEY, _payload, size, _KEY),
    "KEYCTL_NEGATE": (_KEY, unsigned, _KEY),
    "KEYCTL_SET_REQKEY_KEYRING": (OfValue("signed", partial(one_of, "key_request")),),
    "KEYCTL_SET_TIMEOUT": (_KEY, unsigned),
    "KEYCTL_ASSUME_AUTHORITY": (_KEY,),
    "KEYCTL_GET_SECURITY": (_KEY, _description, size),
    "KEYCTL_SESSION_TO_PARENT": (),
    "KEYCTL_REJECT": (_KEY, unsigned, _ERROR, _KEY),
    "KEYCTL_INSTANTIATE_IOV": (_KEY, address, size, _KEY),
    "KEYCTL_INVALIDATE": (_KEY,),
    "KEYCTL_GET_PERSISTENT": (_USER, _KEY),
    "KEYCTL_DH_COMPUTE": (address, address, size, address),
    "KEYCTL_RESTRICT_KEYRING": (_KEY, _TEXT, _TEXT),
    "KEYCTL_MOVE": (_KEY, _KEY, _KEY, OfValue("unsigned", partial(flags, "key_move"))),
    "KEYCTL_CAPABILITIES": (_capabilities, size),
}
_FOUR: Final = (hexadecimal,) * 4


def keyctl(call: Call, texts: Texts) -> Texts:
    printers = _OPERATIONS.get(texts[0], _FOUR)
    return [texts[0], *(printer(call, n) for n, printer in enumerate(printers, 1))]
