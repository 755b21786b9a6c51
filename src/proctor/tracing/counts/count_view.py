"""What `-c` prints: a table as `strace -c` has it, with quantiles; or JSON, or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Final

from proctor.sinks.json_lines import escape_c1
from proctor.tracing.batches.syscall_names import errors as error_names
from proctor.tracing.batches.totals import losses
from proctor.tracing.counts.count import CallCount, CountReport, Process
from proctor.views.clean import clean_line
from proctor.views.units import plural

SORTS: Final[dict[str, Callable[[CallCount], Any]]] = {
    "time": lambda row: (-(row.total_ns or 0), -row.calls),
    "calls": lambda row: -row.calls,
    "errors": lambda row: (-row.errors, -row.calls),
    "p50": lambda row: -(row.p50_ns or 0),
    "p99": lambda row: -(row.p99_ns or 0),
    "max": lambda row: -(row.max_ns or 0),
    "name": lambda row: row.syscall,
}
"""What `-S` takes. Equal rows are in the order of their names."""

_UNITS: Final = ((1e3, "ns"), (1e6, "µs"), (1e9, "ms"), (float("inf"), "s"))


def sorted_rows(rows: Iterable[CallCount], by: str | None, *, latencies: bool) -> list[CallCount]:
    """By one of SORTS; None: `time`. That is `calls` where no times are kept, as in `strace -c`'s
    default."""
    key = SORTS["calls" if by in (None, "time") and not latencies else by or "time"]
    return sorted(sorted(rows, key=SORTS["name"]), key=key)


def duration(time_ns: int | None) -> str:
    """Three digits and a unit, `852 ns`, `1.46 µs`, `12.0 ms`; `-` where not known."""
    if time_ns is None:
        return "-"
    scale = 1.0
    for limit, unit in _UNITS:
        value = time_ns / scale
        if value < 999.5 or unit == "s":
            break
        scale = limit
    digits = 0 if value >= 99.95 or unit == "ns" else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def table(report: CountReport, *, sort: str | None = None, errors: bool = False) -> str:
    """The report as text: one table, or one a process, busiest first; lines end with LF.

    errors: each errno of a syscall on a line below it.
    """
    parts = []
    for process, rows in _by_process(report):
        if report.by_process:
            parts.append(_heading(process))
        parts.append(_one_table(rows, report.latencies, sort, errors))
    return "\n".join(["\n".join(parts), *_remarks(report)]) + "\n"


def _by_process(report: CountReport) -> Iterator[tuple[Process | None, list[CallCount]]]:
    groups: dict[Process | None, list[CallCount]] = {}
    for row in report.rows:
        groups.setdefault(row.process, []).append(row)
    if not groups:
        groups[None] = []
    yield from sorted(groups.items(), key=lambda group: -_sum_of(group[1], report.latencies))


def _sum_of(rows: list[CallCount], latencies: bool) -> int:
    return sum((row.total_ns or 0) if latencies else row.calls for row in rows)


def _heading(process: Process | None) -> str:
    if process is None:
        return "\nprocess not known"
    return f"\n{clean_line(process.comm)} [{process.pid}]"


def _one_table(rows: list[CallCount], latencies: bool, sort: str | None, errors: bool) -> str:
    total_ns, calls = sum(row.total_ns or 0 for row in rows), sum(row.calls for row in rows)
    lines = [_header(latencies), _rule(latencies)]
    for row in sorted_rows(rows, sort, latencies=latencies):
        lines.append(_line(row, total_ns if latencies else calls, latencies))
        if errors:
            lines += [_errno_line(code, count, latencies) for code, count in row.errnos.items()]
    failed = sum(row.errors for row in rows)
    lines += [_rule(latencies), _total(calls, failed, total_ns if latencies else None)]
    return "\n".join(lines)


def _header(latencies: bool) -> str:
    times = f"{'seconds':>11} {'p50':>8} {'p99':>8} {'max':>8} " if latencies else ""
    return f"{'% time' if latencies else '% calls':>7} {times}{'calls':>11} {'errors':>9}  syscall"


def _rule(latencies: bool) -> str:
    times = f"{'-' * 11} {'-' * 8} {'-' * 8} {'-' * 8} " if latencies else ""
    return f"{'-' * 7} {times}{'-' * 11} {'-' * 9}  {'-' * 16}"


def _line(row: CallCount, whole: int, latencies: bool) -> str:
    part = (row.total_ns or 0) if latencies else row.calls
    times = ""
    if latencies:
        quantiles = " ".join(f"{duration(at):>8}" for at in (row.p50_ns, row.p99_ns, row.max_ns))
        times = f"{(row.total_ns or 0) / 1e9:>11.6f} {quantiles} "
    share = f"{100 * part / whole if whole else 0:>7.2f}"
    return f"{share} {times}{row.calls:>11,} {_or_blank(row.errors):>9}  {row.syscall}"


def _errno_line(code: int, calls: int, latencies: bool) -> str:
    indent = 7 + 1 + (11 + 3 * 9 + 1 if latencies else 0) + 11
    return f"{'':{indent}} {calls:>9,}    {error_name(code)}"


def _total(calls: int, errors: int, total_ns: int | None) -> str:
    times = "" if total_ns is None else f"{total_ns / 1e9:>11.6f} {'':8} {'':8} {'':8} "
    return f"{100:>7.2f} {times}{calls:>11,} {_or_blank(errors):>9}  total"


def _or_blank(count: int) -> str:
    return f"{count:,}" if count else ""


def _remarks(report: CountReport) -> Iterator[str]:
    if report.unplaced_calls:
        yield (
            f"{plural(report.unplaced_calls, 'call')} had no place in the kernel's map, which was "
            "full: counted by syscall alone, without process, p50 and p99"
        )
    if report.unnamed_errors:
        errors = plural(report.unnamed_errors, "error")
        yield f"{errors} without their errno: the kernel's map was full"
    if report.lost.keys() - {"arguments_full"}:  # these are of calls that are counted
        yield f"of the trace's records {losses(report.lost)}: in no count"


def error_name(code: int) -> str:
    """`ENOENT`; `ERESTARTSYS` and its like, which programs never see; else the number."""
    places, names = error_names()
    return str(names[int(places[code])]) if places[code] >= 0 else f"errno {code}"


def as_json(report: CountReport, *, sort: str | None = None) -> bytes:
    """`as_object` on one line, its line feed included."""
    text = json.dumps(as_object(report, sort=sort), ensure_ascii=False)
    return escape_c1(text.encode(errors="backslashreplace")) + b"\n"


def as_object(report: CountReport, *, sort: str | None = None) -> dict[str, Any]:
    """Totals, and `syscalls` as `as_rows` has them."""
    return {
        "calls": report.calls,
        "errors": report.errors,
        "total_ns": report.total_ns,
        "unplaced_calls": report.unplaced_calls,
        "unnamed_errors": report.unnamed_errors,
        "lost": report.lost,
        "syscalls": as_rows(report, sort=sort),
    }


def as_rows(report: CountReport, *, sort: str | None = None) -> list[dict[str, Any]]:
    """A flat row a syscall, or a process and syscall; what is not known is absent."""
    rows = sorted_rows(report.rows, sort, latencies=report.latencies)
    return [
        {name: value for name, value in _flat(row).items() if value is not None} for row in rows
    ]


def _flat(row: CallCount) -> dict[str, Any]:
    process = row.process
    return {
        "pid": process.pid if process else None,
        "process_start_ns": process.start_ns if process else None,
        "comm": process.comm if process else None,
        "syscall": row.syscall,
        "calls": row.calls,
        "errors": row.errors,
        "errnos": {error_name(code): count for code, count in row.errnos.items()},
        "timed_calls": row.timed_calls if row.total_ns is not None else None,
        **{
            name: getattr(row, name)
            for name in ("total_ns", "min_ns", "max_ns", "p50_ns", "p99_ns")
        },
    }


def write_parquet(report: CountReport, file: BinaryIO, *, sort: str | None = None) -> None:
    """The rows of `as_rows`, absent values null, errnos as a map. OSError if not written."""
    import pyarrow
    import pyarrow.parquet

    whole, text = pyarrow.uint64(), pyarrow.string()
    schema = pyarrow.schema(
        [
            *(("pid", pyarrow.uint32()), ("process_start_ns", whole), ("comm", text)),
            *(("syscall", text), ("calls", whole), ("errors", whole)),
            ("errnos", pyarrow.map_(text, whole)),
            *((name, whole) for name in ("timed_calls", "total_ns", "min_ns", "max_ns")),
            *(("p50_ns", whole), ("p99_ns", whole)),
        ]
    )
    rows = [{**row, "errnos": list(row["errnos"].items())} for row in as_rows(report, sort=sort)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), file)
