"""A model server on this machine: `python -m proctor.demo.model_server --help`.

Speaks what the official SDKs of OpenAI and Anthropic expect, over TLS or plain
HTTP/1.1. There is no model behind it: `proctor.demo.script` says how a request
chooses what it gets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from proctor.demo.certificates import CertificateError, Certificates, make_certificates
from proctor.demo.connection import Connection
from proctor.demo.providers import respond
from proctor.demo.truth import TruthLog

TLS_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
BACKLOG: Final = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; the exit status."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="proctor-demo-") as temporary:
        try:
            asyncio.run(_serve(options, options.directory or Path(temporary)))
        except (CertificateError, OSError) as error:
            print(f"model server: {error}", file=sys.stderr)
            return 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m proctor.demo.model_server", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--ipv6", action="store_true", help="::1, too, on the same port")
    parser.add_argument("--plain", action="store_true", help="HTTP without TLS")
    parser.add_argument("--tls", choices=TLS_VERSIONS, help="this version only")
    parser.add_argument(
        "--name", action="append", default=[], help="one more host the certificate is for"
    )
    parser.add_argument("--directory", type=Path, help="where certificates go; without: temporary")
    parser.add_argument(
        "--ready-file", type=Path, help="written when it serves: pid, url, port, ca_file as JSON"
    )
    parser.add_argument(
        "--slow-reads", type=float, default=0, metavar="MS", help="pause after each read"
    )
    parser.add_argument("--log", type=Path, help="what was received and sent, as JSON lines")
    parser.add_argument("--log-bodies", action="store_true", help="with the texts")
    return parser.parse_args(arguments)


async def _serve(options: argparse.Namespace, directory: Path) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    certificates = None if options.plain else make_certificates(directory, options.name)
    context = _context(certificates, options.tls) if certificates else None
    truth = TruthLog(options.log, bodies=options.log_bodies)
    numbers = count()
    listening = _listen(options.port, ipv6=options.ipv6)
    servers = [
        await loop.create_server(
            lambda: Connection(respond, truth, next(numbers), options.slow_reads / 1000),
            sock=one,
            ssl=context,
            backlog=BACKLOG,
        )
        for one in listening
    ]
    _say_ready(options.ready_file, listening[0].getsockname()[1], certificates)
    await ended.wait()
    for server in servers:
        server.close()


def _listen(port: int, *, ipv6: bool) -> list[socket.socket]:
    first = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    listening = [first]
    if ipv6:
        same = ("::1", first.getsockname()[1])
        listening.append(socket.create_server(same, family=socket.AF_INET6, backlog=BACKLOG))
    for one in listening:
        # Inherited by what it accepts; asyncio sets it only on sockets made with proto=TCP.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _context(certificates: Certificates, version: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    context.set_alpn_protocols(["http/1.1"])
    if version:
        context.minimum_version = context.maximum_version = TLS_VERSIONS[version]
    context.sni_callback = _remember_server_name
    return context


def _remember_server_name(tls: Any, name: str | None, context: ssl.SSLContext) -> None:
    tls.server_name_asked = name


def _say_ready(ready_file: Path | None, port: int, certificates: Certificates | None) -> None:
    said = {
        "pid": os.getpid(),
        "url": f"{'https' if certificates else 'http'}://localhost:{port}",
        "port": port,
        "ca_file": str(certificates.authority) if certificates else None,
    }
    if ready_file is None:
        print(json.dumps(said), flush=True)
        return
    unfinished = ready_file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(said))
    unfinished.replace(ready_file)


if __name__ == "__main__":
    sys.exit(main())
