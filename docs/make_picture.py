"""Draws docs/demo.svg, the README's picture: what `proctor show` prints of a recording.

    ./dev demo -o /tmp/demo.rec
    ./dev python docs/make_picture.py /tmp/demo.rec

The views print it themselves, on a console that keeps what it is told.
"""

from __future__ import annotations

import html
import io
import re
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.theme import Theme

import proctor
from proctor.views.digest import Digest
from proctor.views.summary import print_summary
from proctor.views.terminal import STYLES

PICTURE: Final = Path(__file__).with_name("demo.svg")
COLUMNS: Final = 92
FOREGROUND: Final = (201, 209, 217)
BACKGROUND: Final = (13, 17, 23)
NORMAL: Final = [
    *[(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)],
    *[(88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)],
]
"""Black, red, green, yellow, blue, magenta, cyan, white."""
COLOURS: Final = TerminalTheme(BACKGROUND, FOREGROUND, NORMAL)

BLANK: Final = "&#160;"
COLUMN_WIDTH: Final = 12.2
"""Of a column of Rich's pictures, in their own units."""
_FONT_TO_FETCH: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_TEXT: Final = re.compile(
    r'(?P<class><text class="[^"]*") x="(?P<x>[^"]*)" (?P<y>y="[^"]*") textLength="[^"]*"'
    r' (?P<clip>clip-path="[^"]*")>(?P<content>[^<]*)</text>'
)


def draw(recording: Path) -> str:
    """The recording's summary as SVG."""
    digest = Digest()
    with proctor.open(recording) as events:
        for event in events:
            digest.feed(event)
        command = " ".join(events.header.command)
    digest.close()
    console = Console(
        record=True,
        file=io.StringIO(),
        width=COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        theme=Theme(STYLES),
        highlight=False,
        markup=False,
        emoji=False,
    )
    print_summary(console, digest)
    return _self_contained(
        console.export_svg(title=f"proctor run -- {command}", theme=COLOURS, unique_id="demo")
    )


def _self_contained(picture: str) -> str:
    """Without the font that Rich's pictures fetch: sites that show pictures forbid that."""
    picture = _FONT_TO_FETCH.sub("", picture)
    picture = picture.replace("Fira Code", "ui-monospace, Menlo, Consolas")
    picture = _TEXT.sub(_without_outer_blanks, picture)
    return re.sub(r"\s*\n\s*", "\n", picture)


def _without_outer_blanks(text: re.Match[str]) -> str:
    """A text begins at its first sign: not every renderer gives blanks before it their width."""
    columns = html.unescape(text["content"]).replace("\n", "")
    bare = columns.strip("\N{NO-BREAK SPACE}")
    if not bare:
        return ""
    left = columns.index(bare)
    x, width = float(text["x"]) + left * COLUMN_WIDTH, len(bare) * COLUMN_WIDTH
    content = html.escape(bare, quote=False).replace("\N{NO-BREAK SPACE}", BLANK)
    place = f'x="{x:g}" {text["y"]} textLength="{width:g}" {text["clip"]}'
    return f"{text['class']} {place}>{content}</text>"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    PICTURE.write_text(draw(Path(sys.argv[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
