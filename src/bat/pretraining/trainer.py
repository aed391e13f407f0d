"""Pretraining from the first step, or from a checkpoint, to the last step."""

import logging
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import polars as pl
import torch
from torch import Tensor

from bat.errors import BatError
from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.optimisation.schedules import ema_decay, learning_rate, set_learning_rate
from bat.pretraining.checkpoints import Checkpoints
from bat.pretraining.collapse import CollapseMonitor
from bat.pretraining.curves import CURVES
from bat.pretraining.guard import LossGuard, Trouble
from bat.pretraining.masking import inverse_block_mask
from bat.pretraining.metrics import Metrics, Throughput
from bat.pretraining.micro_batches import MicroBatch, divide, prepare_ahead
from bat.pretraining.randomness import generator_for
from bat.pretraining.ranks import Ranks
from bat.pretraining.resources import Interval
from bat.pretraining.state import TrainingState
from bat.pretraining.step import StepLosses, Student, accumulated_step, teacher_of
from bat.progress import track
from bat.runtime import INTERRUPTED, StopSignals

_LOG = logging.getLogger(__name__)
# A GPU is not waited for at every step: losses are looked at so many steps at a time.
_LOOK_EVERY_ON_GPU = 10


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a training runs in; none of it moves the result.

    Attributes
    ----------
    ranks : Ranks
        The processes that train together.
    workers : int
        Threads that prepare micro-batches ahead.
    stop : StopSignals
        Asked after every step.
    interval : Interval
        When checkpoints are due; rank 0 decides.
    checkpoints, metrics
        Make the store of checkpoints, and the writer of metrics from a first step on; called on
        rank 0. Without them nothing is written.
    throughput : Throughput, optional
        Counts the steps.
    names_of : callable
        Names of clips, for whoever looks into a training that went wrong.
    """

    ranks: Ranks = field(default_factory=Ranks)
    workers: int = 0
    stop: StopSignals = field(default_factory=StopSignals)
    interval: Interval = field(default_factory=lambda: Interval(minutes=10.0, steps=None))
    checkpoints: Callable[[], Checkpoints] | None = None
    metrics: Callable[[int], Metrics] | None = None
    throughput: Throughput | None = None
    names_of: Callable[[Tensor], list[str]] = lambda clips: [str(c) for c in clips.tolist()]


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What comes of a training.

    Attributes
    ----------
    encoder : AudioTransformer
        The one to keep, student or teacher as the settings say, in evaluation mode.
    curves : polars.DataFrame
        Of ``CURVES``: the logged steps.
    runs : list of dict
        The runs of this training, more than one if it was interrupted: where each began, on which
        host and device, and how many ranks it had.
    """

    encoder: AudioTransformer
    curves: pl.DataFrame
    runs: list[dict[str, Any]]


def pretrain(
    encoder: AudioTransformer,
    decoder: ViTDecoder | CNNDecoder,
    inputs: Callable[[Tensor, torch.Generator], Tensor],
    batches: Tensor,
    settings: dict[str, Any],
    *,
    seed: int,
    bfloat16: bool = False,
    surroundings: Surroundings | None = None,
) -> Pretrained:
    """Train an encoder by masked latent regression.

    Parameters
    ----------
    encoder, decoder
        The student, trained in place.
    inputs
        From the indices of clips to what the encoder takes, [B, 1, time, mel].
    batches : Tensor [steps, batch], int64
        Clips of every step, of all ranks together.
    settings
        Views, mask, target, schedules: the section ``pretraining`` of a model.
    seed
        Seed of rolls, masks and noise.
    bfloat16
        Run the models under bfloat16 autocast.
    surroundings
        By default one process that writes nothing.

    Raises
    ------
    BatError
        If batches cannot be divided among the ranks, the loss is no number or explodes, another
        rank is gone, another process took over, or all checkpoints are damaged.
    SystemExit
        With status ``INTERRUPTED`` after a signal to stop and the checkpoint that follows it.
    """
    student, teacher = Student(encoder, decoder), teacher_of(encoder)
    optimizer = torch.optim.AdamW(
        [p for p in student.parameters() if p.requires_grad],
        betas=tuple(settings["betas"]),
        weight_decay=settings["weight_decay"],
        fused=True,
    )
    state = TrainingState(
        student=student,
        teacher=teacher,
        optimizer=optimizer,
        guard=LossGuard(settings["explosion"]),
    )
    trainer = _Trainer(
        state, inputs, batches, settings, seed, bfloat16, surroundings or Surroundings()
    )
    trainer.run()
    kept = encoder if settings["keep"] == "student" else teacher
    curves = pl.DataFrame(state.curves, schema=CURVES.schema, orient="row")
    return Pretrained(encoder=kept.eval(), curves=curves, runs=state.runs)


class _Trainer:
    """One run of a training, in this process."""

    def __init__(
        self,
        state: TrainingState,
        inputs: Callable[[Tensor, torch.Generator], Tensor],
        batches: Tensor,
        settings: dict[str, Any],
        seed: int,
        bfloat16: bool,
        surroundings: Surroundings,
    ) -> None:
        self.state, self.inputs, self.batches, self.settings = state, inputs, batches, settings
        self.seed, self.bfloat16, self.around = seed, bfloat16, surroundings
        self.ranks = surroundings.ranks
        self.encoder = state.student.encoder
        self.device = self.encoder.cls_token.device
        self.division = divide(
            batches.shape[1],
            settings["micro_batch_size"],
            rank=self.ranks.rank,
            ranks=self.ranks.size,
        )
        self.checkpoints: Checkpoints | None = None
        self.metrics: Metrics | None = None
        self._unseen: list[tuple[int, StepLosses]] = []

    def run(self) -> None:
        """Train from wherever the training stands to its end."""
        self._begin()
        first, steps = self.state.steps, len(self.batches)
        places = ((step, place) for step in range(first, steps) for place in self.division.own)
        ready = prepare_ahead(self._prepare, places, workers=self.around.workers)
        words = self.around.throughput.words if self.around.throughput else str
        progress = track(range(first, steps), "pretraining", total=steps, done=first, detail=words)
        try:
            for step in progress:
                self._step(step, ready)
            if trouble := self._trouble():
                self._give_up(trouble)
            if self.checkpoints is not None:
                self.checkpoints.check_owner()
        finally:
            progress.close()
            ready.close()
            if self.metrics is not None:
                self.metrics.close()

    # The beginning

    def _begin(self) -> None:
        """Take the newest checkpoint, if there is one, and give every rank the same state."""
        state = self.state
        if self.ranks.rank == 0:
            self.checkpoints = self.around.checkpoints() if self.around.checkpoints else None
            found = self.checkpoints.newest() if self.checkpoints is not None else None
            if found is not None:
                state.restore(found.tensors, found.facts)
                _LOG.info("pretraining goes on from step %d, %s", state.steps, found.folder)
        steps = torch.tensor(state.steps)
        self.ranks.share([steps, *state.tensors().values()])
        state.steps = int(steps)
        state.runs.append(
            {
                "first_step": state.steps,
                "host": platform.node(),
                "device": _name(self.device),
                "ranks": self.ranks.size,
            }
        )
        if self.ranks.rank == 0 and self.around.metrics is not None:
            self.metrics = self.around.metrics(state.steps)

    def _prepare(self, key: tuple[int, int]) -> MicroBatch:
        """Make one micro-batch; depends on nothing but the seed, the step and the place."""
        step, place = key
        drawn = partial(generator_for, seed=self.seed, step=step, micro_batch=place)
        clips = self.division.clips(self.batches[step], place)
        heard = self.inputs(clips, drawn("input"))
        keep = _masks(len(heard), self.encoder, self.settings, drawn("mask"))
        if self.device.type == "cuda":
            keep = keep.pin_memory()
        return MicroBatch(
            spectrogram=heard,
            keep_BVn=keep.to(self.device, non_blocking=True),
            generator=drawn("noise", device=self.device),
        )

    # A step

    def _step(self, step: int, ready: Iterator[MicroBatch]) -> None:
        rate, decay = _schedules(step, len(self.batches), self.settings)
        set_learning_rate(self.state.optimizer, rate)
        last = step == len(self.batches) - 1
        logged = last or step % self.settings["log_every"] == 0
        monitor = CollapseMonitor(self.settings["target"]) if logged else None
        losses = accumulated_step(
            self.state.student,
            self.state.teacher,
            self.state.optimizer,
            self._own(ready, monitor),
            micro_batches=self.division.count,
            ema_decay=decay,
            target=self.settings["target"],
            gradient_clip=self.settings["gradient_clip"],
            bfloat16=self.bfloat16,
            sum_over_ranks=self.ranks.sum if self.ranks.size > 1 else None,
        )
        self.state.steps = step + 1
        self._unseen.append((step, losses))
        stop, due = self._look_and_agree(logged=logged)
        if monitor is not None:
            variances = monitor.variances(self.ranks.sum)
            self._log(step, losses, {"learning_rate": rate, "ema_decay": decay}, variances)
        if stop or due:
            written = self._save()
            self.around.interval.begin()
            if stop:
                self._stop(written=written)

    def _own(
        self, ready: Iterator[MicroBatch], monitor: CollapseMonitor | None
    ) -> Iterator[MicroBatch]:
        """Yield this rank's micro-batches of a step; on the way the monitor sees their clips."""
        waited_s = 0.0
        for _ in self.division.own:
            asked = time.monotonic()
            micro = next(ready)
            waited_s += time.monotonic() - asked
            if monitor is not None:
                monitor.add(self.state.teacher, micro.spectrogram)
            yield micro
        if self.around.throughput is not None:
            self.around.throughput.step(waited_s)

    def _log(
        self,
        step: int,
        losses: StepLosses,
        schedules: dict[str, float],
        variances: dict[str, float],
    ) -> None:
        measured = {
            "step": step,
            "global_loss": float(losses.global_loss),
            "local_loss": float(losses.local_loss),
            "gradient_norm": float(losses.gradient_norm),
        }
        row = measured | schedules | variances
        self.state.curves.append(row)
        left = len(self.batches) - self.state.steps
        rates = self.around.throughput.measure(left) if self.around.throughput else {}
        if self.metrics is not None:
            self.metrics.write(row | rates)

    # After a step

    def _look_and_agree(self, *, logged: bool) -> tuple[bool, bool]:
        """Look at losses now and then; say whether to stop and whether to save, on all ranks."""
        leads = self.ranks.rank == 0
        due = leads and self.around.interval.is_over(self.state.steps)
        stop = self.around.stop.received is not None
        enough = _LOOK_EVERY_ON_GPU if self.device.type == "cuda" else 1
        look = logged or due or stop or len(self._unseen) >= enough
        trouble = self._trouble_in_losses() if look else None
        stop, due, bad = self.ranks.any([stop, due, trouble is not None])
        if bad:
            self._give_up(trouble)
        return stop, due

    def _trouble_in_losses(self) -> Trouble | None:
        """Look at the losses not seen yet; rank 0 judges, for it knows those before too."""
        unseen, self._unseen = self._unseen, []
        if self.ranks.rank != 0:
            return None
        values = [torch.stack([x.global_loss + x.local_loss, x.gradient_norm]) for _, x in unseen]
        found = torch.stack(values).tolist() if values else []
        for (step, _), (loss, norm) in zip(unseen, found, strict=True):
            if trouble := self.state.guard.look(step, loss=loss, gradient_norm=norm):
                return trouble
        return None

    def _trouble(self) -> Trouble | None:
        """Look at all losses and at every number of the state: nothing bad is ever written."""
        if trouble := self._trouble_in_losses():
            return trouble
        if self.ranks.rank != 0 or self.state.is_finite():
            return None
        return Trouble(step=self.state.steps - 1, what="a weight or moment is not finite")

    def _save(self) -> bool:
        if trouble := self._trouble():
            self._give_up(trouble)
        if self.checkpoints is None:
            return False
        return self.checkpoints.write(self.state.tensors(), self.state.facts())

    def _stop(self, *, written: bool) -> NoReturn:
        # torchrun ends all ranks soon after one has ended: none does before rank 0 has written.
        self.ranks.any([False])
        received = self.around.stop.received
        if self.ranks.rank == 0:
            _LOG.warning(
                "pretraining: stopped after step %d by %s; the same command goes on from %s",
                self.state.steps,
                received.name if received else "another rank",
                "here" if written else "the last checkpoint",
            )
        raise SystemExit(INTERRUPTED)

    def _give_up(self, trouble: Trouble | None) -> NoReturn:
        """Stop with the step, the clips and a saved state; no training goes on from it."""
        if trouble is None:
            raise BatError("pretraining: rank 0 stopped the training; its own message says why")
        names = self.around.names_of(self.batches[trouble.step])
        before = self.batches[trouble.step - 1] if trouble.step else torch.tensor([])
        facts = self.state.facts() | {
            "what": trouble.what,
            "step": trouble.step,
            "clips": names,
            "clips_of_the_step_before": self.around.names_of(before),
        }
        saved = None
        if self.checkpoints is not None:
            saved = self.checkpoints.keep_for_inspection(self.state.tensors(), facts)
        raise BatError(
            f"pretraining: {trouble.what} at step {trouble.step}, clips {', '.join(names)}; "
            f"{f'the state after step {self.state.steps - 1} lies in {saved}' if saved else ''}"
            f"{'; ' if saved else ''}change the parameters (learning_rate, gradient_clip, "
            "explosion) or the data"
        )


def _schedules(step: int, steps: int, settings: dict[str, Any]) -> tuple[float, float]:
    """Return the learning rate of a step and the teacher's decay after it."""
    rate = learning_rate(
        step,
        peak=settings["learning_rate"],
        floor=settings["minimum_learning_rate"],
        warmup_steps=settings["warmup_steps"],
        steps=steps,
    )
    ema = settings["ema"]
    decay = ema_decay(step + 1, start=ema["start"], end=ema["end"], warmup_steps=ema["ramp_steps"])
    return rate, decay


def _masks(
    clips: int, encoder: AudioTransformer, settings: dict[str, Any], generator: torch.Generator
) -> Tensor:
    """Visible patches of all views [B, V, n]."""
    keep = inverse_block_mask(
        clips * settings["views"],
        grid=(encoder.grid_time_patches, encoder.frequency_patches),
        mask_ratio=settings["mask_ratio"],
        block=settings["mask_block"],
        adjust=settings["mask_adjust"],
        generator=generator,
    )
    return keep.view(clips, settings["views"], -1)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
