import io
import struct

import pytest

from slt_fast.data.video.mp4 import mp4_size, shown_frames

MOVIE_TICKS, MEDIA_TICKS = 1000, 600


def box(kind: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def table(kind: bytes, layout: str, *rows: tuple[int, ...], version: int = 0) -> bytes:
    packed = b"".join(struct.pack(layout, *row) for row in rows)
    return box(kind, struct.pack(">II", version << 24, len(rows)), packed)


def header(kind: bytes, ticks: int, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24), bytes(16 if version else 8), num(ticks))


def num(value: int) -> bytes:
    return struct.pack(">I", value)


def track(kind: bytes, durations: list, *, offsets=(), edits: bytes = b"", version=0) -> bytes:
    tables = table(b"stts", ">II", *durations) + (
        table(b"ctts", ">Ii", *offsets) if offsets else b""
    )
    handler = box(b"hdlr", bytes(8), kind, bytes(13))
    media = box(b"minf", box(b"stbl", tables))
    return box(
        b"trak",
        box(b"edts", edits) if edits else b"",
        box(b"mdia", header(b"mdhd", MEDIA_TICKS, version), handler, media),
    )


def movie(*tracks: bytes, version: int = 0) -> bytes:
    moov = box(b"moov", header(b"mvhd", MOVIE_TICKS, version), *tracks)
    return box(b"ftyp", b"isom") + moov + box(b"mdat", bytes(500))


def edit_list(*edits: tuple[int, int], version: int = 0) -> bytes:
    layout = ">QqI" if version else ">IiI"
    return table(b"elst", layout, *((*edit, 1 << 16) for edit in edits), version=version)


SOUND = track(b"soun", [(99, 6)])
TEN = [(10, 60)]  # ten frames a second


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (movie(SOUND, track(b"vide", TEN)), 10),
        (movie(SOUND, track(b"vide", [(4, 60), (3, 20)])), 7),
        (movie(track(b"vide", TEN, edits=edit_list((1000, 0)))), 10),
        (movie(track(b"vide", TEN, edits=edit_list((500, 180)))), 5),  # frames 3 to 7
        (movie(track(b"vide", TEN, edits=edit_list((500, 181)))), 5),  # frames 4 to 8
        (movie(track(b"vide", TEN, edits=edit_list((401, 0)))), 5),
        (movie(track(b"vide", TEN, edits=edit_list((500, -1), (2000, 60)))), 9),
        (movie(track(b"vide", TEN, edits=edit_list((200, 0), (300, 300)))), 5),
        (movie(track(b"vide", TEN, edits=edit_list((500, 180), version=1))), 5),
        (movie(track(b"vide", TEN, edits=edit_list((500, 180)), version=1), version=1), 5),
        # The first frame is shown between the third and the fifth.
        (movie(track(b"vide", TEN, offsets=[(1, 240), (9, 120)], edits=edit_list((300, 181)))), 4),
        (movie(SOUND), None),
        (movie(track(b"vide", []), box(b"mvex")), None),
        (movie(track(b"vide", TEN), box(b"mvex")), None),
        (movie(track(b"vide", [(2**32 - 1, 1)])), None),
        (movie(track(b"vide", TEN, edits=edit_list((0, 0)))), None),
        (box(b"ftyp", b"isom"), None),
    ],
)
def test_shown_frames(content: bytes, expected: int | None) -> None:
    assert shown_frames(io.BytesIO(content), len(content)) == expected


def test_size_is_the_end_of_the_last_box() -> None:
    content = movie(SOUND)
    long_box = struct.pack(">I4sQ", 1, b"mdat", 16 + 40) + bytes(40)
    for whole in (content, content + long_box):
        for missing in (0, 30):
            file = io.BytesIO(whole[: len(whole) - missing])
            assert mp4_size(file, len(whole) - missing) == len(whole)
    assert mp4_size(io.BytesIO(content + bytes(12)), len(content) + 12) == len(content) + 12
