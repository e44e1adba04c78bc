"""A step does not wait for its device: torch's meta device stands for a GPU that is behind.

torch's CTC waits for a GPU, and has no kernel for this device; here it is a plain sum.
"""

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from slt_fast.data.batching import BatchMaker, Vocabularies, batches
from slt_fast.data.loading import ClipDataset
from slt_fast.data.sources import read_split
from slt_fast.model.batch_norm import set_training
from slt_fast.model.network import TranslationNetwork
from slt_fast.training.losses import counts_of, translation_loss

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Collects the copies from the CPU to the other device for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None) -> Any:
        result, options = function(*arguments, **(options or {})), options or {}
        if isinstance(result, torch.Tensor) and result.device == META:
            given = [value for value in arguments if isinstance(value, torch.Tensor)]
            # Scalars of the CPU travel with a kernel's arguments.
            copies = any(value.device != META and value.ndim for value in given)
            if copies and not options.get("non_blocking"):
                self.waiting.append(str(function))
        return result


@pytest.mark.parametrize("memory", ["frame", "pixel"])
@pytest.mark.parametrize("gradient_dropout", [0.0, 0.5])
@pytest.mark.parametrize("frames_per_chunk", [0, 8])
def test_no_copy_is_waited_for(
    tiny_recipe, manifest, monkeypatch, memory: str, frames_per_chunk: int, gradient_dropout: float
) -> None:
    clips = read_split(f"manifest:{manifest}", "train")
    words = Vocabularies.build(clips)
    batch = next(batches(ClipDataset(clips), BatchMaker(words, tiny_recipe.input), [range(3)]))
    monkeypatch.setattr(functional, "ctc_loss", lambda logits, *_, **__: logits.sum())
    with META:
        sizes = {"num_glosses": len(words.gloss), "num_words": len(words.text)}
        model = tiny_recipe.model.__class__(**vars(tiny_recipe.model) | {"memory": memory})
        network = TranslationNetwork(model, **sizes)
    network.encoder.frames_per_chunk = frames_per_chunk
    network.encoder.gradient_dropout = gradient_dropout
    set_training(network, "batch")
    images, text = (each.to(META) for each in (batch.images, batch.text))
    network(images, batch.lengths, text)  # keeps the table of the encoding from now on
    with Copies() as copies:
        output = network(images, batch.lengths, text)
        total, _ = translation_loss(
            output, batch.glosses, batch.gloss_lengths, text, counts_of(batch.clips, words)
        )
        total.backward()
    assert copies.waiting == []
    with Copies() as copies:
        batch.text.to(META)
    assert copies.waiting  # it would have been seen
