"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# Speed is kept by benchmarks: a slow machine is no failing test.
settings.register_profile("proctor", deadline=None)
settings.load_profile("proctor")
