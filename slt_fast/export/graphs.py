"""Encoder and decoder as graphs of plain operators, by torch.export."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from slt_fast.checkpoint import TrainedModel, build_network, without_weights
from slt_fast.errors import UserError
from slt_fast.model.cached_decoder import CachedDecoder, Seen
from slt_fast.model.decoder import Decoder
from slt_fast.model.encoder import Encoder
from slt_fast.model.network import TranslationNetwork

# Sizes to trace with: all differ, so that none is taken for another.
_T, _K, _S, _N = 5, 3, 4, 7


@dataclass(frozen=True)
class Graph:
    """A graph with the names of what goes in and out.

    Args:
        program: The graph.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        dynamic: Names of the sizes that may change, by input and dimension.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, str]]


class ClipEncoder(nn.Module):
    """Encodes a single clip.

    Args:
        encoder: The encoder, in evaluation mode.
        recognises_glosses: Whether its gloss head was trained.
    """

    def __init__(self, encoder: Encoder, *, recognises_glosses: bool) -> None:
        super().__init__()
        self.encoder, self.recognises_glosses = encoder, recognises_glosses

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Returns memory [1, N, D], and gloss logits [T, G] if it knows any, of [T, 3, H, W]."""
        encoded = self.encoder.encode_clip(images)
        if not self.recognises_glosses:
            return (encoded.memory,)
        return encoded.memory, encoded.gloss_logits[0]


class DecoderStep(nn.Module):
    """Continues the K sequences of a clip by a token.

    Args:
        decoder: The decoder, in evaluation mode.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, tokens: torch.Tensor, rows: torch.Tensor, memory: torch.Tensor, past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the logits [K, V] of the token after each sequence, and the next past.

        Args:
            tokens: int64 [K, S]; all but the last column were given before.
            rows: int64 [K], which sequence of the call before each continues.
            memory: [1, N, D].
            past: [layers, 2, K, heads, S - 1, D / heads], keys and values of the call before.
        """
        padding = torch.zeros(1, memory.shape[1], dtype=torch.bool, device=memory.device)
        cached = CachedDecoder(self.decoder, memory, padding, tokens.shape[0])
        cached.past = [Seen(*layer) for layer in past]
        logits = cached(tokens, rows)
        return logits, torch.stack([torch.stack(seen) for seen in cached.past])


def export_graphs(trained: TrainedModel) -> dict[str, Graph]:
    """Returns the graphs "encoder" and "decoder" of a model, in float32 and on the CPU.

    Raises:
        UserError: The model takes glosses.
    """
    if not trained.recipe.input.has_images:
        raise UserError("export: found a model that takes glosses; expected one that sees video")
    network = plain_network(trained)
    return {
        "encoder": _encoder_graph(network.image_encoder, trained),
        "decoder": _decoder_graph(network.decoder, trained),
    }


def plain_network(trained: TrainedModel) -> TranslationNetwork:
    """Returns a copy of a model's network that computes its operators by the plain formula."""
    recipe = without_weights(trained.recipe)
    recipe = replace(recipe, model=replace(recipe.model, backend="reference"))
    network = build_network(recipe, trained.vocabularies)
    network.load_state_dict(trained.network.state_dict())
    return network.eval().requires_grad_(False)


def empty_past(trained: TrainedModel, K: int = 1, S: int = 0) -> torch.Tensor:
    """Returns a past of S tokens, all zeros: [layers, 2, K, heads, S, D / heads]."""
    model = trained.recipe.model
    heads = model.decoder_heads
    return torch.zeros(model.decoder_layers, 2, K, heads, S, model.width // heads)


def _encoder_graph(encoder: Encoder, trained: TrainedModel) -> Graph:
    size, outputs = trained.recipe.input.image_size, ("memory", "gloss_logits")
    recognises = trained.recognises_glosses
    module = ClipEncoder(encoder, recognises_glosses=recognises)
    images = torch.rand(_T, 3, size, size)
    dynamic = {"images": {0: "frames"}}
    return _graph(module, {"images": images}, dynamic, outputs if recognises else outputs[:1])


def _decoder_graph(decoder: Decoder, trained: TrainedModel) -> Graph:
    inputs = {
        "tokens": torch.ones(_K, _S, dtype=torch.long),
        "rows": torch.arange(_K),
        "memory": torch.rand(1, _N, trained.recipe.model.width),
        "past": empty_past(trained, _K, _S - 1),
    }
    dynamic = {
        "tokens": {0: "sequences", 1: "tokens"},
        "rows": {0: "sequences"},
        "memory": {1: "vectors"},
        "past": {2: "sequences", 4: "past_tokens"},
    }
    return _graph(DecoderStep(decoder), inputs, dynamic, ("logits", "next_past"))


def _graph(
    module: nn.Module,
    inputs: dict[str, torch.Tensor],
    dynamic: dict[str, dict[int, str]],
    outputs: tuple[str, ...],
) -> Graph:
    sizes = {name: Dim(name) for dims in dynamic.values() for name in dims.values()}
    shapes = {
        name: {place: sizes[size] for place, size in dims.items()} for name, dims in dynamic.items()
    }
    program = torch.export.export(
        module.eval(), (), kwargs=inputs, dynamic_shapes=shapes, strict=False
    )
    return Graph(program, tuple(inputs), outputs, dynamic)
