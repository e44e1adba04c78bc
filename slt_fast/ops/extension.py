"""Loads the compiled extension slt_fast._C, whose ops then stand in torch.ops.slt_fast."""

from __future__ import annotations

from pathlib import Path

import torch

# None where the package runs from sources that were not built.
EXTENSION: Path | None = next(Path(__file__).parents[1].glob("_C*.so"), None)

if EXTENSION is not None:
    torch.ops.load_library(EXTENSION)

    @torch.library.register_fake("slt_fast::rgb_to_grey")
    def _rgb_to_grey_fake(frames: torch.Tensor) -> torch.Tensor:
        return frames.new_empty(frames.shape[:3])

    @torch.library.register_fake("slt_fast::disvr")
    @torch.library.register_fake("slt_fast::opencv_dis")
    def _flow_fake(frames: torch.Tensor, *settings: int) -> torch.Tensor:
        T, H, W = frames.shape
        return frames.new_empty((T - 1, 2, H, W), dtype=torch.float32)
