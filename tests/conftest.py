"""What holds for all tests, and the model servers that clients talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import settings

from proctor.demo.serving import Serving, model_server
from tests.surroundings import heed_signals, need

ServerOf = Callable[..., Serving]

# Speed is kept by benchmarks: a slow machine is no failing test.
settings.register_profile("proctor", deadline=None)
settings.load_profile("proctor")


LONGEST = ("tests/kernel/", "tests/packaging/", "tests/agents/", "tests/bpf/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: of several workers none has one of them left at the end."""
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in LONGEST])


def pytest_configure() -> None:
    heed_signals()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        need(*marker.args)


@pytest.fixture(scope="session")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerOf]:
    """`server_of("--tls", "1.2")`: the server with these arguments, started once."""
    running: dict[tuple[str, ...], Serving] = {}
    with ExitStack() as stack:

        def serve(*arguments: str) -> Serving:
            if arguments not in running:
                directory = tmp_path_factory.mktemp("server")
                server = model_server(directory, "--log-bodies", *arguments)
                running[arguments] = stack.enter_context(server)
            return running[arguments]

        yield serve


@pytest.fixture(scope="session")
def server(server_of: ServerOf) -> Serving:
    """TLS, 1.3 preferred."""
    return server_of()
