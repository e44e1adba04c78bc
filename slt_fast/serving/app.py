"""The server: one page, one address that translates, health and metrics."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from anyio import CancelScope
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse

from slt_fast.errors import UserError, printable
from slt_fast.inference.translator import Translator
from slt_fast.serving.limits import Limits
from slt_fast.serving.places import Full, Places, Rate
from slt_fast.serving.translating import Event, Left, events

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_KINDS = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}


class _Refused(Exception):
    """A request that is answered with a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def create_app(
    translator: Translator,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]"),
) -> FastAPI:
    """Returns the server, to be run by one worker process of an ASGI server.

    Args:
        translator: The model; one video at a time.
        limits: Limits of clients; None means Limits().
        token: What clients must send as "Authorization: Bearer TOKEN" to translate; None asks for
            nothing.
        hosts: Names that the server is called by, without port. Others are refused, so that no
            other web site reaches it by a name of its own.
    """
    limits = limits or Limits()
    app = FastAPI(title="slt_fast", docs_url=None, redoc_url=None, openapi_url=None)
    places, rate, counts = Places(limits.max_waiting), Rate(limits.uploads_a_minute), Counter[str]()
    started = time.monotonic()

    @app.middleware("http")
    async def guarded(request: Request, call_next: Any) -> Response:
        host = request.headers.get("host", "")
        if _name(host) not in hosts:
            found = f"host: found {printable(host)!r}; expected {' or '.join(hosts)}"
            return PlainTextResponse(found, 421)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(_part("page.html"))

    @app.get("/page.{kind}")
    async def part(kind: str) -> Response:
        name = f"page.{kind}"
        if name not in _KINDS:
            return PlainTextResponse("not found", 404)
        return Response(_part(name), media_type=_KINDS[name])

    @app.get("/health")
    async def health() -> JSONResponse:
        seconds = round(time.monotonic() - started, 1)
        return JSONResponse({"status": "ok", "clients": len(places), "seconds_up": seconds})

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        lines = [f"slt_fast_clients {len(places)}"]
        lines += [f'slt_fast_videos_total{{end="{end}"}} {n}' for end, n in sorted(counts.items())]
        return PlainTextResponse("\n".join(lines) + "\n")

    @app.post("/translate")
    async def translate(request: Request) -> Response:
        try:
            _check(request, token, limits)
            if not rate.allows(request.client.host if request.client else ""):
                raise _Refused(429, f"found more than {limits.uploads_a_minute} videos a minute")
            if len(places) > limits.max_waiting:
                raise _Refused(503, f"{len(places)} clients are waiting; try again later")
            path = await _received(request, limits)
        except _Refused as refusal:
            counts["refused"] += 1
            return JSONResponse({"error": str(refusal)}, refusal.status, {"Retry-After": "30"})
        name = printable(unquote(request.headers.get("x-file-name", "video"))[:200])
        lines = _lines(translator, path, name, limits, places, counts)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    return app


def _name(host: str) -> str:
    """Returns the name in a Host header, without its port."""
    name = urlsplit(f"//{host}").hostname or ""
    return f"[{name}]" if ":" in name else name


def _check(request: Request, token: str | None, limits: Limits) -> None:
    """Raises _Refused for a client that may not translate, or whose file is too large."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise _Refused(403, "found a request of another web site; expected one of this page")
    if token is not None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise _Refused(401, "found no valid token; expected the one that the server was given")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.max_megabytes * 2**20:
        raise _Refused(413, _too_large(limits))


def _too_large(limits: Limits) -> str:
    return f"found a larger file; expected at most {limits.max_megabytes} MB"


async def _received(request: Request, limits: Limits) -> Path:
    """Writes the body of a request to a temporary file, whatever length it claims to have."""
    handle, name = tempfile.mkstemp(prefix="slt_fast-upload-")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            await asyncio.wait_for(_copied(request, file, limits), limits.upload_seconds)
        return path
    except asyncio.TimeoutError:
        path.unlink()
        expected = f"expected one within {limits.upload_seconds:g} seconds"
        raise _Refused(408, f"found an upload that takes longer; {expected}") from None
    except BaseException:
        path.unlink()
        raise


async def _copied(request: Request, file: BinaryIO, limits: Limits) -> None:
    total = 0
    async for piece in request.stream():
        total += len(piece)
        if total > limits.max_megabytes * 2**20:
            raise _Refused(413, _too_large(limits))
        file.write(piece)
    if not total:
        raise _Refused(400, "found an empty file; expected a video")


async def _lines(
    translator: Translator,
    path: Path,
    name: str,
    limits: Limits,
    places: Places,
    counts: Counter[str],
) -> AsyncIterator[bytes]:
    """Yields the events of a video as JSON lines; a client that leaves frees its place."""
    left, end = threading.Event(), "left"
    try:
        async with places.place() as waiting:
            async for before in waiting:
                yield _line({"event": "waiting", "before": before})
            yield _line({"event": "started"})
            found = events(translator, path, name, limits, left)
            try:
                async for event in _in_thread(found, left):
                    yield _line(event)
                end = "done"
            except (UserError, OSError) as error:
                end = "failed"
                yield _line({"event": "failed", "error": printable(str(error))})
    except Full:
        end = "refused"
        yield _line({"event": "failed", "error": "too many clients are waiting; try again later"})
    finally:
        counts[end] += 1
        path.unlink(missing_ok=True)


async def _in_thread(
    found: Generator[Event, None, None], left: threading.Event
) -> AsyncIterator[Event]:
    """Takes events in a thread; when the client leaves, waits until the thread has noticed."""
    pending: asyncio.Future[Event | None] | None = None
    try:
        while True:
            pending = asyncio.ensure_future(asyncio.to_thread(next, found, None))
            event = await asyncio.shield(pending)
            if event is None:
                return
            yield event
    finally:
        left.set()
        with CancelScope(shield=True), suppress(Left, UserError, OSError):
            if pending is not None and not pending.done():
                await pending
            await asyncio.to_thread(found.close)  # ends the decoding


def _line(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode() + b"\n"


def _part(name: str) -> str:
    return files("slt_fast.serving").joinpath(f"page/{name}").read_text(encoding="utf-8")
