"""Converts CSL-Daily (Zhou et al., CVPR 2021): frame folders with Chinese sentences and glosses.

    sentence_label/video_map.txt    index|name|length|gloss|char|word|postag
    sentence_label/split_1.txt      name|split
    sentence_frames-512x512/<name>/NNNNNN.jpg

The layout is fairly certain. Public code also has the frames in sentence_frames-512x512/
frames_512x512 and in sentence/frames_512x512; all three are read. The rate, 30 frames a second, is
what users of the data say. Signers are not in the tables.

The text is the column `char` without its spaces. To learn it, train with --text-units character;
scores split Chinese by character by themselves (metrics/translation.py).
"""

from slt_fast.data.datasets.converters.conversion import Conversion, first_of, split_of
from slt_fast.data.datasets.rows import ErrorAt

_COLUMNS = ("name", "gloss", "char")
_FRAMES = (
    "sentence_frames-512x512/frames_512x512",
    "sentence/frames_512x512",
    "sentence_frames-512x512",
)


def convert_csl_daily(conversion: Conversion) -> None:
    """Adds the sentences of the official split."""
    labels = conversion.root / "sentence_label"
    frames = first_of(conversion.root, *_FRAMES)
    splits: dict[str, tuple[ErrorAt, str]] = {}
    for error_at, row in conversion.table(labels / "split_1.txt", "|", ("name", "split")):
        with conversion.checking():
            splits[row["name"]] = error_at, split_of(error_at, "split", row["split"])
    for error_at, row in conversion.table(labels / "video_map.txt", "|", _COLUMNS):
        with conversion.checking():
            if row["name"] not in splits:
                raise error_at(f"name {row['name']!r}", "one that split_1.txt has")
            columns = {"id": row["name"], "text": "".join(row["char"].split())}
            columns |= {"gloss": row["gloss"], "fps": "30", "split": splits.pop(row["name"])[1]}
            conversion.add(error_at, frames / row["name"], columns)
    for name, (error_at, _) in splits.items():
        conversion.remarks.append(error_at(f"name {name!r}", "one that video_map.txt has"))
