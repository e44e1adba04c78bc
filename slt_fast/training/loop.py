"""The training run, top to bottom: data, model, epochs, dev scores, checkpoints, test scores."""

import logging
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from slt_fast.checkpoint import load_model
from slt_fast.data.skipped import SkippedClips
from slt_fast.device import keep_compiled_convolutions
from slt_fast.files import write_json
from slt_fast.recipe import Recipe
from slt_fast.training.best import choosing_score
from slt_fast.training.budget import within_budget
from slt_fast.training.checks import (
    check_flow_cache,
    check_recipe,
    check_resumable,
    check_splits,
)
from slt_fast.training.datasets import read_splits, warn_of_long_texts, warn_of_rare_words
from slt_fast.training.evaluation import Evaluation, evaluate
from slt_fast.training.lock import locked
from slt_fast.training.ranks import Ranks, joined_ranks
from slt_fast.training.resuming import prepare_output
from slt_fast.training.run import RunConfig
from slt_fast.training.starting import load_start
from slt_fast.training.stopping import noting_signals
from slt_fast.training.trainer import Trainer
from slt_fast.training.translations import save_translations

logger = logging.getLogger(__name__)


def train(recipe: Recipe, run: RunConfig) -> tuple[dict[str, Any], Evaluation]:
    """Trains a model, keeps the checkpoint that is best on dev, and scores it on test.

    Returns:
        What metrics.json holds (flat keys such as `test.bleu4`), and the scored test split.

    Raises:
        DataError: A bad clip without run.skip_bad, or a checkpoint that does not fit.
        UserError: A setting cannot be used here, or the gradient is not finite.
    """
    started = time.monotonic()
    keep_compiled_convolutions()
    with joined_ranks() as ranks:
        check_resumable(run)
        check_splits(run)
        if not ranks.is_first:  # of the same words, once is enough
            logging.getLogger("slt_fast").setLevel(logging.ERROR)
        with locked(run.output) if ranks.is_first else nullcontext():
            return _train(recipe, run, ranks, started)


def _train(
    recipe: Recipe, run: RunConfig, ranks: Ranks, started: float
) -> tuple[dict[str, Any], Evaluation]:
    start = load_start(run)
    check_recipe(recipe, run, start)
    check_flow_cache(recipe, run)
    skipped = SkippedClips() if run.skip_bad else None
    fps, (train_set, dev_set, test_set) = read_splits(recipe, run, on_error=skipped)
    run = replace(run, fps=fps)
    best_by = choosing_score(recipe.training.best_by, dev_set.clips)
    recipe = within_budget(recipe, run, train_set, ranks)
    trainer = Trainer(recipe, run, train_set, skipped, start=start, started=started, ranks=ranks)
    del start  # or its weights would stay in memory
    units = trainer.trained.vocabularies.units
    warn_of_long_texts(train_set.clips, recipe.search.max_text_length, units)
    warn_of_rare_words(train_set.clips, units)
    if run.resume:
        trainer.resume()
    if ranks.is_first:
        prepare_output(run)  # after every check, as it moves an earlier run aside
        if run.resume:
            trainer.log.keep_epochs(trainer.progress.epoch)
        if skipped:
            skipped.open(run.output / "skipped.txt", append=run.resume)
    ranks.wait()
    settings = recipe.training
    with noting_signals() as trainer.stop:
        while not trainer.progress.is_done(settings.epochs, settings.patience):
            losses = trainer.train_epoch()
            trainer.finish_epoch(losses, dev_set)
        if (epochs := trainer.progress.epoch) < settings.epochs:
            logger.info(
                "no better dev score in %d scorings: ended after epoch %d",
                settings.patience,
                epochs,
            )
        best = load_model(run.output / "best")
        best.network.to(trainer.device)
        best.network.compute_in_chunks(recipe.training.frames_per_chunk)
        search, stop = recipe.search, trainer.stop
        test = evaluate(best, test_set, search=search, on_error=skipped, ranks=ranks, stop=stop)
    metrics: dict[str, Any] = test.flat(run.test_split)
    metrics[f"{run.test_split}.seconds_total"] = trainer.seconds()
    metrics[f"best_dev_{best_by}"] = trainer.progress.best_score
    if ranks.is_first:
        write_json(run.output / "metrics.json", metrics)
        if run.save_translations:
            save_translations(run.save_translations, test)
    return metrics, test
