"""Converts the training data of WMT-SLT 22: broadcasts with their subtitles.

    srf/parallel/videos/srf.<date>.mp4         srf/parallel/subtitles/srf.<date>.srt
    focusnews/videos/focusnews.<number>.mp4    focusnews/subtitles/focusnews.<number>.srt

One of the two parts is enough. Each broadcast is one row, whose subtitles make a clip a cue. There
is no official division of these data, so there is no column `split`: the reader takes all for
training. Subtitles follow the speech; how far the signing lags behind is not in the data.
"""

from functools import partial

from slt_fast.data.datasets.converters.conversion import Conversion
from slt_fast.errors import DataError

_PARTS = ("srf/parallel", "focusnews")


def convert_wmt_slt(conversion: Conversion) -> None:
    """Adds the broadcasts of the parts that are there."""
    parts = [conversion.root / part for part in _PARTS]
    for part in [part for part in parts if part.is_dir()] or parts[:1]:
        subtitles = sorted((part / "subtitles").glob("*.srt"))
        with conversion.checking():
            if not subtitles:
                raise DataError(part / "subtitles", "no .srt files", "one for each video")
        for path in subtitles:
            with conversion.checking():
                place = conversion.relative(path)
                video = part / "videos" / f"{path.stem}.mp4"
                conversion.add(
                    partial(DataError, path), video, {"id": path.stem, "subtitles": place}
                )
        stems = {path.stem for path in subtitles}
        for video in sorted((part / "videos").glob("*.mp4")):
            if video.stem not in stems:
                expected = f"{video.stem}.srt in {part / 'subtitles'}; it is left out"
                conversion.remarks.append(DataError(video, "no subtitles", expected))
