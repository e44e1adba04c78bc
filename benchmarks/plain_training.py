"""The same training as a plain PyTorch program would do it: the peer of the training's benchmarks.

Eager, NCHW, the plain formula of the operators, AdamW as torch chooses it, a loss that is read in
every step, and for the images OpenCV's reader, its DIS flow and its resizing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from slt_fast.checkpoint import build_network
from slt_fast.data.batching import Batch, Vocabularies
from slt_fast.device import autocast
from slt_fast.model.backbone import Backbone
from slt_fast.recipe import Recipe
from slt_fast.training.losses import counts_of, translation_loss


class PlainTraining:
    """The network of a recipe with its optimiser, in training on one device.

    Args:
        recipe: The recipe; its precision is that of the steps.
        vocabularies: Words and glosses.
        device: Device.
    """

    def __init__(self, recipe: Recipe, vocabularies: Vocabularies, device: torch.device) -> None:
        torch.manual_seed(recipe.training.seed)
        model = replace(recipe.model, backend="reference")
        self.network = build_network(replace(recipe, model=model), vocabularies).to(device).train()
        backbone = self.network.encoder.backbone
        backbone.forward = functools.partial(_nchw_maps, backbone)  # type: ignore[method-assign]
        settings = self.settings = recipe.training
        self.vocabularies, self.device = vocabularies, device
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Takes a step; returns the losses per token and per gloss."""
        settings, device, text = self.settings, self.device, batch.text.to(self.device)
        self.optimizer.zero_grad()
        with autocast(device, settings.precision):
            output = self.network(batch.images.to(device), batch.lengths, text)
        total, losses = translation_loss(
            output,
            batch.glosses,
            batch.gloss_lengths,
            text,
            counts_of(batch.clips, self.vocabularies),
            label_smoothing=settings.label_smoothing,
        )
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.gradient_clip)
        self.optimizer.step()
        return {name: loss.item() for name, loss in losses.items()}


def _nchw_maps(backbone: Backbone, images: torch.Tensor) -> torch.Tensor:
    return backbone.stages(backbone.stem((images - backbone.mean) / backbone.std))


def plain_images(
    paths: Sequence[Path], *, size: int, bound: float, finest_scale: int = 1
) -> torch.Tensor:
    """Reads frames and makes flow images as the encoder "uvm" does, float32 [T, 3, size, size].

    Args:
        paths: T picture files; the first image shows zero flow.
        size: Height and width of the images.
        bound: Motion that saturates the colours, in pixels of the images.
        finest_scale: Scale at which the flow ends; 1 is OpenCV's choice, 0 is the frames' own.
    """
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(finest_scale)
    frames = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    flows = [dis.calc(*pair, None) for pair in pairwise(frames)]
    motions = [np.zeros_like(flows[0]), *flows]
    return torch.from_numpy(np.stack([_uvm(_resized(flow, size) / bound) for flow in motions]))


def _resized(flow: np.ndarray, size: int) -> np.ndarray:
    """Resizes flow [H, W, 2] in pixels, and its motion with it."""
    H, W = flow.shape[:2]
    resized = cv2.resize(flow, (size, size), interpolation=cv2.INTER_LINEAR)
    return resized * np.float32([size / W, size / H])


def _uvm(motion: np.ndarray) -> np.ndarray:
    """Encodes motion [H, W, 2] in units of the bound as float32 [3, H, W] in [0, 1]."""
    u, v = motion.transpose(2, 0, 1).clip(-1, 1) / 2 + 0.5
    return np.stack([u, v, np.hypot(*motion.transpose(2, 0, 1)).clip(0, 1)])
