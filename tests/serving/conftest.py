"""A server with the model that comes with the package, and a video for it."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn

from slt_fast import Translator
from slt_fast.data.synthetic.talk import Talk
from slt_fast.serving import create_app
from slt_fast.visualize import write_video


@pytest.fixture(scope="session")
def translator() -> Translator:
    return Translator.load(device="cpu")


@pytest.fixture(scope="session")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "talk.mp4"
    write_video(path, list(Talk("test-00001", 2).frames()), fps=25)
    return path


@contextmanager
def _served(app) -> Iterator[str]:
    """Serves an app from a thread; yields its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    run = lambda: asyncio.run(server.serve(sockets=[listening]))  # noqa: E731
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def serve(translator: Translator) -> Iterator[Callable[..., str]]:
    """Starts servers with these options of create_app; returns their addresses."""
    with ExitStack() as running:
        yield lambda *given, **options: running.enter_context(
            _served(create_app(translator, *given, **options))
        )
