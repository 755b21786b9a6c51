"""Any argument memory keeps its length and its ends, and loses only to stars."""

from __future__ import annotations

from proctor.intake.arguments import mask_arguments
from tests.fuzz.driver import fuzz

SEEDS = (
    b"curl\0-H\0Authorization: Bearer abc\0-u\0a:b\0https://u:p@h/?key=1\0",
    b"bash\0-c\0TOKEN='x' tool --password \"y\" -H 'x-api-key: z'\0--api-key\0k\0",
    b'tool\0{"password": "x", \\"token\\": \\"y\\"}\0sk-0123456789abcdefgh\0',
)


def run(data: bytes) -> None:
    result = mask_arguments(data)
    assert all(
        new == old or (new == ord("*") and old != 0) for old, new in zip(data, result, strict=True)
    )


if __name__ == "__main__":
    fuzz(run, SEEDS)
