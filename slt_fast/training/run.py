"""What a run reads and where it writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from slt_fast.data.frame_source import FrameRate
from slt_fast.settings import Bounds, check_settings, parse_bytes


@dataclass(frozen=True)
class RunConfig:
    """What a run reads and where it writes."""

    data: str = "synthetic"
    """synthetic[-agreement][:SEED], phoenix14t[-rendered]:PATH or manifest:FILE."""
    output: Path = Path("runs/run")
    """Folder for checkpoints, logs and scores."""
    resume: bool = False
    """Resume from the last checkpoint in the output folder."""
    skip_bad: bool = False
    """Leave out and list clips that cannot be read, instead of stopping at the first."""
    train_split: str = "train"
    """Split to learn from."""
    dev_split: str = "dev"
    """Split that chooses the best checkpoint."""
    test_split: str = "test"
    """Split that is scored at the end."""
    fps: FrameRate | None = None
    """Frames per second that clips are resampled to; native keeps their own. By default the flow
    cache's, or else the median of the training clips'."""
    flow_cache: Path | None = None
    """Folder made by slt-extract-flow; flow is read from it instead of computed."""
    save_translations: Path | None = None
    """File for the translations of the test split, .csv or .jsonl."""
    init_from: Path | None = None
    """Checkpoint or run whose weights to start from, as far as they fit; its words may differ."""
    memory_budget: str | None = None
    """Memory of a process's GPU, or of the process on a CPU, such as 12GB, 1500MB or 12GiB: chooses
    frames_per_chunk and frames_at_once by it, as far as they are 0."""
    train_clips: Annotated[int, Bounds(ge=1)] | None = None
    """Clips of the training split to learn from, chosen by their names: the same for each
    seed, and among those of a larger number. By default all."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.memory_budget is not None:
            parse_bytes("memory_budget", self.memory_budget)
