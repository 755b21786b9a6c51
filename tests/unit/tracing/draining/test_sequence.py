"""Gaps in threads' sequences, and what lines are made without."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.records.trace_layout import RECORD
from proctor.tracing.draining.sequence import TaskSequences


@given(st.lists(st.tuples(st.sampled_from([7, 8, 9, 4_000_000]), st.integers(1, 3)), max_size=40))
def test_threads_that_lie_close_together_and_far_apart_are_told_apart(
    steps: list[tuple[int, int]],
) -> None:
    records, wanted = np.zeros(len(steps), RECORD), []
    last: dict[int, int] = {}
    for record, (tid, step) in zip(records, steps, strict=True):
        record["tid"] = record["pid"] = tid
        record["process_start_ns"] = 1
        record["task_sequence"] = last[tid] = last.get(tid, 0) + step
        # One that begins with 1 has lost nothing, whatever the thread was before.
        wanted.append(step - 1)
    for cut in (0, len(steps) // 2):
        sequences = TaskSequences()
        parts = (records[:cut], records[cut:])
        assert [gap for part in parts for gap in sequences.gaps(part).tolist()] == wanted


@pytest.mark.parametrize("sink", ["text_sink", "jsonl_sink"])
def test_lines_are_made_without_arrow(sink: str) -> None:
    """It takes as long to import as all else together."""
    modules = f"proctor.tracing.session, proctor.tracing.formatting, proctor.tracing.outputs.{sink}"
    code = f"import sys, {modules}; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
