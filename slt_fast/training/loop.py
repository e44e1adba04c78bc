"""The training run, top to bottom: data, model, epochs, dev scores, checkpoints, test scores."""

import logging
import math
import time
from dataclasses import asdict, replace
from typing import Any

import torch
from tqdm import tqdm

from slt_fast.checkpoint import (
    TrainedModel,
    build_network,
    checkpoint_folder,
    load_model,
    load_tensors,
    save_checkpoint,
    without_weights,
)
from slt_fast.data.batching import Batch, BatchMaker, Vocabularies, batches, too_many_frames
from slt_fast.data.input import flow_device
from slt_fast.data.loader_processes import naming_killed_loaders
from slt_fast.data.loading import ClipDataset
from slt_fast.data.skipped import SkippedClips
from slt_fast.device import autocast, choose_device, keep_compiled_convolutions
from slt_fast.errors import DataError, ErrorHandler, UserError, handle, is_out_of_memory
from slt_fast.files import write_json
from slt_fast.metrics import deciding_score
from slt_fast.recipe import Recipe
from slt_fast.training.checks import (
    check_flow_cache,
    check_one_process,
    check_recipe,
    check_resumable,
    check_splits,
)
from slt_fast.training.datasets import (
    read_splits,
    trained_on,
    warn_of_long_texts,
    warn_of_rare_words,
)
from slt_fast.training.evaluation import Evaluation, evaluate
from slt_fast.training.lock import locked
from slt_fast.training.log import RunLog
from slt_fast.training.losses import translation_loss
from slt_fast.training.progress import Progress, read_progress
from slt_fast.training.resuming import (
    check_same_run,
    has_checkpoint_to_resume,
    prepare_output,
)
from slt_fast.training.run import RunConfig
from slt_fast.training.schedule import learning_rate
from slt_fast.training.starting import Start, load_start, start_from
from slt_fast.training.state import pack_state, restore_state
from slt_fast.training.translations import save_translations

logger = logging.getLogger(__name__)


def train(recipe: Recipe, run: RunConfig) -> tuple[dict[str, Any], Evaluation]:
    """Trains a model, keeps the checkpoint that is best on dev, and scores it on test.

    Returns:
        What metrics.json holds (flat keys such as `test.bleu4`), and the scored test split.

    Raises:
        DataError: A bad clip without run.skip_bad, or a checkpoint that does not fit.
        UserError: A setting cannot be used here, several processes train, or the gradient is not
            finite.
    """
    started = time.monotonic()
    keep_compiled_convolutions()
    check_one_process()
    check_resumable(run)
    check_splits(run)
    with locked(run.output):
        return _train(recipe, run, started)


def _train(recipe: Recipe, run: RunConfig, started: float) -> tuple[dict[str, Any], Evaluation]:
    start = load_start(run)
    check_recipe(recipe, run, start)
    check_flow_cache(recipe, run)
    skipped = SkippedClips() if run.skip_bad else None
    fps, (train_set, dev_set, test_set) = read_splits(recipe, run, on_error=skipped)
    run = replace(run, fps=fps)
    units = recipe.text.text_units
    warn_of_long_texts(train_set.clips, recipe.search.max_text_length, units)
    warn_of_rare_words(train_set.clips, units)
    trainer = Trainer(recipe, run, train_set, skipped, start=start, started=started)
    del start  # or its weights would stay in memory
    if run.resume:
        trainer.resume()
    prepare_output(run)  # after every check, as it moves an earlier run aside
    if run.resume:
        trainer.log.keep_epochs(trainer.progress.epoch)
    if skipped:
        skipped.open(run.output / "skipped.txt", append=run.resume)
    while trainer.progress.epoch < recipe.training.epochs:
        losses = trainer.train_epoch()
        trainer.finish_epoch(losses, dev_set)
    best = load_model(run.output / "best")
    best.network.to(trainer.device)
    test = evaluate(best, test_set, search=recipe.search, on_error=skipped)
    metrics: dict[str, Any] = test.flat(run.test_split)
    metrics[f"{run.test_split}.seconds_total"] = trainer.seconds()
    decided = deciding_score([clip.text for clip in dev_set.clips])
    metrics[f"best_dev_{decided}"] = trainer.progress.best_score
    write_json(run.output / "metrics.json", metrics)
    if run.save_translations:
        save_translations(run.save_translations, test)
    return metrics, test


class Trainer:
    """A model with its optimiser and its progress."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunConfig,
        train_set: ClipDataset,
        on_error: ErrorHandler | None,
        *,
        start: Start | None = None,
        started: float | None = None,  # time.monotonic(); None means now
    ) -> None:
        settings = recipe.training
        torch.manual_seed(settings.seed)
        self.recipe, self.run, self.train_set, self.on_error = recipe, run, train_set, on_error
        self.device = choose_device(settings.device)
        vocabularies = Vocabularies.build(train_set.clips, recipe.text.text_units)
        maker_device = flow_device(recipe.input, self.device)
        self.maker = BatchMaker(
            vocabularies, recipe.input, recipe.augmentation, settings.seed, maker_device
        )
        fresh = without_weights(recipe) if has_checkpoint_to_resume(run) else recipe
        network = build_network(fresh, vocabularies)
        network.to(self.device).to(memory_format=torch.channels_last)
        data = trained_on(run, train_set.clips)
        self.trained = TrainedModel(network, recipe, vocabularies, data)
        if start:
            logger.info(start_from(network, vocabularies, start))
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.progress = Progress()
        self.log = RunLog(run.output)
        self.started = time.monotonic() if started is None else started
        self.batches_per_epoch = math.ceil(len(train_set) / settings.batch_size)

    def seconds(self) -> float:
        """Returns the seconds of this run so far, including those before a resumption."""
        now = time.monotonic()
        self.progress.seconds += now - self.started
        self.started = now
        return self.progress.seconds

    @naming_killed_loaders()
    def train_epoch(self) -> dict[str, float]:
        """Trains the rest of the current epoch; returns the mean losses of the whole epoch."""
        progress, settings = self.progress, self.recipe.training
        loader = batches(
            self.train_set,
            self.maker,
            batch_size=settings.batch_size,
            num_workers=self.train_set.num_workers(settings.num_workers),
            shuffle_epoch=progress.epoch,
            skip=progress.batch,
        )
        saved = time.monotonic()
        self.trained.network.train()
        label = f"epoch {progress.epoch + 1}/{settings.epochs}"
        total = self.batches_per_epoch
        bar = tqdm(
            loader, label, total, unit="step", initial=progress.batch, leave=False, disable=None
        )
        for batch in bar:
            losses = self.train_step(batch)
            progress.batch += 1
            progress.add_losses(losses)
            bar.set_postfix({name: f"{value:.2f}" for name, value in losses.items()})
            if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
                self.save("last")
                saved = time.monotonic()
        return progress.mean_losses()

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Takes one optimisation step; returns its losses, none if no clip could be read."""
        for error in batch.errors:
            handle(error, self.on_error)
        if not batch.clips:
            return {}
        progress = self.progress
        num_steps = self.recipe.training.epochs * self.batches_per_epoch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe.training, progress.step, num_steps)
        names = ", ".join(clip.id for clip in batch.clips)
        try:
            losses = self._compute_gradient(batch)
            self.optimizer.step()
        except UserError as error:
            raise UserError(f"step {progress.step}, clips {names}: {error}") from error
        except Exception as error:
            if is_out_of_memory(error):
                reason = too_many_frames(batch.clips, len(batch.images), self.device)
                raise UserError(f"step {progress.step}, {reason}") from error
            logger.error("step %d failed with clips %s", progress.step, names)
            raise
        progress.step += 1
        values = {name: float(value) for name, value in losses.items()}
        self.log.step(values, progress.step)
        return values

    def _compute_gradient(self, batch: Batch) -> dict[str, torch.Tensor]:
        network, settings, device = self.trained.network, self.recipe.training, self.device
        text = batch.text.to(device)
        with autocast(device, settings.precision):
            output = network(batch.images.to(device), batch.lengths.to(device), text)
        total, losses = translation_loss(
            output,
            batch.glosses.to(device),
            batch.gloss_lengths.to(device),
            text,
            ctc_weight=settings.ctc_weight,
            text_weight=settings.text_weight,
            label_smoothing=settings.label_smoothing,
        )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        if not torch.isfinite(norm):  # syncs the GPU
            raise UserError(
                f"found a gradient of norm {norm.item()} (loss {total.item()}); "
                "expected a finite one: try a lower --learning-rate"
            )
        return losses

    def finish_epoch(self, losses: dict[str, float], dev_set: ClipDataset) -> None:
        """Scores dev when it is time, logs, and saves."""
        progress, settings = self.progress, self.recipe.training
        epoch, pointers = progress.epoch + 1, ["last"]
        record: dict[str, Any] = {"epoch": epoch, "step": progress.step}
        record |= {f"train.{name}": value for name, value in losses.items()}
        if epoch == settings.epochs or epoch % settings.evaluate_every == 0:
            self.save("last")  # scoring may need more memory than training
            search = self.recipe.search.greedy()
            dev = evaluate(self.trained, dev_set, search=search, on_error=self.on_error)
            record |= dev.flat("dev")
            score = dev.scores[deciding_score([clip.text for clip in dev.clips])].value
            if score >= progress.best_score:  # of equals, the later
                progress.best_score = score
                pointers.append("best")
        progress.finish_epoch()
        # In this order no line is ever missing: resuming drops that of an epoch that was not saved.
        self.log.epoch(record | {"seconds": self.seconds()})
        self.save(*pointers)

    def save(self, *pointers: str) -> None:
        """Writes a checkpoint that these pointers name."""
        self.seconds()
        save_checkpoint(
            self.run.output,
            self.progress.step,
            pointers,
            self.trained,
            tensors=pack_state(self.optimizer),
            progress=asdict(self.progress),
        )

    def resume(self) -> None:
        """Continues from the last checkpoint; starts over if the run has none yet.

        Raises:
            DataError: The checkpoint is broken, or has another recipe or other data.
        """
        if not has_checkpoint_to_resume(self.run):
            logger.warning("%s holds no checkpoint yet: starting over", self.run.output)
            return
        folder = checkpoint_folder(self.run.output / "last")
        found = load_model(folder)
        tensors = load_tensors(folder / "training.safetensors")
        check_same_run(folder, found, self.trained)
        self.trained.network.load_state_dict(found.network.state_dict())
        self.progress = read_progress(folder / "training.json")
        try:
            restore_state(self.optimizer, tensors)
        except UserError as error:
            raise DataError(folder, str(error), "the state that slt_fast writes") from error
