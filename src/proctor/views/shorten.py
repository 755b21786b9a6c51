"""Text cut to the columns of a terminal, East Asian wide characters counted as two."""

from __future__ import annotations


def shorten(text: str, columns: int, more: str = "…") -> str:
    """At most this many columns; `more` ends what was cut."""
    from rich.cells import cell_len, set_cell_size

    if len(text) > columns * 4:  # what lies far beyond the edge need not be measured
        text = text[: columns * 4]
    elif cell_len(text) <= columns:
        return text
    room = max(columns - cell_len(more), 0)
    return (set_cell_size(text, room).rstrip() if cell_len(text) > room else text) + more
