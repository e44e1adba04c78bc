import numpy as np
import pytest

from slt_fast.visualize import flow_sheet, page
from slt_fast.visualize.drawing import GAP, LINE, PAPER, heat, paper, text_width, titled, write
from tests.visualize.test_flow import moving


def written(text: str, width: int = 200) -> np.ndarray:
    line = paper(LINE, width)
    write(line, text, GAP, 0)
    return line


@pytest.mark.parametrize("letter", ["ä", "ß", "é", "ł", "П", "中", "本"])
def test_letters_outside_of_ascii_are_drawn(letter: str) -> None:
    """Letters that the font lacks become question marks."""
    assert (written("?") == written("\ue123")).all() and (written("?") != PAPER).any()
    assert (written(letter) != written("?")).any()
    assert (written(letter) != written("a")).any()


def test_a_long_text_is_cut_off() -> None:
    sheet = paper(3 * LINE, 60)
    write(sheet, "a very long word " * 9, 0, LINE)
    assert (sheet[:LINE] == PAPER).all() and (sheet[2 * LINE :] == PAPER).all()
    assert (sheet[LINE : 2 * LINE] != PAPER).any()


def test_the_width_of_a_text() -> None:
    dark = np.argwhere((written("eine Zeile", 300) != PAPER).any((0, 2)))
    assert abs(int(dark.max()) - GAP - text_width("eine Zeile")) <= 2


def test_escapes_are_shown_as_such() -> None:
    assert (written("a\x1bb") == written("a\\x1bb")).all()


def test_more_is_brighter() -> None:
    picture = heat(np.array([[0.0, 0.5], [0.75, 1.0]]), (20, 40)).astype(int).sum(2)
    corners = picture[0, 0], picture[0, -1], picture[-1, 0], picture[-1, -1]
    assert sorted(corners) == list(corners) and len(set(corners)) == 4


def test_titles_widen_a_sheet() -> None:
    sheet = titled(["short", "a long line " * 9], paper(10, 30))
    assert sheet.shape[0] == 2 * LINE + 10 and sheet.shape[1] > 400


def test_sheets_of_other_widths_make_a_page() -> None:
    sheets = [flow_sheet(moving(4), "a", num_columns=count, height=48) for count in (1, 3)]
    whole = page(sheets)
    assert whole.shape == (2 * (sheets[0].shape[0] + 4), sheets[1].shape[1], 3)
    assert np.array_equal(whole[: sheets[0].shape[0], : sheets[0].shape[1]], sheets[0])
    assert (whole[: sheets[0].shape[0], sheets[0].shape[1] :] == 225).all()
