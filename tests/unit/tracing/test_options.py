"""The words that options of `proctor trace` understand."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.errors import ProctorError, UsageError
from proctor.tracing.options import (
    ResultRange,
    TraceOptions,
    absolute,
    duration_ns,
    output_format,
    result_range,
    size_bytes,
)

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1


BEYOND: Final = ["99999999999999999999", "-1.." + "9" * 5000, "9" * 5000, "-" + "9" * 5000]
"""64 bits; some, the digits that Python reads."""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", ResultRange(0, 0)),
        ("<0", ResultRange(LOWEST, -1)),
        ("<= -1", ResultRange(LOWEST, -1)),
        (">=4096", ResultRange(4096, HIGHEST)),
        (">0x10", ResultRange(17, HIGHEST)),
        ("!=0", ResultRange(0, 0, inverted=True)),
        ("ENOENT", ResultRange(-2, -2)),
        ("!EAGAIN", ResultRange(-11, -11, inverted=True)),
        ("-5..5", ResultRange(-5, 5)),
    ],
)
def test_result_ranges(text: str, wanted: ResultRange) -> None:
    assert result_range(text) == wanted


@pytest.mark.parametrize("text", ["", "x", "ENOSUCH", "5..1", "1..", "<", *BEYOND])
def test_what_is_no_result_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ProctorError, match="write such as `<0`") as caught:
        result_range(text)
    assert caught.value.exit_status == 2


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_an_error_of_ours(text: str) -> None:
    for parse in (
        result_range,
        lambda given: duration_ns("--min-duration", given),
        lambda given: size_bytes("--rotate", given),
    ):
        with suppress(ProctorError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("10ms", 10_000_000), ("1.5s", 1_500_000_000), ("200us", 200_000), ("7ns", 7), ("1m", 6e10)],
)
def test_durations(text: str, wanted: int) -> None:
    assert duration_ns("--min-duration", text) == wanted


@pytest.mark.parametrize(
    "text", ["5", "ms", "-1ms", "1e9s", "99999999999999999999s", "9" * 400 + "s"]
)
def test_a_time_has_a_unit_and_fits(text: str) -> None:
    with pytest.raises(ProctorError, match=r"--min-duration .*: is no time"):
        duration_ns("--min-duration", text)


@pytest.mark.parametrize(
    ("text", "wanted"), [("1", 1), ("512k", 1 << 19), ("100M", 100 << 20), ("1GiB", 1 << 30)]
)
def test_sizes(text: str, wanted: int) -> None:
    assert size_bytes("--rotate", text) == wanted


@pytest.mark.parametrize("text", ["0", "-1", "M", "1.5G", "9" * 30])
def test_a_size_is_whole_and_above_0(text: str) -> None:
    with pytest.raises(ProctorError, match=r"--rotate .*: is no size"):
        size_bytes("--rotate", text)


@pytest.mark.parametrize(
    ("output", "form", "wanted"),
    [
        (None, None, "text"),
        ("-", None, "text"),
        ("a.jsonl", None, "jsonl"),
        ("a/B.PARQUET", None, "parquet"),
        ("a.parquet", "text", "text"),
        ("-", "arrow", "arrow"),
        ("trace.log", None, "text"),
    ],
)
def test_the_suffix_says_the_format(output: str | None, form: str | None, wanted: str) -> None:
    assert output_format(TraceOptions(output=output, format=form)) == wanted


def test_paths_that_count_from_a_directory_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert absolute(["a", "/b/../c"]) == [str(here / "a"), "/c"]
    here.rmdir()
    assert absolute(["/b/../c"]) == ["/c"]
    with pytest.raises(UsageError, match="-P a: the working directory is gone; name an absolute"):
        absolute(["/c", "a"])
