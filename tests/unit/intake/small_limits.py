"""Limits of what is remembered of requests, so small that short stories meet all of them."""

from __future__ import annotations

import pytest

from proctor.records import repeats as rules


def set_small_limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "PIECE_MIN_BYTES", 200)
    patch.setattr(rules, "BODY_MAX_BYTES", 9000)
    patch.setattr(rules, "REPEATED_MAX_BYTES", 30_000)
    patch.setattr(rules, "MEMORY_MAX_BYTES", 22_000)
