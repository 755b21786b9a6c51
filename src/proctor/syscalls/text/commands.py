"""Syscalls that are many in one, by their command: futex, ioctl. Others: fcntl, prctl, keys."""

from __future__ import annotations

import struct
from typing import Final

from proctor.syscalls.call import Call, pointer
from proctor.syscalls.constants import ioctl_names
from proctor.syscalls.text.symbols import flags, one_of, value_hex
from proctor.syscalls.text.times import at_timespec

Texts = list[str]

# futex

FUTEX_PRIVATE: Final = 128
FUTEX_CLOCK_REALTIME: Final = 256


def futex(call: Call, texts: Texts) -> Texts:
    said = call.unsigned(1)
    operation = said & ~(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME)
    address, value = call.pointer(0), str(call.unsigned(2))
    begin = [address, _futex_operation(said, operation)]
    bits = call.unsigned(5)
    mask = "FUTEX_BITSET_MATCH_ANY" if bits == 0xFFFFFFFF else value_hex(bits)
    if operation == 0:  # WAIT
        return [*begin, value, at_timespec(call, 3)]
    if operation == 9:  # WAIT_BITSET
        return [*begin, value, at_timespec(call, 3), mask]
    if operation == 1:  # WAKE
        return [*begin, str(call.signed(2))]
    if operation == 10:  # WAKE_BITSET
        return [*begin, str(call.signed(2)), mask]
    if operation == 3:  # REQUEUE
        return [*begin, str(call.signed(2)), str(call.signed(3)), call.pointer(4)]
    if operation in (4, 12):  # CMP_REQUEUE, CMP_REQUEUE_PI
        return [*begin, str(call.signed(2)), str(call.signed(3)), call.pointer(4), str(bits)]
    if operation in (6, 13):  # LOCK_PI, LOCK_PI2
        return [*begin, at_timespec(call, 3)]
    if operation in (7, 8):  # UNLOCK_PI, TRYLOCK_PI
        return begin
    return [*begin, value, value_hex(call.args[3]), call.pointer(4), value_hex(bits)]


def _futex_operation(said: int, operation: int) -> str:
    name = one_of("futex", operation, "FUTEX_???")
    if said & FUTEX_PRIVATE and "/*" not in name:
        name += "_PRIVATE"
    return f"{name}|FUTEX_CLOCK_REALTIME" if said & FUTEX_CLOCK_REALTIME else name


# ioctl

_NUMBERS: Final = ("FIONREAD", "TIOCINQ", "FIONBIO", "TIOCGPGRP", "TIOCSPGRP", "TIOCGSID",
    "TIOCGPTN", "TIOCSPTLCK", "TIOCOUTQ", "TIOCGPTLCK", "FIOASYNC")  # fmt: skip
_TERMIOS: Final = ("TCGETS", "TCSETS", "TCSETSW", "TCSETSF")
_INODE_FLAGS: Final = ("FS_IOC_GETFLAGS", "FS_IOC_SETFLAGS")
_DIRECTIONS: Final = ("_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE")


def ioctl(call: Call, texts: Texts) -> Texts:
    request = call.unsigned(1)
    name = request_name(ioctl_names(request, call.abi))
    begin = [texts[0], name or _request(request)]
    chunk = call.memory(2)
    data = chunk.data if chunk is not None and not call.failed else b""
    if name in ("FIOCLEX", "FIONCLEX", "TIOCNOTTY", "TIOCEXCL"):
        return begin
    if name in ("TIOCGWINSZ", "TIOCSWINSZ") and len(data) >= 8:
        rows, columns, x, y = struct.unpack_from("=4H", data)
        return [*begin, f"{{ws_row={rows}, ws_col={columns}, ws_xpixel={x}, ws_ypixel={y}}}"]
    if name in _NUMBERS and len(data) >= 4:
        return [*begin, f"[{int.from_bytes(data[:4], 'little', signed=True)}]"]
    if name.startswith(_INODE_FLAGS) and chunk is not None and not (call.failed and "GET" in name):
        said = int.from_bytes(chunk.data[:4], "little")  # an int, whatever the request's size says
        return [*begin, f"[{flags('inode_flags', said, 'FS_???_FL')}]"]
    if name in _TERMIOS and len(data) >= 17:
        return [*begin, _termios(*struct.unpack_from("=4I", data))]
    if name.endswith("FICLONE"):
        return [*begin, str(call.signed(2))]  # a descriptor
    return [*begin, pointer(call.unsigned_long(2)) if call.args[2] else "0"]


def request_name(names: tuple[str, ...]) -> str:
    """Of names that drivers share, a file's or terminal's own; else all of them."""
    for beginning in ("FIO", "TC", "TIOC"):
        for name in names:
            if name.startswith(beginning):
                return name
    return " or ".join(names)


def _request(request: int) -> str:
    direction, size = _DIRECTIONS[request >> 30], request >> 16 & 0x3FFF
    kind, number = request >> 8 & 0xFF, request & 0xFF
    return f"_IOC({direction}, {value_hex(kind)}, {value_hex(number)}, {value_hex(size)})"


_SPEEDS: Final = ("B0", "B50", "B75", "B110", "B134", "B150", "B200", "B300", "B600", "B1200",
    "B1800", "B2400", "B4800", "B9600", "B19200", "B38400")  # fmt: skip
_CONTROL_BITS: Final = ((0o100, "CSTOPB"), (0o200, "CREAD"), (0o400, "PARENB"), (0o1000, "PARODD"),
    (0o2000, "HUPCL"), (0o4000, "CLOCAL"))  # fmt: skip


def control_flags(value: int) -> str:
    """Speed, size, bits. The fast speeds, which have more bits, stay numbers."""
    speed = value & 0o10017
    words = [_SPEEDS[speed] if speed < len(_SPEEDS) else value_hex(speed)]
    words.append(f"CS{5 + (value >> 4 & 3)}")
    words += [name for bit, name in _CONTROL_BITS if value & bit]
    left = value & ~0o17777
    return "|".join([*words, value_hex(left)] if left else words)


def _termios(input_: int, output: int, control: int, local: int) -> str:
    return (
        f"{{c_iflag={flags('terminal_input', input_)}, c_oflag={flags('terminal_output', output)}, "
        f"c_cflag={control_flags(control)}, c_lflag={flags('terminal_local', local)}, ...}}"
    )
