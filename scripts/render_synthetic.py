"""Renders gloss sentences of an annotation file, or one clip of the built-in corpus, as frames.

python scripts/render_synthetic.py --annotations PHOENIX-2014-T.dev.corpus.csv --output DIR
python scripts/render_synthetic.py --clip test-00000 --output DIR
python scripts/render_synthetic.py --clip test-00000 --sentences 4 --output DIR
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from slt_fast.command_line import parse, run
from slt_fast.data.datasets.subtitle_text import HEADERS, cue_blocks
from slt_fast.data.synthetic import read_synthetic
from slt_fast.data.synthetic.corpus import FRAME_RATE
from slt_fast.data.synthetic.phoenix_layout import render_annotations, write_frames
from slt_fast.data.synthetic.talk import Talk
from slt_fast.errors import UserError
from slt_fast.files import replacing
from slt_fast.settings import Bounds, check_settings
from slt_fast.visualize import write_video


@dataclass(frozen=True)
class Arguments:
    """Renders annotated gloss sentences, or one clip of the built-in corpus, as frames."""

    output: Path
    """Root of the data set to write, or parent of the clip's folder."""
    annotations: Path | None = None
    """Annotation file PHOENIX-2014-T.SPLIT.corpus.csv; the name contains the split."""
    clip: str | None = None
    """Instead of annotations: SPLIT-NUMBER of a clip of the built-in corpus."""
    agreement: bool = False
    """Whether the clip is one of synthetic-agreement."""
    sentences: Annotated[int, Bounds(ge=1)] | None = None
    """Instead of a folder of frames, write a video of the clip and the signer's next ones, with
    rests between them, and the true sentences with their times beside it (.true.vtt)."""
    limit: int | None = None
    """Number of sentences to render; by default all."""
    width: int = 210
    """Width of the annotated sentences' frames in pixels."""
    height: int = 260
    """Height of the annotated sentences' frames in pixels."""
    seed: Annotated[int, Bounds(ge=0)] = 0
    """Seed of signers and rendering, or of the built-in corpus."""

    def __post_init__(self) -> None:
        check_settings(self)
        if (self.annotations is None) == (self.clip is None):
            found = f"annotations {self.annotations} and clip {self.clip}"
            raise UserError(f"render_synthetic: found {found}; expected one of the two")
        if self.agreement and self.annotations:
            expected = "expected --clip, as it names another built-in corpus"
            raise UserError(f"agreement: found annotations {self.annotations}; {expected}")
        if self.sentences and self.annotations:
            found = f"found annotations {self.annotations}"
            raise UserError(f"sentences: {found}; expected --clip, the first sentence")


def render_sentences(arguments: Arguments) -> None:
    """Renders annotated sentences in the official layout."""
    size = (arguments.height, arguments.width)
    options = {"limit": arguments.limit, "seed": arguments.seed}
    rendering = render_annotations(arguments.annotations, arguments.output, size=size, **options)
    written = sum(tqdm(rendering, unit="clip", total=arguments.limit))
    print(f"wrote {written} frames; train on them with --data phoenix14t:{arguments.output}")


def render_clip(arguments: Arguments) -> None:
    """Renders one clip of the built-in corpus as a folder of frames."""
    split, agreement = arguments.clip.rpartition("-")[0], arguments.agreement
    clips = read_synthetic(split, seed=arguments.seed, agreement=agreement)
    for clip in clips:
        if clip.id == arguments.clip:
            write_frames(arguments.output / clip.id, clip.source.read())
            print(f"wrote {arguments.output / clip.id}: {clip.text}")
            return
    expected = f"{clips[0].id} to {clips[-1].id}"
    raise UserError(f"clip: found {arguments.clip!r}; expected {expected}")


def render_talk(arguments: Arguments) -> None:
    """Renders a video of several sentences, and their times."""
    options = {"seed": arguments.seed, "agreement": arguments.agreement}
    talk = Talk(arguments.clip, arguments.sentences, **options)
    video = arguments.output / f"{arguments.clip}.mp4"
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_video(video, list(talk.frames()), fps=FRAME_RATE)
    cues = [(start, end, clip.text) for start, end, clip in talk.sentences()]
    true = video.with_suffix(".true.vtt")  # not what slt-translate would write beside it
    with replacing(true) as temporary:
        text = HEADERS["vtt"] + "".join(cue_blocks(cues, "vtt"))
        temporary.write_text(text, encoding="utf-8")
    print(f"wrote {video} and {true}: {len(cues)} sentences")


def main() -> None:
    arguments = parse(Arguments, __doc__)
    if arguments.annotations:
        render_sentences(arguments)
    elif arguments.sentences:
        render_talk(arguments)
    else:
        render_clip(arguments)


if __name__ == "__main__":
    run(main)
