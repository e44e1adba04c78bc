"""A model in training: its optimiser, its progress, and what an epoch does to it."""

import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
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
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.input import flow_device
from slt_fast.data.loader_processes import naming_killed_loaders
from slt_fast.data.loading import ClipDataset
from slt_fast.device import autocast, choose_device
from slt_fast.errors import DataError, ErrorHandler, UserError, handle, is_out_of_memory
from slt_fast.metrics import deciding_score
from slt_fast.model.batch_norm import set_training
from slt_fast.recipe import Recipe
from slt_fast.training.datasets import trained_on
from slt_fast.training.evaluation import evaluate
from slt_fast.training.log import RunLog
from slt_fast.training.losses import Counts, counts_of, translation_loss
from slt_fast.training.progress import Progress, read_progress
from slt_fast.training.resuming import check_same_run, has_checkpoint_to_resume
from slt_fast.training.run import RunConfig
from slt_fast.training.schedule import learning_rate
from slt_fast.training.starting import Start, start_from
from slt_fast.training.state import pack_state, restore_state
from slt_fast.training.steps import Steps

logger = logging.getLogger(__name__)


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
        network.encoder.frames_per_chunk = settings.frames_per_chunk
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
        packs = settings.frames_per_step or settings.frames_at_once
        frames = train_set.num_frames() if packs else [1] * len(train_set)
        self.steps = Steps(frames, settings)

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
        steps = self.steps.of_epoch(progress.epoch)
        parts = [self.steps.parts(step) for step in steps[progress.batch :]]
        loader = batches(
            self.train_set,
            self.maker,
            itertools.chain.from_iterable(parts),
            num_workers=self.train_set.num_workers(settings.num_workers),
            epoch=progress.epoch,
        )
        saved = time.monotonic()
        set_training(self.trained.network, settings.batch_norm)
        label = f"epoch {progress.epoch + 1}/{settings.epochs}"
        bar = tqdm(desc=label, total=len(steps), unit="step", leave=False, disable=None)
        bar.update(progress.batch)
        for step, divided in zip(steps[progress.batch :], parts, strict=True):
            clips = [self.train_set.clips[number] for number in step]
            losses = self.train_step(clips, itertools.islice(loader, len(divided)))
            progress.batch += 1
            bar.update()
            bar.set_postfix({name: f"{value:.2f}" for name, value in losses.items()})
            if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
                self.save("last")
                saved = time.monotonic()
        bar.close()
        return progress.mean_losses()

    def train_step(
        self, clips: Sequence[AnnotatedClip], parts: Iterable[Batch]
    ) -> dict[str, float]:
        """Takes one optimisation step.

        Args:
            clips: All clips of the step.
            parts: Batches of these clips, which are computed one after the other.

        Returns:
            The mean losses per token and per gloss, none if no clip could be read.
        """
        progress, settings = self.progress, self.recipe.training
        counts = counts_of(clips, self.trained.vocabularies)
        sums: dict[str, float] = {}
        read: list[AnnotatedClip] = []
        self.optimizer.zero_grad(set_to_none=True)
        for batch in parts:
            for error in batch.errors:
                handle(error, self.on_error)
            if batch.clips:
                read += batch.clips
                with self._naming(batch.clips, len(batch.images)):
                    losses = self._add_gradient(batch, counts)
                    for name, value in losses.items():
                        sums[name] = sums.get(name, 0.0) + float(value)
        if not read:
            return {}
        with self._naming(read):
            self._update(learning_rate(settings, progress.step, self.steps.total), sums)
        progress.step += 1
        planned, found = counts._asdict(), counts_of(read, self.trained.vocabularies)._asdict()
        sums = {name: value * planned[name] for name, value in sums.items()}
        progress.add_losses(sums, found)
        means = {name: value / found[name] for name, value in sums.items()}
        self.log.step(means, progress.step)
        return means

    @contextmanager
    def _naming(self, clips: Sequence[AnnotatedClip], num_frames: int = 0) -> Iterator[None]:
        """Names step and clips in whatever goes wrong."""
        step, names = self.progress.step, ", ".join(clip.id for clip in clips)
        try:
            yield
        except UserError as error:
            raise UserError(f"step {step}, clips {names}: {error}") from error
        except Exception as error:
            if is_out_of_memory(error):
                reason = too_many_frames(clips, num_frames, self.device)
                raise UserError(f"step {step}, {reason}") from error
            logger.error("step %d failed with clips %s", step, names)
            raise

    def _add_gradient(self, batch: Batch, counts: Counts) -> dict[str, torch.Tensor]:
        """Adds the gradient of some clips of a step of these counts; returns their losses."""
        network, settings, device = self.trained.network, self.recipe.training, self.device
        text = batch.text.to(device)
        with autocast(device, settings.precision):
            output = network(batch.images.to(device), batch.lengths.to(device), text)
        total, losses = translation_loss(
            output,
            batch.glosses.to(device),
            batch.gloss_lengths.to(device),
            text,
            counts,
            ctc_weight=settings.ctc_weight,
            text_weight=settings.text_weight,
            label_smoothing=settings.label_smoothing,
        )
        total.backward()
        return losses

    def _update(self, rate: float, losses: dict[str, float]) -> None:
        """Changes the weights by the gradient."""
        parameters = list(self.trained.network.parameters())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.training.gradient_clip)
        if not torch.isfinite(norm):  # syncs the GPU
            raise UserError(
                f"found a gradient of norm {norm.item()} (losses {losses}); "
                "expected a finite one: try a lower --learning-rate"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

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
