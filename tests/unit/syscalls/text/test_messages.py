"""sendmmsg and recvmmsg: headers, what they point to, and what is missing of it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from proctor.syscalls.chunks import AT_EXIT, BYTES, IOVEC, MSGHDR
from proctor.syscalls.table import table_of
from proctor.syscalls.text.formatter import Formatter
from tests.unit.syscalls.text.calls import Made, batch, chunk

ADDRESS = struct.pack("=HH", 1, 0) + b"x"
VECTOR = struct.pack("=QQ", 0x5000, 3)


def header(moved: int, name_bytes: int = 5, count: int = 1) -> bytes:
    return struct.pack("=QI4xQQQQi4xI4x", 0x4000, name_bytes, 0x4100, count, 0, 0, 0, moved)


def message(moved: int, data: bytes, flags: int = 0) -> bytes:
    return b"".join(
        (
            chunk(1, header(moved), MSGHDR, flags),
            chunk(1, ADDRESS, BYTES, flags),
            chunk(1, VECTOR, IOVEC, flags, 1),
            chunk(1, data, BYTES, flags, 16),
        )
    )


def line(name: str, args: tuple[int, ...], result: int, memory: bytes) -> str:
    made = Made(name, args=args, result=result, memory=memory)
    (shown,) = Formatter({"x86_64": table_of("x86_64")}).lines(batch(made))
    return shown


def test_what_was_sent_has_a_length_each_and_what_was_not_has_none() -> None:
    after = chunk(1, header(3) + header(0), MSGHDR, AT_EXIT)
    shown = line("sendmmsg", (3, 0x3000, 2, 0), 1, message(9, b"one") + message(9, b"two") + after)
    assert shown.count("msg_len=3}") == shown.count("msg_len") == 1
    assert '"one"' in shown
    assert '"two"' in shown


def test_nothing_sent_is_shown_without_lengths() -> None:
    shown = line("sendmmsg", (3, 0x3000, 1, 0), -9, message(9, b"one"))
    assert "msg_len" not in shown
    assert '"one"' in shown


def test_messages_beyond_those_that_were_read() -> None:
    shown = line("sendmmsg", (3, 0x3000, 99, 0), 1, message(3, b"one"))
    assert "}, ...], 99, 0)" in shown


def test_a_received_address_has_its_room_and_its_length() -> None:
    room = chunk(1, header(0, 128) + header(0, 5))
    came = message(3, b"one", AT_EXIT) + message(0, b"", AT_EXIT)
    shown = line("recvmmsg", (3, 0x3000, 2, 0, 0), 2, room + came)
    assert shown.count("=>") == 1
    assert "msg_namelen=128 => 5" in shown
    assert "msg_len=3}" in shown
    assert "msg_len=0}" in shown


def test_without_messages_there_is_an_address_or_an_empty_list() -> None:
    assert "sendmmsg(3, 0x3000, 1, 0)" in line("sendmmsg", (3, 0x3000, 1, 0), -14, b"")
    assert "sendmmsg(3, [], 0, 0)" in line("sendmmsg", (3, 0x3000, 0, 0), 0, b"")
    assert "sendmmsg(3, NULL, 0, 0)" in line("sendmmsg", (3, 0, 0, 0), 0, b"")


@given(
    st.sampled_from(["sendmmsg", "recvmmsg", "sendmsg", "recvmsg", "keyctl", "prctl", "pselect6"]),
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.binary(max_size=80),
            st.integers(0, 8),
            st.integers(0, 7),
            st.integers(0, 17),
        ),
        max_size=8,
    ),
    st.tuples(*[st.integers(0, 1 << 64 - 1) | st.integers(0, 60)] * 6),
    st.integers(-20, 99),
)
def test_any_memory_gives_a_line(
    name: str,
    chunks: list[tuple[int, bytes, int, int, int]],
    args: tuple[int, ...],
    result: int,
) -> None:
    assert line(name, args, result, b"".join(chunk(*each) for each in chunks)).isprintable()
