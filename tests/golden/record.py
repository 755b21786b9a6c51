"""Records the golden files anew: `./dev python -m tests.golden.record [NAME]...`, as root.

One folder of neutral name, the system's interpreter (of the same minor version as ours, whose
packages it uses) and copies of the clients: no path of the checkout comes into a recording.
After a change of what `proctor show` says, `--lines` writes the JSON lines of the recordings
that are there, without root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trustme

from proctor.demo.serving import model_server

HERE: Final = Path(__file__).parent
CHECKOUT: Final = HERE.parents[1]
NEUTRAL: Final = Path(tempfile.gettempdir()) / "proctor-golden"
PYTHON: Final = "/usr/bin/python3"
PROGRAMS: Final = "echo one | cat; (exit 3); sh -c 'kill -9 $$'; ls /nowhere; exit 4"

RUNS: Final[dict[str, list[str]]] = {
    "openai_chat": [PYTHON, "openai_client.py", "chat"],
    "openai_stream": [PYTHON, "openai_client.py", "stream"],
    "openai_tools": [PYTHON, "openai_client.py", "tools"],
    "openai_responses_stream": [PYTHON, "openai_client.py", "responses-stream"],
    "openai_embeddings": [PYTHON, "openai_client.py", "embeddings"],
    "openai_parallel": [PYTHON, "openai_client.py", "parallel", "3"],
    "openai_cut": [PYTHON, "openai_client.py", "cut"],
    "anthropic_tools_stream": [PYTHON, "anthropic_client.py", "tools-stream"],
    "anthropic_thinking": [PYTHON, "anthropic_client.py", "thinking"],
    "node_fetch": ["node", "fetch.cjs", "stream", "2"],
    "curl_compressed": ["bash", "curl.sh", "compressed"],
    "abandoned_write": [PYTHON, "gives_up.py"],
    "conversation": [PYTHON, "goes_on.py"],
    "programs": ["sh", "-c", PROGRAMS],
}


def prepare() -> None:
    shutil.rmtree(NEUTRAL, ignore_errors=True)
    NEUTRAL.mkdir()
    for source in (CHECKOUT / "tests" / "clients").rglob("*"):
        if source.suffix in (".py", ".sh", ".cjs") and "node_modules" not in source.parts:
            shutil.copy(source, NEUTRAL)
    for client in ("gives_up.py", "goes_on.py"):
        shutil.copy(HERE / client, NEUTRAL)
    (NEUTRAL / "site").symlink_to(sysconfig.get_path("purelib"))


def record(name: str, environment: dict[str, str]) -> None:
    made = NEUTRAL / f"{name}.rec"
    proctor = [PYTHON, "-m", "proctor", "run", "-q", "-o", made.name, "--"]
    ended = subprocess.run(
        [*proctor, *RUNS[name]],
        env=environment,
        cwd=NEUTRAL,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    print(f"{name}: status {ended.returncode}, {made.stat().st_size} bytes\n{ended.stderr}", end="")
    shutil.copyfile(made, HERE / made.name)
    write_lines(name)


def write_lines(name: str) -> None:
    show = [sys.executable, "-m", "proctor", "show", "--format", "jsonl"]
    lines = subprocess.run([*show, str(HERE / f"{name}.rec")], check=True, capture_output=True)
    (HERE / f"{name}.jsonl").write_bytes(lines.stdout)


@contextlib.contextmanager
def deaf_server(folder: Path) -> Iterator[dict[str, str]]:
    """Shakes hands, then reads nothing, with little room. Gives what leads a client to it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "deaf.pem"))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken: list[ssl.SSLSocket] = []

        def accept() -> None:
            taken.append(context.wrap_socket(listener.accept()[0], server_side=True))

        threading.Thread(target=accept, daemon=True).start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        yield {"MODEL_SERVER_URL": url, "SSL_CERT_FILE": str(folder / "deaf.pem")}
        for one in taken:
            one.close()


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--lines"] or list(RUNS)
    if "--lines" in sys.argv:
        for name in names:
            write_lines(name)
        return
    if os.geteuid() != 0:
        sys.exit("record: recording needs root (with --lines: the lines alone, without)")
    prepare()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, NEUTRAL)
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(model_server(Path(folder)))
        environment = server.environment()
        source = [str(CHECKOUT / "src"), str(NEUTRAL / "site")]
        environment |= {"PYTHONPATH": os.pathsep.join(source), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("SUDO_UID", None)
        environment["PATH"] = os.defpath + os.pathsep + environment["PATH"]
        deaf = stack.enter_context(deaf_server(Path(folder)))
        for name in names:
            record(name, environment | (deaf if name == "abandoned_write" else {}))


if __name__ == "__main__":
    main()
