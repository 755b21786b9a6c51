"""`proctor trace diff`: what changed from one trace to another."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from proctor.trace.file import TraceFile
from proctor.views.clean import clean_line

_COLUMNS: Final = (*("name", "duration_ns", "error", "path", "kernel_path", "address", "kind"),)
_CONNECTING: Final = pa.array(["connect", "sendto", "sendmsg", "sendmmsg"])
_PROCESS_FOLDER: Final = re.compile(r"^/proc/\d+(?:/task/\d+)?(?=/|$)")
_SHOWN: Final = 20


@dataclass(slots=True)
class Calls:
    """Of one syscall."""

    calls: int = 0
    errors: int = 0
    time_ns: int = 0


@dataclass(slots=True)
class Profile:
    """What one trace did. Memory grows with different files and hosts, not with rows."""

    syscalls: dict[str, Calls] = field(default_factory=dict)
    errors: dict[tuple[str, str], int] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)

    @property
    def calls(self) -> int:
        return sum(each.calls for each in self.syscalls.values())

    @property
    def time_ns(self) -> int:
        return sum(each.time_ns for each in self.syscalls.values())

    def feed(self, rows: pa.RecordBatch) -> None:
        table = pa.Table.from_batches([rows])
        table = table.filter(pc.is_valid(table["name"]))
        plain = {name: table[name].cast(pa.string()) for name in ("name", "error", "address")}
        table = pa.table({**plain, **{n: table[n] for n in ("duration_ns", "path", "kernel_path")}})
        sums = [("duration_ns", "sum"), ("duration_ns", "count"), ("error", "count")]
        for row in table.group_by("name").aggregate(sums).to_pylist():
            mine = self.syscalls.setdefault(row["name"], Calls())
            mine.calls += row["duration_ns_count"]
            mine.time_ns += row["duration_ns_sum"]
            mine.errors += row["error_count"]
        failed = table.filter(pc.is_valid(table["error"]))
        for row in failed.group_by(["name", "error"]).aggregate([([], "count_all")]).to_pylist():
            key = (row["name"], row["error"])
            self.errors[key] = self.errors.get(key, 0) + row["count_all"]
        self._feed_names(table.filter(pc.is_null(table["error"])), table)

    def _feed_names(self, succeeded: pa.Table, every: pa.Table) -> None:
        opened = pc.unique(succeeded["kernel_path"])
        named = pc.unique(succeeded.filter(pc.is_null(succeeded["kernel_path"]))["path"])
        for path in (*opened.to_pylist(), *named.to_pylist()):
            if path and path.startswith("/"):
                self.files.add(_PROCESS_FOLDER.sub("/proc/PID", path))
        connecting = every.filter(pc.is_in(every["name"], _CONNECTING))
        for address in pc.unique(connecting["address"]).to_pylist():
            if address and not address.startswith("unix:"):
                self.hosts.add(address.rpartition(":")[0].strip("[]"))


@dataclass(frozen=True, slots=True)
class Difference:
    before: Profile
    after: Profile

    def grown_percent(self, what: str) -> float:
        """By how much `calls` or `time_ns` is more after; infinite where there was none."""
        old: int = getattr(self.before, what)
        new: int = getattr(self.after, what)
        if old == 0:
            return float("inf") if new else 0.0
        return 100.0 * (new - old) / old

    def new(self) -> dict[str, list[str]]:
        return {
            "syscalls": sorted(self.after.syscalls.keys() - self.before.syscalls.keys()),
            "files": sorted(self.after.files - self.before.files),
            "hosts": sorted(self.after.hosts - self.before.hosts),
            "errors": [
                f"{name} {error}"
                for name, error in sorted(self.after.errors.keys() - self.before.errors.keys())
            ],
        }

    def gone(self) -> dict[str, list[str]]:
        return Difference(self.after, self.before).new()

    def exceeded(
        self, max_calls: float | None, max_slower: float | None, new: frozenset[str]
    ) -> list[str]:
        """What is past the limits, in words. `new`: of `syscalls`, `files`, `hosts`."""
        found = []
        for limit, what, noun in (
            (max_calls, "calls", "calls"),
            (max_slower, "time_ns", "time in calls"),
        ):
            if limit is not None and (grown := self.grown_percent(what)) > limit:
                found.append(f"{noun}: {grown:+.1f} %, more than {limit:g} %")
        come = self.new()
        found += [f"{len(come[kind])} new {kind}" for kind in sorted(new) if come[kind]]
        return found

    def as_json(self) -> dict[str, Any]:
        names = sorted(self.before.syscalls.keys() | self.after.syscalls.keys())
        return {
            "syscalls": {
                name: {
                    "before": asdict(self.before.syscalls.get(name, Calls())),
                    "after": asdict(self.after.syscalls.get(name, Calls())),
                }
                for name in names
            },
            "new": self.new(),
            "gone": self.gone(),
        }


def profile_of(path: str) -> Profile:
    """ProctorError where the file is no trace that can be read."""
    profile = Profile()
    for rows in TraceFile(path).record_batches(_COLUMNS):
        profile.feed(rows)
    return profile


def diff(
    before: str,
    after: str,
    max_calls: float | None = None,
    max_slower: float | None = None,
    new: frozenset[str] | bool = frozenset(),
    as_json: bool = False,
) -> int:
    """Prints what changed; 1 where a limit is passed. `new`: True for every kind."""
    found = Difference(profile_of(before), profile_of(after))
    kinds = frozenset(("syscalls", "files", "hosts")) if new is True else frozenset(new or ())
    exceeded = found.exceeded(max_calls, max_slower, kinds)
    if as_json:
        print(json.dumps({**found.as_json(), "exceeded": exceeded}))
    else:
        print("\n".join([*text_lines(found), *(f"exceeded: {each}" for each in exceeded)]))
    return 1 if exceeded else 0


def text_lines(found: Difference) -> list[str]:
    """Syscalls that changed by calls or errors, most changed first; then what came and went."""
    lines = [
        f"{'syscall':<20} {'calls':>12} {'change':>10} {'errors':>9} {'ms':>12} {'change':>10}"
    ]
    names = found.before.syscalls.keys() | found.after.syscalls.keys()
    pairs = [
        (found.before.syscalls.get(name, Calls()), found.after.syscalls.get(name, Calls()), name)
        for name in names
    ]
    pairs.sort(key=lambda pair: (-abs(pair[1].calls - pair[0].calls), pair[2]))
    for old, now, name in pairs:
        if old == now:
            continue
        lines.append(
            f"{name:<20} {now.calls:>12,} {now.calls - old.calls:>+10,} {now.errors:>9,}"
            f" {now.time_ns / 1e6:>12,.1f} {(now.time_ns - old.time_ns) / 1e6:>+10,.1f}"
        )
    for sign, listed in (("new", found.new()), ("gone", found.gone())):
        for kind, items in listed.items():
            if items:
                lines.append(f"{sign} {kind}: {len(items):,}")
                lines += [f"  {clean_line(item)}" for item in items[:_SHOWN]]
            if len(items) > _SHOWN:
                lines.append(f"  ... and {len(items) - _SHOWN:,} more")
    return lines
