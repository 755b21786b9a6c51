"""Model servers for the clients; one of each kind for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from proctor.demo.serving import Serving, model_server

ServerOf = Callable[..., Serving]


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
