"""What the model says to the bundled agent: four turns that look at the machine.

Used for any agent that offers both tools of `proctor.demo.agent`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

TOOLS: Final = frozenset({"run_shell", "write_file"})
REPORT: Final = "report.md"


@dataclass(frozen=True, slots=True)
class Step:
    text: str
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Tool name and arguments."""


def fits(tools: Set[str]) -> bool:
    """Whether these are the agent's tools."""
    return tools >= TOOLS


def next_step(results: Sequence[str]) -> Step:
    """The step after these tool results, oldest first."""
    match len(results):
        case 0:
            return Step(
                "I'll look at the machine first.",
                (
                    ("run_shell", {"command": "uname -sr"}),
                    ("run_shell", {"command": "df -h / | tail -n 1"}),
                ),
            )
        case 1 | 2:
            report = f"# This machine\n\n- kernel: {results[0]}\n- disk: {results[-1]}\n"
            return Step(
                "Now I write that down.", (("write_file", {"path": REPORT, "content": report}),)
            )
        case 3:
            return Step("I check what I wrote.", (("run_shell", {"command": f"wc -w < {REPORT}"}),))
    return Step(f"Done: {REPORT} describes this machine ({results[0]}) in {results[-1]} words.")
