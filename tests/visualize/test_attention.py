import numpy as np
import pytest
import torch

from slt_fast.inference.attention import ClipAttention
from slt_fast.visualize import attention_animation, attention_sheet, drawing
from slt_fast.visualize.drawing import GAP, LINE, text_width

T, WORDS = 5, ["ein", "schläft"]
PIXELS = 112  # of each frame
TOP = 3 * LINE + LINE + GAP  # a title and two lines, then the headings
GUTTER = max(map(text_width, ("one place looks at", "max 4.0x uniform"))) + 2 * GAP
NOTE = text_width("max 5.0x uniform") + 2 * GAP
MARK = [0, 255, 255]


def attention(place: tuple[int, int], frame: int, looks: tuple[int, int] = (0, 0)) -> ClipAttention:
    """All look at one place, and words at one frame; one place looks at itself."""
    positions, frames = torch.zeros(T, 2, 2), torch.zeros(len(WORDS) + 1, T)
    positions[:, place[0], place[1]] = 1
    frames[:, frame] = 1
    own = torch.zeros(T, 2, 2)
    own[:, looks[0], looks[1]] = 1
    queries = torch.tensor([looks] * T)
    return ClipAttention(positions, frames, queries, own, far_share=0.25, gamma=0.5, change=0.1)


def black(number: int) -> np.ndarray:
    return np.zeros((number, PIXELS, PIXELS, 3), np.uint8)


def brightest_quarter(picture: np.ndarray) -> tuple[int, ...]:
    quarters = picture.astype(float).sum(2).reshape(2, 56, 2, 56).mean((1, 3))
    return tuple(int(each) for each in np.unravel_index(quarters.argmax(), (2, 2)))


def row_of_sheet(sheet: np.ndarray, row: int, column: int = 0) -> np.ndarray:
    top, left = TOP + row * (PIXELS + GAP), GUTTER + column * (PIXELS + GAP)
    return sheet[top : top + PIXELS, left : left + PIXELS]


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize("column", [0, 4])
def test_bright_where_the_model_looks(place: tuple[int, int], column: int) -> None:
    """In a black frame only the attention can be bright."""
    looks = (1, 1 - place[1])
    sheet = attention_sheet(black(T), attention(place, 3, looks), WORDS, title="a clip")
    assert sheet.dtype == np.uint8 and not row_of_sheet(sheet, 0, column).any()
    assert brightest_quarter(row_of_sheet(sheet, 1, column)) == looks
    assert brightest_quarter(row_of_sheet(sheet, 2, column)) == place
    # The mark is around the place that looks, and nowhere else.
    marks = np.argwhere((row_of_sheet(sheet, 1, column) == MARK).all(2))
    assert (marks.min(0) // 56 == looks).all() and (marks.max(0) // 56 == looks).all()
    assert not (row_of_sheet(sheet, 2, column) == MARK).all(2).any()


def lines_of(picture: np.ndarray) -> list[np.ndarray]:
    height = len(WORDS) + 1
    return np.split(picture[-GAP - height * (LINE + GAP) :][: height * (LINE + GAP)], height)


def test_a_line_for_each_word_and_the_end() -> None:
    sheet = attention_sheet(black(T), attention((0, 0), 3), WORDS)
    for line in lines_of(sheet):
        seen = line[:LINE, GUTTER : GUTTER + T * (PIXELS + GAP) - GAP].astype(float).sum(2)
        assert np.argmax([part.mean() for part in np.array_split(seen, T, axis=1)]) == 3
    labels = [line[:, :GUTTER] for line in lines_of(sheet)]
    assert (labels[0] != labels[1]).any() and all((label != 225).any() for label in labels)


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """The lines of text that are drawn."""
    texts, real = [], drawing.write

    def write(sheet, text, *place, **options):
        texts.append(text)
        real(sheet, text, *place, **options)

    monkeypatch.setattr("slt_fast.visualize.attention.write", write)
    return texts


def test_maxima_are_written_as_multiples_of_uniform_attention(written: list[str]) -> None:
    """Each row is scaled to its maximum, so nearly uniform attention looks as sharp as any."""
    looked = attention((0, 0), 3)
    looked.positions[:] = 0.25
    looked.positions[1, 0] = torch.tensor([0.26, 0.24])  # one frame is a little less uniform
    looked.query_positions[:] = torch.tensor([[0.4, 0.2], [0.2, 0.2]])
    looked.frames[0] = 0.2
    looked.frames[1] = torch.tensor([0.3, 0.1, 0.2, 0.2, 0.2])
    maxima = ["1.6x", "1.0x", "1.0x", "1.5x", "5.0x"]  # one place, all places, and three words
    attention_sheet(black(T), looked, WORDS)
    notes = [text for text in written if text.startswith("max ")]
    assert sorted(notes) == sorted(f"max {each} uniform" for each in maxima)
    at = [written.index(text) for text in ("one place looks at", "all places look at")]
    assert [written[each + 1] for each in at] == ["max 1.6x uniform", "max 1.0x uniform"]
    written.clear()
    attention_animation(black(T), looked, WORDS)
    assert {text for text in written if text.startswith("max ")} == {*notes}


def test_long_and_short_clips() -> None:
    for frames in (60, 1):
        looked = ClipAttention(
            torch.rand(frames, 7, 7),
            torch.rand(1, frames),
            torch.zeros(frames, 2, dtype=torch.long),
            torch.rand(frames, 7, 7),
            far_share=0.4,
            gamma=0.0,
            change=0.0,
        )
        sheet = attention_sheet(black(frames), looked, [])
        assert sheet.shape[1] >= GUTTER + min(frames, 8) * (PIXELS + GAP)
        assert len(attention_animation(black(frames), looked, [], height=32)) == frames


def test_an_animation_moves_a_line_and_reddens_the_word() -> None:
    looked = attention((0, 0), 3)
    looked.frames[:] = torch.eye(3, T)  # word 0 looks at frame 0, word 1 at frame 1
    pictures = attention_animation(black(T), looked, WORDS, height=2 * PIXELS)
    assert len(pictures) == T and len({picture.shape for picture in pictures}) == 1
    places, red = [], []
    for picture in pictures[:2]:
        marked = [np.argwhere((line == MARK).all(2).all(0)) for line in lines_of(picture)]
        assert all(len(columns) == 2 for columns in marked)
        places.append(int(marked[0].min()))
        labels = [line[:, :60].astype(int) for line in lines_of(picture)]
        red.append([bool((label[..., 0] - label[..., 1] > 60).any()) for label in labels])
    lines = 3 * (2 * PIXELS + GAP) - GAP - (text_width("2 schläft") + 2 * GAP) - NOTE
    assert abs(places[1] - places[0] - lines / T) <= 1
    assert red == [[True, False, False], [False, True, False]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_columns": 0}, "columns: found 0; expected at least 1"),
        ({"height": 31}, "height: found 31; expected at least 32"),
    ],
)
def test_what_cannot_be_drawn(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention_sheet(black(T), attention((0, 0), 3), WORDS, **options)
