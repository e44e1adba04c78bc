"""The page of a translation, read as a file and in a headless Chromium."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from slt_fast.errors import UserError
from slt_fast.inference.attention import ClipAttention
from slt_fast.inference.explaining import Explanation
from slt_fast.inference.translate import Candidate, Translation
from slt_fast.visualize.report import ReportedSentence, write_report

RATE, H, W, S, T = 12.5, 2, 3, 2, 10
EVIL = "</script><img src=x onerror=\"document.title='broken'\">"


def attention() -> ClipAttention:
    """The first word looks at frame 7, and there at the place in the middle of the second row."""
    frames = torch.full((S + 1, T), 0.01)
    frames[0, 7] = 0.91
    positions = torch.full((T, H, W), 1 / 6)
    positions[7] = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.9, 0.0]])
    return ClipAttention(positions, frames, torch.zeros(T, 2), positions, 0.5, 0.3, 0.2)


def sentence(first: int, *, words: list[str], looks: bool = True) -> ReportedSentence:
    text = " ".join(words)
    candidates = (Candidate(text, -0.25), Candidate("something else", -1.5))
    said = Translation(text, ("REGEN", "MORGEN", "REGEN"), candidates=candidates)
    probabilities = torch.linspace(0, 1, T).repeat(2, 1)
    saw = Explanation(words, attention() if looks else None, ["REGEN", "MORGEN"], probabilities)
    return ReportedSentence(first / RATE, (first + T) / RATE, first, said, saw)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    sentences = [
        sentence(0, words=["hello", EVIL]),
        sentence(T, words=["world", "."], looks=False),
    ]
    frames = list(np.random.default_rng(0).integers(0, 255, (2 * T, 30, 40, 3), np.uint8))
    flow = [frame[:8, :8] for frame in frames]
    facts = [("Model", "<b>none</b>")]
    times = [number / RATE for number in range(2 * T)]
    path = tmp_path / "report.html"
    write_report(path, sentences, frames, flow, times=times, title="a < b", rate=RATE, facts=facts)
    return path


def test_everything_is_inside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?://|src=\"(?!data:)[^x]|href=|url\(|@import", text)
    assert "default-src 'none'" in text and "<title>a &lt; b</title>" in text
    assert text.count("</script>") == 2  # none of the translation's
    (data,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', text)
    first, second = json.loads(data)["sentences"]
    assert first["words"] == ["hello", EVIL] and second["attention"] is None
    assert first["attention"]["positions"][7] == [0, 0, 0, 0.1, 0.9, 0]
    assert second["first"] == T and second["start"] == T / RATE
    assert first["candidates"] == [[f"hello {EVIL}", -0.25], ["something else", -1.5]]
    assert [round(each["seconds"] * RATE) for each in second["stills"]][::7] == [T, 2 * T - 1]


@pytest.mark.parametrize(
    "name, frames, message",
    [("a.pdf", 1, r"a\.pdf: found suffix '\.pdf'"), ("a.html", 0, "found no frame to show")],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, frames: int, message: str) -> None:
    pictures = [np.zeros((8, 8, 3), np.uint8)] * frames
    with pytest.raises(UserError, match=message):
        write_report(tmp_path / name, [], pictures, pictures, times=[0.0], title="", rate=25)
    assert not list(tmp_path.iterdir())


def until(opened, expression: str) -> None:
    """Waits until JavaScript is true; playwright's own waiting needs eval, which the page bars."""
    for _ in range(200):
        if opened.evaluate(expression):
            return
        opened.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


@pytest.fixture
def opened(page: Path, browser):
    """The page in a browser, which notes what the page asks for and complains of."""
    opened = browser.new_page(viewport={"width": 1000, "height": 900})
    opened.asked, opened.complaints = [], []  # what it asks for, what it complains of
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda each: each.type == "error" and opened.complaints.append(each.text))
    opened.goto(page.as_uri())
    opened.wait_for_selector("html[data-ready=true]")
    until(opened, "document.getElementById('video').readyState >= 2")
    return opened


def brightest(opened) -> list[float]:
    """Returns where the overlay covers the video most, as shares of its width and height."""
    return opened.evaluate(
        """() => {
            const canvas = document.getElementById("overlay"), { width, height } = canvas;
            const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            let [best, sum, x, y] = [0, 0, 0, 0];
            for (let i = 3; i < pixels.length; i += 4) best = Math.max(best, pixels[i]);
            if (!best) return [];
            for (let i = 0; i < width * height; i++)
                if (pixels[4 * i + 3] === best) {
                    sum++; x += i % width; y += Math.floor(i / width);
                }
            return [x / sum / width, y / sum / height];
        }"""
    )


def test_a_word_shows_where_the_model_looked(opened) -> None:
    assert opened.title() == "a < b" and opened.inner_text("#facts dd") == "<b>none</b>"
    assert [each.inner_text() for each in opened.query_selector_all("button")] == [
        *("hello", EVIL, "world", ".")
    ]
    assert opened.inner_text("#caption") == f"hello {EVIL}" and brightest(opened) == []
    opened.keyboard.press("Tab")  # the video, then its controls
    opened.focus("button >> nth=0")
    assert brightest(opened) == pytest.approx([0.5, 0.75], abs=0.02)
    assert "looks most at 0:00.56" in opened.inner_text("#looking")
    until(opened, "Math.abs(document.getElementById('video').currentTime - 0.56) < 0.01")
    assert opened.get_attribute("button >> nth=0", "aria-pressed") == "true"
    opened.evaluate("document.getElementById('video').currentTime = 1.2")
    until(opened, "document.getElementById('caption').textContent === 'world .'")
    assert "no 2-D attention" in opened.inner_text("article >> nth=1")
    assert opened.title() == "a < b" and not opened.complaints
    assert all(url.startswith(("file:", "data:")) for url in opened.asked)


def test_everyone_can_read_it(opened) -> None:
    """axe-core finds nothing in contrast, names, order or keyboard; and no sound is needed."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(opened).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    opened.set_viewport_size({"width": 320, "height": 600})  # a small telephone
    assert opened.evaluate("document.documentElement.scrollWidth <= 320")
    assert opened.evaluate("document.getElementById('video').muted")
