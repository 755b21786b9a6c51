"""What the formatter does with a spool, without its waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from proctor.tracing.batches.batch import Batch
from proctor.tracing.draining.merge import BATCH_RECORDS, Merger
from proctor.tracing.draining.spool import SpoolReader


def read_batches(
    reader: SpoolReader,
    batch_records: int = BATCH_RECORDS,
    made: Callable[[], Mapping[int, int]] | None = None,
) -> Iterator[Batch]:
    """Batches of about `batch_records`, smaller where the reader has caught up; never empty,
    save that the last may hold nothing but trailing gaps. `made` is asked at the end."""
    merger = Merger()
    while not reader.ended:
        frame = reader.next()
        if frame is not None:
            merger.feed(frame)
            if merger.pending_records >= batch_records and len(batch := merger.take()):
                yield batch
        elif len(batch := merger.take()):
            yield batch
        else:
            reader.end_here()
    last = merger.close(made() if made else None)
    if len(last) or last.trailing_gaps:
        yield last
