"""The last line's figures, counted while events pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Final

from proctor.events import Call, Event, Json, ProcessEvent, Usage

PROGRAMS_MAX: Final = 4096
MODELS_MAX: Final = 1024
_TOKENS: Final = tuple(each.name for each in fields(Usage))


class Totals:
    """Feed it every event; then read the attributes.

    Memory is bounded: calls of further models count under the name `?`, further programs are left
    out.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Events by their `type`."""
        self.usage: Usage | None = None
        """Sums of all calls; None as long as no call told any."""
        self.models: dict[str, Json] = {}
        """`{calls}` and the token sums that are known, by the model's name as asked for."""
        self._programs: dict[str, None] = {}

    @property
    def programs(self) -> list[str]:
        """Paths of programs run, first come first."""
        return list(self._programs)

    def feed(self, event: Event) -> None:
        self.counts[event.type] += 1
        if isinstance(event, Call):
            self._call(event)
        elif isinstance(event, ProcessEvent) and event.event == "exec":
            exe = event.process.exe if event.process else None
            if exe is not None and len(self._programs) < PROGRAMS_MAX:
                self._programs[exe] = None

    def _call(self, call: Call) -> None:
        name = call.request.model or (call.response and call.response.model) or "?"
        if name not in self.models and len(self.models) >= MODELS_MAX:
            name = "?"
        model = self.models.setdefault(name, {"calls": 0})
        model["calls"] += 1
        if call.usage is None or call.operation == "count_tokens":  # uses none
            return
        self.usage = self.usage or Usage()
        for token in _TOKENS:
            count = getattr(call.usage, token)
            if count is not None:
                setattr(self.usage, token, (getattr(self.usage, token) or 0) + count)
                model[token] = model.get(token, 0) + count
