"""The experiments, most of them the paper's: a question each, and the variants that answer it."""

from dataclasses import dataclass
from typing import NamedTuple

PHOENIX, COL_SLTD = "PHOENIX-2014-T", "CoL-SLTD"


class Published(NamedTuple):
    """A published figure."""

    data: str
    bleu4: float  # in percent
    source: str = "arXiv 2502.02587"  # the paper


@dataclass(frozen=True)
class Variant:
    """One of the settings that are compared.

    Args:
        options: Options of scripts/train.py that make it.
        against: The variant that it is tested against; None for a baseline.
        published: Published figures.
        recipe: The recipe that it needs; None for the one that all variants share.
    """

    options: tuple[str, ...]
    against: str | None = None
    published: tuple[Published, ...] = ()
    recipe: str | None = None


@dataclass(frozen=True)
class Experiment:
    """What is asked, and the variants by name.

    Args:
        question: What is asked.
        variants: The variants by name.
        data: Name of the data by default; None if it must be given.
        looks: Whether the report says how far the 2-D attention looks.
    """

    question: str
    variants: dict[str, Variant]
    data: str | None = "synthetic"
    looks: bool = False


_FLOW, _RGB = ("--input", "flow"), ("--input", "rgb")
# Neither network has weights of other data, which 2-D and 3-D ones could not share; and both learn
# from all frames, as the 3-D one needs whole clips.
_2D, _3D = (
    ("--backbone", backbone, "--backbone-weights", "none", "--gradient-dropout", "0")
    for backbone in ("resnet18", "r3d_18")
)
# Decoder and search of the recipe gloss-to-text, for the recipe quickstart.
_DECODER = (
    *("--decoder-layers", "3", "--decoder-heads", "8", "--decoder-feed-forward", "1024"),
    *("--dropout", "0.3", "--max-text-length", "60", "--beam-size", "10", "--length-penalty", "2"),
)
_GLOSS_TO_TEXT = Published(PHOENIX, 24.54, "Camgoz et al., 2020")
# A flattened map shows the projection where everything is; one that is pooled to a vector does not.
_POOLED = ("--memory-map-size", "1", "1")
_ATTENTION = ("--attention", "--gamma-start", "0.5")

EXPERIMENTS = {
    "rgb-baseline": Experiment(
        "What does the network score on RGB frames, the paper's first baseline?",
        {"rgb": Variant(_RGB, published=(Published(COL_SLTD, 31), Published(PHOENIX, 22.77)))},
    ),
    "rgb-vs-flow": Experiment(
        "Is optical flow a better input than RGB frames?",
        {
            "rgb": Variant(_RGB, published=(Published(PHOENIX, 22.77),)),
            "flow": Variant(_FLOW, "rgb", (Published(PHOENIX, 30.77),)),
        },
    ),
    # The paper says "0.51" and "0.44" without the data set; elsewhere it has 0.5137 for CoL-SLTD.
    "positional-encoding": Experiment(
        "What is the 2-D positional encoding worth?",
        {
            "with": Variant(("--positional-encoding",), published=(Published(COL_SLTD, 51),)),
            "without": Variant(("--no-positional-encoding",), "with", (Published(COL_SLTD, 44),)),
        },
    ),
    "heads": Experiment(
        "How many heads should the 2-D attention have?",
        {
            "1-head": Variant(("--attention-heads", "1")),
            "2-heads": Variant(("--attention-heads", "2"), "1-head"),
            "4-heads": Variant(("--attention-heads", "4"), "1-head"),
        },
    ),
    "feed-forward": Experiment(
        "Are depthwise separable convolutions enough in the feed-forward?",
        {
            "standard": Variant(("--feed-forward", "standard")),
            "depthwise": Variant(("--feed-forward", "depthwise"), "standard"),
        },
    ),
    "attention": Experiment(
        "What makes the attention and the positional encoding matter?",
        {
            "flat": Variant(("--no-attention",)),
            "flat-attention-from-0": Variant(("--attention", "--gamma-start", "0"), "flat"),
            "flat-attention": Variant(_ATTENTION, "flat"),
            "pooled": Variant((*_POOLED, "--no-attention"), "flat"),
            "pooled-attention": Variant((*_POOLED, *_ATTENTION), "pooled"),
            "pooled-attention-without-encoding": Variant(
                (*_POOLED, *_ATTENTION, "--no-positional-encoding"), "pooled-attention"
            ),
        },
        looks=True,
    ),
    "backbone-3d": Experiment(
        "Does a backbone that convolves over time gain, on flow and on RGB frames?",
        {
            "resnet18-flow": Variant((*_2D, *_FLOW)),
            "r3d_18-flow": Variant((*_3D, *_FLOW), "resnet18-flow"),
            "resnet18-rgb": Variant((*_2D, *_RGB), "resnet18-flow"),
            "r3d_18-rgb": Variant((*_3D, *_RGB), "resnet18-rgb"),
        },
    ),
    # Both read the same sentences; one is given their glosses, the other a video of a drawn signer.
    "phoenix-rendered": Experiment(
        "What does a video of the glosses cost, beside the glosses themselves?",
        {
            "gloss": Variant((), published=(_GLOSS_TO_TEXT,), recipe="gloss-to-text"),
            "video": Variant(_DECODER, "gloss", recipe="quickstart"),
        },
        data=None,
    ),
}
