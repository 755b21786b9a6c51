"""What tests read of a model server."""

from __future__ import annotations

from pathlib import Path

from proctor.demo.serving import Serving


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    serving = Serving(1, "https://localhost:1", 1, None, log)
    log.write_text('{"a":1}\n{"b":"\u2028"}\n')
    whole = serving.truth()
    assert whole == [{"a": 1}, {"b": "\u2028"}]
    log.write_text('{"a":1}\n{"b":"\u2028"}\n{"c":')
    assert serving.truth() == whole
