"""A model in training: its optimiser, its progress, and what an epoch does to it."""

import itertools
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

import torch

from slt_fast.checkpoint import (
    TrainedModel,
    build_network,
    latest_checkpoint,
    load_model,
    load_tensors,
    save_checkpoint,
    without_weights,
)
from slt_fast.data.ahead import on_stream_beside
from slt_fast.data.batching import Batch, BatchMaker, Vocabularies, batches
from slt_fast.data.clip import AnnotatedClip
from slt_fast.data.input import flow_device
from slt_fast.data.loading import ClipDataset
from slt_fast.device import choose_device
from slt_fast.errors import DataError, ErrorHandler, UserError
from slt_fast.model.batch_norm import set_training
from slt_fast.progress_bar import ProgressBar
from slt_fast.recipe import Recipe
from slt_fast.training.best import choosing_score
from slt_fast.training.datasets import trained_on
from slt_fast.training.evaluation import Evaluation, evaluate
from slt_fast.training.examples import picture_of_attention, translations_to_show
from slt_fast.training.log import RunLog
from slt_fast.training.progress import Progress, read_progress
from slt_fast.training.ranks import Ranks
from slt_fast.training.resuming import check_same_run, has_checkpoint_to_resume
from slt_fast.training.run import RunConfig
from slt_fast.training.schedule import learning_rate
from slt_fast.training.speed import Speed
from slt_fast.training.starting import Start, start_from
from slt_fast.training.state import pack_state, restore_state
from slt_fast.training.step import Stepper, StepResult
from slt_fast.training.steps import Steps
from slt_fast.training.stopping import Stop

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
        ranks: Ranks | None = None,  # None means this process alone
    ) -> None:
        settings = recipe.training
        torch.manual_seed(settings.seed)
        self.recipe, self.run, self.train_set, self.on_error = recipe, run, train_set, on_error
        self.ranks = ranks or Ranks()
        self.device = choose_device(settings.device)
        vocabularies = Vocabularies.build(train_set.clips, recipe.text)
        maker_device = flow_device(recipe.input, self.device)
        self.maker = BatchMaker(
            vocabularies, recipe.input, recipe.augmentation, settings.seed, maker_device
        )
        fresh = without_weights(recipe) if has_checkpoint_to_resume(run) else recipe
        network = build_network(fresh, vocabularies)
        network.to(self.device).use_channels_last()
        network.compute_in_chunks(settings.frames_per_chunk)
        if recipe.input.has_images:
            network.image_encoder.gradient_dropout = settings.gradient_dropout
        if settings.compile:
            network.image_encoder.compile_convolutions()
        data = trained_on(run, train_set.clips)
        self.trained = TrainedModel(network, recipe, vocabularies, data)
        if start:
            message = start_from(network, vocabularies, start)
            if self.ranks.is_first:
                logger.info(message)
        recognises = recipe.input.has_images
        self.stepper = Stepper(network, vocabularies, settings, self.ranks, recognises=recognises)
        self.progress = Progress()
        self.log = RunLog(run.output)
        self.started = time.monotonic() if started is None else started
        self.saved = time.monotonic()
        divides = settings.frames_per_step or settings.frames_at_once or self.ranks.number > 1
        frames = train_set.num_frames() if divides else [1] * len(train_set)
        self.steps = Steps(frames, settings)
        self.speed = Speed(self.steps.total)
        self.bad_steps: list[StepResult] = []  # the latest in a row
        self.stop = Stop()  # asks to end the training after a step or a batch

    def seconds(self) -> float:
        """Returns the seconds of this run so far, including those before a resumption."""
        now = time.monotonic()
        self.progress.seconds += now - self.started
        self.started = now
        return self.progress.seconds

    def train_epoch(self) -> dict[str, float]:
        """Trains the rest of the current epoch; returns the mean losses of the whole epoch.

        If `stop` asks for it, it ends the program after a step, with a checkpoint.
        """
        progress, settings = self.progress, self.recipe.training
        steps = self.steps.of_epoch(progress.epoch)
        todo = steps[progress.batch :]
        parts = [self.steps.parts(self.ranks.share(step, self.steps.frames)) for step in todo]
        made = batches(
            self.train_set,
            self.maker,
            itertools.chain.from_iterable(parts),
            num_workers=self.train_set.num_workers(settings.num_workers),
            epoch=progress.epoch,
        )
        loader = on_stream_beside(made, self.device)
        set_training(self.trained.network, settings.batch_norm)
        self.speed.start_epoch()
        with ProgressBar(
            total=len(steps),
            initial=progress.batch,
            desc=f"epoch {progress.epoch + 1}/{settings.epochs}",
            unit="step",
            disable=not self.ranks.is_first,
        ) as bar:
            for step, divided in zip(todo, parts, strict=True):
                clips = [self.train_set.clips[number] for number in step]
                batches_of_step = itertools.islice(loader, len(divided))
                losses = self._step_unless_stopped(clips, batches_of_step)
                bar.update()
                if losses:
                    shown = losses | {"frames/s": self.speed.latest}
                    bar.set_postfix(shown, refresh=False)
                self._save_if_due()
        self._read_results(at_once=True)
        return progress.mean_losses()

    def _step_unless_stopped(
        self, clips: Sequence[AnnotatedClip], parts: Iterable[Batch]
    ) -> dict[str, float]:
        """Takes a step; ends the training if the signal that stops it broke the step off.

        A signal to all processes of a job ends the loader processes as well.
        """
        step = self.progress.step
        try:
            return self.train_step(clips, parts)
        except Exception:
            if self.stop.signal is None or self.ranks.number > 1 or self.progress.step != step:
                raise
            self.stepper.forget()
            self.save("last")
            self._end()

    def _save_if_due(self) -> None:
        """Writes a checkpoint now and then; ends the training with one if a signal asked for it."""
        minutes = (time.monotonic() - self.saved) / 60
        is_due = minutes > self.recipe.training.checkpoint_minutes
        stops, is_due = self.ranks.any(self.stop.signal is not None, is_due)
        if stops or is_due:
            self.save("last")
        if stops:
            self._end()

    def _end(self) -> NoReturn:
        """Ends the program as the signal asked for, after a checkpoint."""
        logger.warning("stopped: the checkpoint of step %d is written", self.progress.step)
        self.stop.end()

    def train_step(
        self, clips: Sequence[AnnotatedClip], parts: Iterable[Batch]
    ) -> dict[str, float]:
        """Takes one optimisation step.

        Args:
            clips: All clips of the step.
            parts: Batches of this process's clips, which are computed one after the other.

        Returns:
            The mean losses per token and per gloss of the latest step that they are known of; none
            if no clip could be read.
        """
        progress = self.progress
        rate = learning_rate(self.recipe.training, progress.step, self.steps.total)
        has_read = self.stepper.take(progress.step, clips, parts, rate, self.on_error)
        progress.batch, progress.step = progress.batch + 1, progress.step + has_read
        return self._read_results() if has_read else {}

    def _read_results(self, *, at_once: bool = False) -> dict[str, float]:
        """Logs what the latest steps found; returns the losses of the last one.

        Raises:
            UserError: So many steps in a row left the weights alone that training ends, with a
                checkpoint.
        """
        results = self.stepper.results(at_once=at_once)
        means: dict[str, float] = {}
        if results:
            self.speed.lap(sum(result.frames for result in results), len(results))
        for result in results:
            if result.is_good:
                self.bad_steps.clear()
                self.progress.add_losses(result.sums, result.counts._asdict())
                means = result.means()
                if self.ranks.is_first:
                    self.log.step(result, self.speed.latest)
                continue
            self.bad_steps.append(result)
            names = ", ".join(clip.id for clip in result.clips)
            found = f"found a gradient of norm {result.norm}"
            logger.warning("step %d, clips %s: %s; left out", result.step, names, found)
            if len(self.bad_steps) == self.recipe.training.bad_steps:
                self.save("last")
                expected = "expected a finite one: try a lower --learning-rate"
                steps = f"{len(self.bad_steps)} steps in a row, the last one {result.step}"
                raise UserError(f"{steps}, clips {names}: {found}; {expected}")
        return means

    def finish_epoch(self, losses: dict[str, float], dev_set: ClipDataset) -> None:
        """Scores dev when it is time, logs, and saves."""
        progress, settings = self.progress, self.recipe.training
        epoch, pointers = progress.epoch + 1, ["last"]
        record: dict[str, Any] = {"epoch": epoch, "step": progress.step}
        record |= {f"train.{name}": value for name, value in losses.items()}
        if epoch == settings.epochs or epoch % settings.evaluate_every == 0:
            self.save("last")  # scoring may need more memory than training
            dev = self._score(dev_set)
            record |= dev.flat("dev")
            record |= {
                f"gap.{name}": dev.losses[name] - losses[name]
                for name in losses & dev.losses.keys()
            }
            name = choosing_score(settings.best_by, dev.clips)
            if progress.add_score(name, dev.value(name)):
                pointers.append("best")
        progress.finish_epoch()
        # In this order no line is ever missing: resuming drops that of an epoch that was not saved.
        if self.ranks.is_first:
            record |= {"seconds": self.seconds(), **self.speed.of_epoch()}
            self.log.epoch(record, self.speed.time_left(self.steps.total - progress.step))
        self.save(*pointers)
        if self.ranks.any(self.stop.signal is not None)[0]:
            self._end()

    def _score(self, dev_set: ClipDataset) -> Evaluation:
        """Scores dev, and shows what the model says and where it looks."""
        search, ranks, stop = self.recipe.search.greedy(), self.ranks, self.stop
        dev = evaluate(
            self.trained, dev_set, search=search, on_error=self.on_error, ranks=ranks, stop=stop
        )
        if self.ranks.is_first:
            picture = picture_of_attention(self.trained, dev_set, dev)
            self.log.examples(translations_to_show(dev), picture, self.progress.step)
        return dev

    def save(self, *pointers: str) -> None:
        """Writes a checkpoint that these pointers name; the other processes wait for it."""
        self._read_results(at_once=True)
        self.seconds()
        if self.ranks.is_first:
            save_checkpoint(
                self.run.output,
                self.progress.step,
                pointers,
                self.trained,
                tensors=pack_state(self.stepper.optimizer),
                progress=asdict(self.progress),
            )
        self.saved = time.monotonic()
        self.ranks.wait()

    def resume(self) -> None:
        """Continues from the last checkpoint; starts over if the run has none yet.

        Raises:
            DataError: The checkpoint is broken, or has another recipe or other data.
        """
        if not has_checkpoint_to_resume(self.run):
            logger.warning("%s holds no checkpoint yet: starting over", self.run.output)
            return
        folder = latest_checkpoint(self.run.output)
        found = load_model(folder)
        tensors = load_tensors(folder / "training.safetensors")
        check_same_run(folder, found, self.trained)
        self.trained.network.load_state_dict(found.network.state_dict())
        self.progress = read_progress(folder / "training.json")
        self.speed = Speed(self.steps.total - self.progress.step)
        try:
            restore_state(self.stepper.optimizer, tensors, self.progress.step)
        except UserError as error:
            raise DataError(folder, str(error), "the state that slt_fast writes") from error
