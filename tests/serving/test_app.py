"""The server, asked as a browser would, and by a browser."""

import json
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from slt_fast import Translator
from slt_fast.serving import Limits

TOKEN = "0123456789abcdef"


def ask(address: str, content: bytes, **headers: str) -> tuple[int, list[dict]]:
    """Returns the status, and the events or the refusal."""
    answer = httpx.post(f"{address}/translate", content=content, headers=headers, timeout=120)
    return answer.status_code, [json.loads(line) for line in answer.text.splitlines()]


def get(address: str, **options: dict) -> httpx.Response:
    return httpx.get(address, timeout=60, **options)


def uploads() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("slt_fast-upload-*"))


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_video_is_translated(serve, translator: Translator, video: Path) -> None:
    status, events = ask(serve(), video.read_bytes(), **{"X-File-Name": "a%20b.mp4"})
    assert status == 200 and events[0] == {"event": "started"}
    said = [each for each in events if each["event"] == "sentence"]
    true = list(translator.segments(video, sentences="pauses"))
    assert [(each["start"], each["end"], each["text"]) for each in said] == [
        (one.start_s, one.end_s, one.translation.text) for one in true
    ]
    assert len(said) == 2 and said[0]["glosses"] == list(true[0].translation.glosses)
    assert any(each["event"] == "partial" for each in events)
    pictures = [each for each in events if each["event"] == "picture"]
    assert len(pictures) > 5 and all(
        each["flow"].startswith("data:image/webp") for each in pictures
    )
    assert "<title>a b.mp4</title>" in events[-1]["report"] and events[-1]["event"] == "done"
    assert not uploads()


def test_what_cannot_be_translated(serve, video: Path) -> None:
    address = serve()
    for content, message in (
        (b"no video", "a.mp4: found text; expected a video file"),
        (video.read_bytes()[:3000], "a.mp4: found "),
    ):
        status, events = ask(address, content, **{"X-File-Name": "a.mp4"})
        assert status == 200 and events[-1]["event"] == "failed"
        assert events[-1]["error"].startswith(message)
        assert tempfile.gettempdir() not in events[-1]["error"]
    counts = get(f"{address}/metrics").text
    assert 'slt_fast_videos_total{end="failed"} 2' in counts and "slt_fast_clients 0" in counts
    assert not uploads()


def test_refusals(serve, video: Path) -> None:
    address = serve(Limits(max_megabytes=1, uploads_a_minute=3), token=TOKEN)
    own = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(address, b"x")[0] == 401
    assert ask(address, b"x", Authorization="Bearer wrong")[0] == 401
    assert ask(address, b"x", Origin="http://evil.example", **own)[0] == 403
    status, (refusal,) = ask(address, bytes(2**20 + 1), **own)
    assert status == 413 and refusal["error"] == "found a larger file; expected at most 1 MB"
    pieces = (bytes(2**19) for _ in range(4))  # of a length that is not stated
    assert httpx.post(f"{address}/translate", content=pieces, headers=own).status_code == 413
    assert ask(address, b"", **own)[0] == 400
    assert ask(address, video.read_bytes(), Origin=address, **own)[0] == 200
    status, (refusal,) = ask(address, b"x", **own)
    assert status == 429 and refusal["error"] == "found more than 3 videos a minute"
    assert not uploads()


def test_other_names_are_refused(serve) -> None:
    """So that no web site reaches the server by a name that leads to this computer."""
    address = serve()
    answer = get(f"{address}/health", headers={"Host": "evil.example:8000"})
    assert answer.status_code == 421 and "found 'evil.example:8000'" in answer.text
    answer = get(f"{address}/health")
    assert answer.json()["status"] == "ok" and answer.json()["clients"] == 0
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for name, status in (("page.js", 200), ("page.css", 200), ("page.py", 404), ("x", 404)):
        assert get(f"{address}/{name}").status_code == status


def test_a_client_that_leaves_frees_its_place(serve, video: Path) -> None:
    address = serve()
    given = {"content": video.read_bytes(), "timeout": 120}
    with httpx.stream("POST", f"{address}/translate", **given) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["event"] == "started"
        assert json.loads(next(lines))["event"] == "picture"
    status, events = ask(address, video.read_bytes())  # it waits until the other one's work ended
    assert status == 200 and events[-1]["event"] == "done"
    until = time.monotonic() + 20
    while get(f"{address}/health").json()["clients"] and time.monotonic() < until:
        time.sleep(0.05)
    counts = get(f"{address}/metrics").text
    assert (
        "slt_fast_clients 0" in counts and 'end="left"} 1' in counts and 'end="done"} 1' in counts
    )
    assert not uploads()


@pytest.fixture
def page(browser, serve):
    """The page in a browser with a camera that shows a test picture."""
    page = browser.new_page(viewport={"width": 900, "height": 1000})
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.address = serve(Limits(max_megabytes=1))
    page.goto(page.address)
    return page


def until(page, start: str) -> str:
    """Waits until the status starts so; returns it."""
    for _ in range(600):
        if (said := page.inner_text("#status")).startswith(start):
            return said
        page.wait_for_timeout(100)
    raise AssertionError(f"the status is {said!r}")


def test_the_page_translates_a_file(page, translator: Translator, video: Path) -> None:
    page.set_input_files("#file", video)
    until(page, "Done: 2 sentences")
    true = list(translator.segments(video, sentences="pauses"))
    said = page.inner_text("#sentences").splitlines()
    for line, one in zip(said, true, strict=True):
        assert line.endswith(one.translation.text)
    assert page.inner_text("#caption") == true[-1].translation.text
    assert page.get_attribute("#flow", "alt").startswith("What the network sees at 0:0")
    with page.expect_download() as download:
        page.click("#vtt")
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\n1\n00:00:00.") and text.count("-->") == 2
    with page.expect_download() as download:
        page.click("#report")
    assert "<!doctype html>" in Path(download.value.path()).read_text(encoding="utf-8")
    page.set_input_files("#file", {"name": "b", "mimeType": "video/mp4", "buffer": b"no video"})
    assert until(page, "b: found text") and page.inner_text("#sentences") == ""
    page.set_input_files("#file", {"name": "c", "mimeType": "", "buffer": bytes(2**20 + 1)})
    until(page, "found a larger file; expected at most 1 MB")
    assert not page.complaints


def test_the_page_records_the_camera(page) -> None:
    page.focus("#record")
    page.keyboard.press("Enter")
    until(page, "Recording.")
    assert page.evaluate("document.activeElement.id") == "stop"
    page.wait_for_timeout(1500)
    page.keyboard.press("Enter")
    assert "s of video in" in until(page, ("Done", "Found no sentence"))
    assert not page.complaints


def test_everyone_can_use_the_page(page, video: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.set_input_files("#file", video)
    until(page, "Done")
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    page.set_viewport_size({"width": 320, "height": 600})
    assert page.evaluate("document.documentElement.scrollWidth <= 320")
    assert page.query_selector("audio") is None
