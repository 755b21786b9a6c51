"""What `-v` says: what is loaded and attached, where, and why not; and what is said without it."""

from __future__ import annotations

from collections.abc import Mapping

from proctor.kernel.libraries import Library
from proctor.kernel.loading import feature_of, too_new
from proctor.kernel.requirements import kernel_version
from proctor.views.clean import clean_line


def program_lines(attached: Mapping[str, str], refused: Mapping[str, str]) -> list[str]:
    """attached: sections by program. refused: reasons by program."""
    lines = [f"proctor: {len(attached)} kernel programs attached"]
    width = max(map(len, attached), default=0)
    lines += [f"proctor:   {name:{width}}  {section}" for name, section in attached.items()]
    return lines + refused_lines(refused)


def surprises(refused: Mapping[str, str]) -> list[str]:
    """Lines of refused programs, without those that any kernel of this age refuses: `coverage`
    tells of these."""
    expected = too_new(refused, kernel_version())
    return refused_lines({name: why for name, why in refused.items() if name not in expected})


def refused_lines(refused: Mapping[str, str]) -> list[str]:
    lines = []
    for name, reason in refused.items():
        feature = feature_of(name)
        lost = f"; without it: no {feature.name}" if feature else ""
        lines.append(f"proctor: kernel program {name}: {clean_line(reason)}{lost}")
    return lines


def library_line(library: Library) -> str:
    """Where the TLS probes went, or why they did not."""
    path = clean_line(library.path)
    if library.state != "attached":
        return f"proctor: {path}: {library.state}: {clean_line(library.reason or 'unknown')}"
    probes = f"{library.probes} probes"
    return f"proctor: {path}: attached: {probes} on {', '.join(library.functions)}"
