"""What is shown of a model while it trains: translations, and where it looks in a clip."""

import numpy as np

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.batching import BatchMaker, batches
from slt_fast.data.loading import ClipDataset
from slt_fast.errors import printable
from slt_fast.inference.attention import attention_of
from slt_fast.training.evaluation import Evaluation
from slt_fast.visualize import attention_sheet

_SHOWN = 5


def translations_to_show(evaluation: Evaluation) -> str:
    """Returns the first translations below what was said, as lines of Markdown code."""
    pairs = list(zip(evaluation.clips, evaluation.translations, strict=True))[:_SHOWN]
    texts = [f"reference:  {clip.text}\ntranslated: {said.text}" for clip, said in pairs]
    return "\n\n".join(
        "\n".join(f"    {printable(line)}" for line in text.split("\n")) for text in texts
    )


def picture_of_attention(
    trained: TrainedModel, dataset: ClipDataset, evaluation: Evaluation
) -> np.ndarray | None:
    """Draws where a model looks in the first clip of a split while it says its translation.

    Args:
        trained: The model, which is left in the mode it was in.
        dataset: The split.
        evaluation: Its scores.

    Returns:
        uint8 [*, *, 3] RGB, or None if the clip cannot be read any more, or the model sees no
        images or has no 2-D attention.
    """
    if not (trained.recipe.input.has_images and trained.recipe.model.attention):
        return None
    clip, said = evaluation.clips[0], evaluation.translations[0].text
    words = trained.vocabularies
    maker = BatchMaker(words, trained.recipe.input)
    index = next(i for i, other in enumerate(dataset.clips) if other is clip)
    batch = next(batches(dataset, maker, [[index]]))
    if not batch.clips:
        return None
    network, was_training = trained.network, trained.network.training
    network.eval()
    attention = attention_of(trained, batch, words.encode_text(said))
    network.train(was_training)
    pictures = (batch.images.float().cpu().movedim(1, -1) * 255).round().byte().numpy()
    return attention_sheet(pictures, attention, words.units.split(said))
