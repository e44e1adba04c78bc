"""Converts How2Sign (Duarte et al., CVPR 2021): sentences of whole videos, by realigned times.

    sentence_level/{train,val,test}/text/en/raw_text/re_aligned/how2sign_realigned_<split>.csv
    video_level/{train,val,test}/rgb_front/raw_videos/<VIDEO_NAME>.mp4

The csv files are separated by tabs; times are in seconds. Public code reads the annotations so, and
the folder of the videos is that of the official download script. Whether sentences are quoted is
not certain: quotation marks around a whole sentence are removed, as a csv reader would.
"""

from slt_fast.data.datasets.converters.conversion import SPLITS, Conversion

_TIMES = ("START_REALIGNED", "END_REALIGNED")
_COLUMNS = ("VIDEO_NAME", "SENTENCE_NAME", *_TIMES, "SENTENCE")


def convert_how2sign(conversion: Conversion) -> None:
    """Adds the sentences of all splits; val becomes dev."""
    for split in ("train", "val", "test"):
        texts = conversion.root / "sentence_level" / split / "text" / "en" / "raw_text"
        videos = conversion.root / "video_level" / split / "rgb_front" / "raw_videos"
        path = texts / "re_aligned" / f"how2sign_realigned_{split}.csv"
        for error_at, row in conversion.table(path, "\t", _COLUMNS):
            with conversion.checking():
                video = videos / f"{row['VIDEO_NAME']}.mp4"
                times = conversion.times(error_at, video, row, _TIMES, "_seconds")
                columns = {"id": row["SENTENCE_NAME"], "text": _unquoted(row["SENTENCE"])}
                conversion.add(error_at, video, {**columns, "split": SPLITS[split], **times})


def _unquoted(text: str) -> str:
    inner = text[1:-1].replace('""', "")
    is_quoted = len(text) > 2 and text[0] == text[-1] == '"' and '"' not in inner
    return text[1:-1].replace('""', '"') if is_quoted else text
