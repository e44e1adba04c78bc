"""Starts a network from the weights of a checkpoint, whose words may be others."""

from dataclasses import dataclass
from pathlib import Path

from slt_fast.checkpoint import TrainedModel, load_model
from slt_fast.data.batching import Vocabularies
from slt_fast.data.vocabulary import Vocabulary
from slt_fast.errors import DataError
from slt_fast.model.network import TranslationNetwork
from slt_fast.training.resuming import has_checkpoint_to_resume
from slt_fast.training.run import RunConfig

# Tensors with a row for each entry of a vocabulary.
_TEXT_ROWS = ("decoder.embedding.weight", "decoder.output.weight", "decoder.output.bias")
_GLOSS_ROWS = (
    *("encoder.gloss_head.weight", "encoder.gloss_head.bias"),
    "encoder.embedding.weight",
)


@dataclass(frozen=True)
class Start:
    """A model whose weights a run starts from, and the folder of its checkpoint."""

    checkpoint: Path
    model: TrainedModel


def load_start(run: RunConfig) -> Start | None:
    """Loads the model that a run starts from; None if it starts fresh, or resumes.

    Raises:
        DataError: The checkpoint is missing or broken.
    """
    if run.init_from is None or has_checkpoint_to_resume(run):
        return None
    return Start(run.init_from, load_model(run.init_from))


def start_from(network: TranslationNetwork, words: Vocabularies, start: Start) -> str:
    """Takes the weights of a checkpoint that fit, in place; returns what was taken, for the log.

    Words and glosses are known by their spelling; new ones keep their start values.

    Args:
        network: The network to start.
        words: Its vocabularies.
        start: The model to take from.

    Raises:
        DataError: No tensor fits.
    """
    checkpoint, found = start.checkpoint, start.model
    ours, theirs = network.state_dict(), found.network.state_dict()
    texts = _shared(words.text, found.vocabularies.text)
    glosses = _shared(words.gloss, found.vocabularies.gloss)
    rows = dict.fromkeys(_TEXT_ROWS, texts) | dict.fromkeys(_GLOSS_ROWS, glosses)
    taken = 0
    for name, tensor in ours.items():
        if name not in theirs:
            continue
        if name in rows and tensor.shape[1:] == theirs[name].shape[1:]:
            tensor[rows[name][0]] = theirs[name][rows[name][1]].to(tensor)
        elif name not in rows and tensor.shape == theirs[name].shape:
            tensor.copy_(theirs[name])
        else:
            continue
        taken += 1
    if not taken:
        raise DataError(checkpoint, "no tensor that fits", "a model of settings like these")
    known = f"{len(texts[0])} of {len(words.text)} words"
    signs = f"{len(glosses[0])} of {len(words.gloss)} glosses"
    return f"{checkpoint}: took {taken} of {len(ours)} tensors, with {known} and {signs}"


def _shared(ours: Vocabulary, theirs: Vocabulary) -> tuple[list[int], list[int]]:
    """Returns the numbers of the tokens that both know, in ours and in theirs."""
    numbers = {token: number for number, token in enumerate(theirs.tokens)}
    shared = [number for number, token in enumerate(ours.tokens) if token in numbers]
    return shared, [numbers[ours.tokens[number]] for number in shared]
