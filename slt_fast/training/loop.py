"""The training run, top to bottom: data, model, epochs, dev scores, checkpoints, test scores."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass
from functools import partial
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
from slt_fast.data.batching import Batch, ClipDataset, Vocabularies, batches, too_many_frames
from slt_fast.device import autocast, choose_device, keep_compiled_convolutions
from slt_fast.errors import DataError, ErrorHandler, handle
from slt_fast.files import read_json, write_json
from slt_fast.recipe import Recipe
from slt_fast.training.evaluation import Evaluation, evaluate
from slt_fast.training.log import RunLog
from slt_fast.training.losses import translation_loss
from slt_fast.training.run import (
    RunConfig,
    SkippedClips,
    check_output,
    check_same,
    load_dataset,
    make_room,
    resumes,
    run_flow_cache,
    trained_on,
    warn_of_long_texts,
)
from slt_fast.training.state import pack_state, restore_state

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run has come; training.json in a checkpoint."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_bleu4: float = -1.0
    seconds: float = 0.0


def train(recipe: Recipe, run: RunConfig) -> tuple[dict[str, Any], Evaluation]:
    """Trains a model, keeps the checkpoint that is best on dev, and scores it on test.

    Args:
        recipe: Every setting of input, model and training.
        run: What is read and where the results go.

    Returns:
        What metrics.json holds (flat keys such as `test.bleu4`), and the scored test split.

    Raises:
        DataError: A bad clip, unless run.skip_bad; a checkpoint that does not fit.
        ValueError: A setting that cannot be used here.
    """
    started = time.monotonic()
    keep_compiled_convolutions()
    check_output(run)
    recipe.input.parameters()  # flow that cannot be computed is told before any clip is read
    skipped = SkippedClips() if run.skip_bad else None
    load = partial(load_dataset, recipe, run.data, flow_cache=run_flow_cache(recipe, run))
    train_set = load(run.train_split, skipped, recipe.augmentation)
    dev_set = load(run.dev_split, skipped)
    test_set = load(run.test_split, skipped)
    warn_of_long_texts(train_set.clips, recipe.training.max_text_length)
    trainer = Trainer(recipe, run, train_set, skipped, started=started)
    if run.resume:
        trainer.resume()
    make_room(run)  # now that nothing more can be wrong
    if skipped:
        skipped.open(run.output / "skipped.txt", append=run.resume)
    while trainer.progress.epoch < recipe.training.epochs:
        losses = trainer.train_epoch()
        trainer.finish_epoch(losses, dev_set)
    best = load_model(run.output / "best")
    best.network.to(trainer.device)
    beam_size = recipe.training.beam_size
    test = evaluate(best, test_set, beam_size=beam_size, on_error=skipped)
    metrics = {f"{run.test_split}.{name}": value for name, value in test.scores.items()}
    metrics |= {
        f"{run.test_split}.seconds_total": trainer.seconds(),
        "best_dev_bleu4": trainer.progress.best_bleu4,
    }
    write_json(run.output / "metrics.json", metrics)
    return metrics, test


class Trainer:
    """A model with its optimiser and how far it has come."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunConfig,
        train_set: ClipDataset,
        on_error: ErrorHandler | None,
        *,
        started: float | None = None,
    ) -> None:
        settings = recipe.training
        torch.manual_seed(settings.seed)
        self.recipe, self.run, self.train_set, self.on_error = recipe, run, train_set, on_error
        self.device = choose_device(settings.device)
        vocabularies = Vocabularies.build(train_set.clips)
        # A resumed run has its weights from the checkpoint.
        model = build_network(without_weights(recipe) if resumes(run) else recipe, vocabularies)
        model.to(self.device, memory_format=torch.channels_last)
        data = trained_on(run, train_set.clips)
        self.trained = TrainedModel(model, recipe, vocabularies, data)
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.progress = Progress()
        self.log = RunLog(run.output)
        self.started = time.monotonic() if started is None else started
        self.batches_per_epoch = math.ceil(len(train_set) / settings.batch_size)

    def seconds(self) -> float:
        """Seconds of this run so far, those before a resumption included."""
        now = time.monotonic()
        self.progress.seconds += now - self.started
        self.started = now
        return self.progress.seconds

    def train_epoch(self) -> dict[str, float]:
        """The rest of the current epoch; returns its mean losses."""
        progress, settings = self.progress, self.recipe.training
        values: dict[str, list[float]] = {}
        loader = batches(
            self.train_set,
            self.trained.vocabularies,
            batch_size=settings.batch_size,
            num_workers=self.train_set.num_workers(settings.num_workers),
            shuffle_epoch=progress.epoch,
            skip=progress.batch,
        )
        saved = time.monotonic()
        self.trained.network.train()
        label = f"epoch {progress.epoch + 1}/{settings.epochs}"
        total = self.batches_per_epoch
        bar = tqdm(loader, label, total, unit="step", initial=progress.batch, leave=False)
        for batch in bar:
            losses = self.train_step(batch)
            progress.batch += 1
            for name, value in losses.items():
                values.setdefault(name, []).append(value)
            bar.set_postfix({name: f"{value:.2f}" for name, value in losses.items()})
            if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
                self.save("last")
                saved = time.monotonic()
        return {name: sum(parts) / len(parts) for name, parts in values.items()}

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One optimisation step; returns its losses, none for a batch without a readable clip."""
        for error in batch.errors:
            handle(error, self.on_error)
        if not batch.clips:
            return {}
        progress = self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress.step)
        try:
            losses = self._compute_gradient(batch)
        except torch.OutOfMemoryError as error:
            reason = too_many_frames(batch.clips, len(batch.images), self.device)
            raise ValueError(f"step {progress.step}, {reason}") from error
        except ValueError as error:
            names = ", ".join(clip.id for clip in batch.clips)
            raise ValueError(f"step {progress.step}, clips {names}: {error}") from error
        self.optimizer.step()
        progress.step += 1
        values = {name: float(value) for name, value in losses.items()}
        self.log.step(values, progress.step)
        return values

    def _compute_gradient(self, batch: Batch) -> dict[str, torch.Tensor]:
        model, settings, device = self.trained.network, self.recipe.training, self.device
        text = batch.text.to(device)
        with autocast(device, settings.precision):
            output = model(batch.images.to(device), batch.lengths.to(device), text)
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
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        if not torch.isfinite(norm):  # syncs the GPU
            raise ValueError(
                f"found a gradient of norm {norm.item()} (loss {total.item()}); "
                "expected a finite one: try a lower --learning-rate"
            )
        return losses

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, by the schedule."""
        settings = self.recipe.training
        if settings.schedule == "constant":
            return settings.learning_rate
        total = settings.epochs * self.batches_per_epoch
        warmup = max(1, total // 10)
        if step < warmup:
            return settings.learning_rate * (step + 1) / warmup
        share = min(1.0, (step - warmup) / max(1, total - warmup))
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def finish_epoch(self, losses: dict[str, float], dev_set: ClipDataset) -> None:
        """Scores dev when it is time, logs, and saves."""
        progress, settings = self.progress, self.recipe.training
        epoch, links = progress.epoch + 1, ["last"]
        record: dict[str, Any] = {"epoch": epoch, "step": progress.step}
        record |= {f"train.{name}": value for name, value in losses.items()}
        if epoch == settings.epochs or epoch % settings.evaluate_every == 0:
            self.save("last")  # the scoring may need more memory than the training
            scores = evaluate(self.trained, dev_set, beam_size=1, on_error=self.on_error).scores
            record |= {f"dev.{name}": value for name, value in scores.items()}
            if scores["bleu4"] >= progress.best_bleu4:  # of equals, the one trained longer
                progress.best_bleu4 = scores["bleu4"]
                links.append("best")
        progress.epoch, progress.batch = epoch, 0
        # In this order: a run that is killed in between logs the epoch once more, not never.
        self.log.epoch(record | {"seconds": self.seconds()})
        self.save(*links)

    def save(self, *links: str) -> None:
        """Writes a checkpoint that `links` point at."""
        self.seconds()
        save_checkpoint(
            self.run.output,
            self.progress.step,
            links,
            self.trained,
            tensors=pack_state(self.optimizer),
            progress=asdict(self.progress),
        )

    def resume(self) -> None:
        """Goes on from the last checkpoint; starts anew where a run broke off before its first.

        Raises:
            DataError: A broken checkpoint, or one of another recipe or other data.
        """
        last = self.run.output / "last"
        if not resumes(self.run):
            logger.warning("%s holds no checkpoint yet: starting anew", self.run.output)
            return
        folder = checkpoint_folder(last)
        found = load_model(folder)
        tensors = load_tensors(folder / "training.safetensors")
        progress = read_json(folder / "training.json")
        check_same(folder, found, self.trained)
        self.trained.network.load_state_dict(found.network.state_dict())
        try:
            restore_state(self.optimizer, tensors)
            self.progress = Progress(**progress)
        except (TypeError, ValueError) as error:
            raise DataError(folder, str(error), "the state that slt_fast writes") from error
