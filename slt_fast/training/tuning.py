"""Finds the settings of the search that suit a model, on its dev split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from slt_fast.checkpoint import TrainedModel
from slt_fast.data.loading import ClipDataset
from slt_fast.errors import ErrorHandler, UserError, handle
from slt_fast.inference.search import Found, ranked
from slt_fast.inference.translate import encode_batch, evaluating, search_texts
from slt_fast.metrics import deciding_score, quick_score
from slt_fast.progress_bar import ProgressBar
from slt_fast.training.evaluation import batches_to_score

BEAM_SIZES = range(1, 11)
LENGTH_PENALTIES = tuple(half / 2 for half in range(-2, 11))  # -1 to 5


class Tried(NamedTuple):
    """Settings of the search and the score that they gave."""

    beam_size: int
    length_penalty: float
    score: float

    def options(self) -> str:
        """Returns the options of the commands that search by these settings."""
        return f"--beam-size {self.beam_size} --length-penalty {self.length_penalty:g}"


def tune_search(
    trained: TrainedModel, dataset: ClipDataset, *, on_error: ErrorHandler | None = None
) -> tuple[str, list[Tried]]:
    """Scores each number of beams with each length penalty; each clip is encoded once.

    A length penalty only ranks what a search found, so there is one search for each beam.

    Args:
        trained: The model in evaluation mode, on the device that computes.
        dataset: The clips, which are not those that are scored in the end.
        on_error: Called with each clip that cannot be read, which is left out; None raises it.

    Returns:
        The name of the score, and all settings, the best first; of equals the fewest beams and the
        penalty that is nearest to 1.

    Raises:
        DataError: A clip cannot be read and on_error is None.
        UserError: No clip can be read, or a batch needs more memory than there is.
    """
    texts, found = _search_all(trained, dataset, on_error)
    if not texts:
        raise UserError("tuning: found no readable clip; expected a split with at least one")
    name, words = deciding_score(texts), trained.vocabularies
    tried = []
    for beam_size, clips in found.items():
        for alpha in LENGTH_PENALTIES:
            said = [words.decode_text(ranked(sequences, alpha)[0].tokens) for sequences in clips]
            tried.append(Tried(beam_size, alpha, quick_score(name, said, texts)))
    return name, sorted(tried, key=lambda one: (-one.score, one[0], abs(one[1] - 1)))


def tuning_table(tried: Sequence[Tried]) -> str:
    """Returns lines of scores, a row for each length penalty; the best, the first, has a star.

    They are plain text, so that a file has them as a terminal does: 75 columns for 10 beams.
    """
    best, scores = tried[0], {one[:2]: one.score for one in tried}
    beams = sorted({one.beam_size for one in tried})
    lines = [" " * 5 + "".join(f"{number:>6} " for number in beams)]
    for penalty in sorted({one.length_penalty for one in tried}):
        cells = [
            f"{scores[number, penalty]:6.2f}" + " *"[(number, penalty) == best[:2]]
            for number in beams
        ]
        lines.append(f"{penalty:>5g}" + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def _search_all(
    trained: TrainedModel, dataset: ClipDataset, on_error: ErrorHandler | None
) -> tuple[list[str], dict[int, list[list[Found]]]]:
    """Returns the clips' own texts, and by beams what the search found for each clip."""
    texts: list[str] = []
    found: dict[int, list[list[Found]]] = {number: [] for number in BEAM_SIZES}
    with ProgressBar(total=len(dataset), desc="tuning", unit="clip") as bar:
        for batch in batches_to_score(trained, dataset, range(len(dataset))):
            for error in batch.errors:
                handle(error, on_error)
            bar.update(len(batch.is_good))
            if not batch.clips:
                continue
            texts += [clip.text for clip in batch.clips]
            encoded = encode_batch(trained, batch)
            for number in BEAM_SIZES:
                search = replace(trained.recipe.search, beam_size=number)
                with evaluating(trained, batch):
                    found[number] += search_texts(trained.network, encoded, search)
    return texts, found
