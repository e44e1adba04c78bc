"""Asks a running slt-serve for many translations at once, and counts what came of them.

slt-serve --port 8000 &
python -m benchmarks.clients http://127.0.0.1:8000 clip.mp4 --clients 20

Some clients leave in the middle (--leave), as people do; none of the others may be lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import httpx


async def client(address: str, content: bytes, *, leaves: bool) -> tuple[str, float]:
    """Returns how it ended, and after how many seconds."""
    started, last = time.perf_counter(), "nothing"
    async with (
        httpx.AsyncClient(timeout=None) as session,
        session.stream("POST", f"{address}/translate", content=content) as answer,
    ):
        if answer.status_code != 200:
            return f"status {answer.status_code}", time.perf_counter() - started
        async for line in answer.aiter_lines():
            last = json.loads(line)["event"]
            if leaves and last == "picture":
                return "left by itself", time.perf_counter() - started
    return last, time.perf_counter() - started


async def ask(address: str, content: bytes, clients: int, leave: int) -> None:
    jobs = [client(address, content, leaves=number < leave) for number in range(clients)]
    ends = await asyncio.gather(*jobs)
    for end, count in Counter(end for end, _ in ends).items():
        seconds = sorted(taken for each, taken in ends if each == end)
        print(f"{count:4} {end}: {seconds[0]:.1f} to {seconds[-1]:.1f} seconds")
    async with httpx.AsyncClient() as session:
        print((await session.get(f"{address}/metrics")).text, end="")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("video", type=Path)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--leave", type=int, default=0, help="of them that leave in the middle")
    arguments = parser.parse_args()
    content = arguments.video.read_bytes()
    asyncio.run(ask(arguments.address, content, arguments.clients, arguments.leave))


if __name__ == "__main__":
    main()
