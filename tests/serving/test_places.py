"""One client at a time, in the order in which they came."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from slt_fast.serving.places import Full, Places, Rate


def test_clients_come_in_one_by_one() -> None:
    seen: list[tuple[str, int]] = []

    async def client(places: Places, name: str, go: asyncio.Event) -> None:
        async with places.place() as waiting:
            async for before in waiting:
                seen.append((name, before))
            seen.append((name, 0))
            await go.wait()

    async def run() -> None:
        places, go = Places(max_waiting=2), asyncio.Event()
        first, second, third = (
            asyncio.create_task(client(places, name, go)) for name in ("a", "b", "c")
        )
        await asyncio.sleep(0.01)
        assert seen == [("a", 0), ("b", 1), ("c", 2)] and len(places) == 3
        with pytest.raises(Full):
            async with places.place():
                pass
        second.cancel()  # it leaves while it waits
        await asyncio.sleep(0.01)
        assert seen[3:] == [("c", 1)]
        first.cancel()  # and this one while it is in
        await asyncio.sleep(0.01)
        assert seen[4:] == [("c", 0)] and len(places) == 1
        go.set()
        await third
        assert len(places) == 0

    with ThreadPoolExecutor(1) as pool:  # the browser's tests leave a loop in this thread
        pool.submit(asyncio.run, run()).result()


def test_each_address_has_its_own_rate(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("slt_fast.serving.places.time.monotonic", lambda: now[0])
    rate = Rate(2)
    assert [rate.allows(each) for each in "aab"] == [True, True, True]
    assert not rate.allows("a") and rate.allows("b")
    now[0] = 61.0
    assert rate.allows("a") and len(rate._asked) == 1  # b is forgotten
