"""Agent-like load: `load_agents.py [--under COMMAND]`.

Four agents at once, each a process of its own on the official `openai` package,
send prompts of 60 kB and read streamed answers of 300 chunks. The server runs
outside of what COMMAND watches. One line of JSON on standard output:

    wall_s            from the first request to the last answer, starts excluded
    process_wall_s    of COMMAND and the agents under it, starts included
    latency_ms        p50, p99 and max of a whole call
    first_chunk_ms    the same until the first piece of an answer
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from proctor.demo.serving import Serving, model_server

PROMPT_BYTES = 60_000
CHUNKS = 300
CHUNK_BYTES = 20
AGENTS = 4
START_TIMEOUT_S = 120

Times = tuple[float, float, float]
"""When one call was begun, got its first piece and ended: monotonic seconds."""


def main() -> int:
    options = options_of()
    if options.agents_only:
        run_agents(options)
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="proctor-bench-") as made,
        model_server(Path(made), logged=False) as serving,
    ):
        print(json.dumps(measure(serving, options, Path(made))))
    return 0


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--under", default="", help="a command that runs the agents")
    parser.add_argument("--calls", type=int, default=80, help="of all agents together")
    parser.add_argument("--agents", type=int, default=AGENTS, help="at once")
    parser.add_argument("--delay-ms", type=float, default=5, help="between chunks of an answer")
    parser.add_argument("--agents-only", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(serving: Serving, options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Runs the agents under the command given and sums up what they measured."""
    command = [*shlex.split(options.under), sys.executable, *sys.argv]
    began = time.monotonic()
    subprocess.run(
        [*command, "--agents-only", str(directory)],
        env=serving.environment(),
        stdout=sys.stderr,
        check=True,
    )
    process_wall_s = time.monotonic() - began
    times: list[Times] = [
        tuple(one)
        for agent_times in directory.glob("agent-*.json")
        for one in json.loads(agent_times.read_text())
    ]
    return {
        "load": "agents",
        "agents": options.agents,
        "calls": len(times),
        "prompt_bytes": PROMPT_BYTES,
        "chunks": CHUNKS,
        "delay_ms": options.delay_ms,
        "wall_s": round(max(end for _, _, end in times) - min(start for start, _, _ in times), 4),
        "process_wall_s": round(process_wall_s, 4),
        "latency_ms": spread([end - start for start, _, end in times]),
        "first_chunk_ms": spread([first - start for start, first, _ in times]),
    }


def spread(durations_s: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds, each one a duration that was measured."""
    ordered = sorted(durations_s)

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"p50": at(0.5), "p99": at(0.99), "max": at(1)}


def run_agents(options: argparse.Namespace) -> None:
    """All agents at once; each leaves its times in a file of the directory given."""
    spawning = get_context("spawn")
    barrier = spawning.Barrier(options.agents)
    agents = [
        spawning.Process(
            target=agent,
            args=(
                options.calls // options.agents + (number < options.calls % options.agents),
                options.delay_ms,
                barrier,
                options.agents_only / f"agent-{number}.json",
            ),
        )
        for number in range(options.agents)
    ]
    for process in agents:
        process.start()
    for process in agents:
        process.join()
    if any(process.exitcode for process in agents):
        sys.exit("load: an agent failed")


def agent(calls: int, delay_ms: float, barrier: Barrier, times_file: Path) -> None:
    """One agent: its first call, which opens the connection, is not measured."""
    from openai import OpenAI

    script = f"[demo chunks={CHUNKS} answer_bytes={CHUNKS * CHUNK_BYTES} delay_ms={delay_ms}]"
    prompt = f"{'Read this first. ' * (PROMPT_BYTES // 17)}\nNow answer. {script}"
    with OpenAI(max_retries=0) as client:
        call(client, "Hello.")
        barrier.wait(START_TIMEOUT_S)
        times_file.write_text(json.dumps([call(client, prompt) for _ in range(calls)]))


def call(client: Any, prompt: str) -> Times:
    """One streamed call; raises RuntimeError where the answer is not whole."""
    start = time.monotonic()
    first, pieces, finish = 0.0, 0, None
    stream = client.chat.completions.create(
        model="gpt-demo",
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        first = first or time.monotonic()
        for choice in chunk.choices:
            pieces += bool(choice.delta.content)
            finish = choice.finish_reason or finish
    if finish != "stop" or (pieces != CHUNKS and prompt != "Hello."):
        raise RuntimeError(f"load: {pieces} pieces of {CHUNKS} came, finish reason {finish}")
    return start, first, time.monotonic()


if __name__ == "__main__":
    sys.exit(main())
