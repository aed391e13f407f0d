"""What one job costs: processor and GPU time, and what it leaves on the disk."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from bat.params.data import Mixtures
from bat.params.models import Encoder, Pretraining
from bat.planning.amounts import Amounts
from bat.planning.flops import (
    TRAINING,
    depth_of,
    encoder_flop,
    parameters_of,
    pretraining_flop,
    probe_flop,
    width_of,
)
from bat.planning.jobs import PlannedJob
from bat.planning.rates import Rates
from bat.workflow import Plan

_FLOAT_BYTES, _HALF_BYTES = 4, 2
_MEL_BINS, _FRAMES_A_SECOND = 128, 100
# Student, gradient, two moments of AdamW and the teacher, in float32; the last three are kept.
_CHECKPOINT_BYTES, _CHECKPOINTS = 20, 3
# Classes of a task, where its labels are not read yet: those of AudioSet.
_CLASSES = 527
_FIGURES_BYTES = 5e6
_WORTH_A_GPU_FLOP = 1e12


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Cost of a job, or of many.

    Parameters
    ----------
    gpu_s, cpu_s
        Seconds of one GPU, and of one core.
    storage_bytes
        Outputs, which stay.
    scratch_bytes
        What is on the disk beside them while the job runs.
    """

    gpu_s: float = 0.0
    cpu_s: float = 0.0
    storage_bytes: float = 0.0
    scratch_bytes: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What a job does: reads, computes, hears audio, decodes it, writes."""

    read_bytes: float = 0.0
    flop: float = 0.0
    heard_s: float = 0.0
    decoded_s: float = 0.0
    storage_bytes: float = 0.0
    scratch_bytes: float = 0.0


class Costs:
    """Costs of an experiment's jobs at given rates.

    Parameters
    ----------
    plan
        The experiment.
    rates
        Of the machines that it will run on.
    """

    def __init__(self, plan: Plan, rates: Rates) -> None:
        self._plan, self._params = plan, plan.params
        self._amounts, self._rates = Amounts(plan), rates

    @property
    def on_gpus(self) -> bool:
        """Whether the experiment is made for GPUs: it trains in bfloat16."""
        return self._params.compute.training == "bfloat16"

    def guessed(self) -> list[str]:
        """Return the data sets whose size is neither counted nor published."""
        return self._amounts.guessed()

    def of(self, job: PlannedJob) -> Cost:
        """Return the cost of one job; rules that only gather others cost nothing."""
        work = self._works.get(job.rule)
        return self._cost(work(job.wildcards)) if work else Cost()

    @property
    def _works(self) -> dict[str, Callable[[dict[str, str]], _Work]]:
        return {
            "download": self._fetch,
            "acquire": self._acquire,
            "inventory": self._inventory,
            "resample": self._resample,
            "account": lambda w: _Work(),
            "weights": lambda w: _Work(storage_bytes=4e8),
            "convert": lambda w: _Work(
                read_bytes=4e8, storage_bytes=self._encoder_bytes(w["model"])
            ),
            "prepare": self._prepare,
            "frontend": self._frontend,
            "pretrain": self._pretrain,
            "embed": self._embed,
            "probe": self._probe,
            "finetune": self._finetune,
            "baseline": lambda w: _Work(read_bytes=self._spectrogram_bytes(w["task"]), flop=4e11),
            "figure": lambda w: _Work(flop=4e11, storage_bytes=_FIGURES_BYTES),
            "audit": lambda w: _Work(read_bytes=self._everything_bytes()),
            "table": lambda w: _Work(storage_bytes=1e5),
        }

    def _cost(self, work: _Work) -> Cost:
        rates = self._rates
        waiting_s = rates.start_s + work.read_bytes / rates.hash_bytes_s
        decoding_s = work.decoded_s / rates.decode_x
        computing_s = work.heard_s / rates.frontend_x + work.flop / rates.cpu_flop_s
        on_gpu = work.flop > _WORTH_A_GPU_FLOP and self.on_gpus
        # a GPU waits while its job starts and hashes what it reads; front ends cost it nothing
        return Cost(
            gpu_s=waiting_s + work.flop / rates.gpu_flop_s if on_gpu else 0.0,
            cpu_s=waiting_s + decoding_s + (0.0 if on_gpu else computing_s),
            storage_bytes=work.storage_bytes,
            scratch_bytes=work.scratch_bytes,
        )

    # Data

    def _fetch(self, job: dict[str, str]) -> _Work:
        source = self._amounts.dataset(job["dataset"]).source_bytes
        return _Work(read_bytes=source, storage_bytes=source, scratch_bytes=source)

    def _inventory(self, job: dict[str, str]) -> _Work:
        return _Work(read_bytes=self._amounts.dataset(job["dataset"]).source_bytes)

    def _resample(self, job: dict[str, str]) -> _Work:
        amount = self._amounts.dataset(job["dataset"])
        return _Work(
            read_bytes=amount.source_bytes,
            decoded_s=amount.hours * 3600,
            storage_bytes=self._amounts.pcm_bytes(job["dataset"]),
        )

    def _acquire(self, job: dict[str, str]) -> _Work:
        resampled = self._resample(job)
        # archives come one after the other and go when their recordings are stored
        share = self._amounts.dataset(job["dataset"]).source_bytes / 20
        return _Work(
            read_bytes=resampled.read_bytes,
            decoded_s=resampled.decoded_s,
            storage_bytes=resampled.storage_bytes,
            scratch_bytes=share,
        )

    def _prepare(self, job: dict[str, str]) -> _Work:
        clips = self._amounts.clips(job["task"])
        mixed = isinstance(self._params.tasks[job["task"]].clips, Mixtures)
        return _Work(read_bytes=self._pcm_bytes(job["task"]), storage_bytes=clips * (300 + mixed))

    def _frontend(self, job: dict[str, str]) -> _Work:
        task = job["task"]
        return _Work(
            read_bytes=self._pcm_bytes(task),
            heard_s=self._amounts.clips(task) * self._amounts.clip_s(task),
            storage_bytes=self._spectrogram_bytes(task),
        )

    # Models

    def _pretrain(self, job: dict[str, str]) -> _Work:
        task, encoder = self._params.pretraining_clips, self._encoder(job["model"])
        settings = self._params.models[job["model"]].pretraining
        storage = self._encoder_bytes(job["model"])
        if settings is None:
            return _Work(read_bytes=self._heard_bytes(task), storage_bytes=storage)
        clips = settings.steps * settings.batch_size
        return _Work(
            read_bytes=self._heard_bytes(task),
            flop=clips * pretraining_flop(encoder, settings, patches=self._tokens(task) - 1),
            heard_s=self._live_s(task, clips),
            storage_bytes=storage,
            scratch_bytes=_CHECKPOINTS * _CHECKPOINT_BYTES * self._trained(encoder, settings),
        )

    def _embed(self, job: dict[str, str]) -> _Work:
        task, encoder = job["task"], self._encoder(job["model"])
        clips = self._amounts.clips(task)
        return _Work(
            read_bytes=self._spectrogram_bytes(task),
            flop=clips * encoder_flop(encoder, self._tokens(task)),
            storage_bytes=clips * self._tokens_bytes(encoder, task),
        )

    def _probe(self, job: dict[str, str]) -> _Work:
        task, encoder = job["task"], self._encoder(job["model"])
        probe = self._params.probe_of(task, job["method"])
        tokens, heard = self._tokens(task), 0.0
        own = probe_flop(probe, encoder, tokens=tokens, classes=_CLASSES)
        flop, tested = 0.0, 0.0
        live = self._plan.reading(task, job["method"]) != "tokens"
        for test in self._test_clips("probe", task, job["part"]):
            trained = probe.steps * probe.batch_size
            flop += own * (TRAINING * trained + test)
            if live:
                # queries inside the encoder are trained through it
                passes = TRAINING if probe.kind == "vqt" else 1
                flop += encoder_flop(encoder, tokens) * (passes * trained + test)
                heard += self._live_s(task, trained + test)
            tested += test
        read = self._heard_bytes(task)
        if not live:
            read = self._amounts.clips(task) * self._tokens_bytes(encoder, task)
        return _Work(read_bytes=read, flop=flop, heard_s=heard, storage_bytes=tested * _CLASSES * 4)

    def _finetune(self, job: dict[str, str]) -> _Work:
        task, encoder = job["task"], self._encoder(job["model"])
        settings = self._params.finetuning_of(task)
        trained = settings.steps * settings.batch_size
        tests = self._test_clips("finetune", task, job["part"])
        passes = sum(TRAINING * trained + test for test in tests)
        return _Work(
            read_bytes=self._heard_bytes(task),
            flop=passes * encoder_flop(encoder, self._tokens(task)),
            heard_s=self._live_s(task, len(tests) * trained + sum(tests)),
            storage_bytes=sum(tests) * _CLASSES * 4,
        )

    # Sizes

    def _encoder(self, model: str) -> Encoder:
        return self._params.models[model].encoder

    def _encoder_bytes(self, model: str) -> float:
        return parameters_of(self._encoder(model)) * _FLOAT_BYTES

    def _trained(self, encoder: Encoder, settings: Pretraining) -> float:
        decoder = settings.decoder
        width = getattr(decoder, "width", width_of(encoder))
        return parameters_of(encoder) + decoder.depth * 12 * width**2

    def _test_clips(self, stage: str, task: str, part: str) -> list[float]:
        """Clips that each run of a part is tested on."""
        name, _, seed = part.partition(".seed-")
        folds = [f for f in self._params.folds(task) if part == "all" or f.name == name]
        seeds = 1 if seed else len(getattr(self._params.seeds, stage))
        return [self._amounts.clips(task, fold.test) for fold in folds for _ in range(seeds)]

    def _frames(self, task: str) -> int:
        frames = round(self._amounts.clip_s(task) * _FRAMES_A_SECOND) + 1
        return max(frames, self._params.tasks[task].input.minimum_frames)

    def _tokens(self, task: str) -> int:
        return ceil(self._frames(task) / 16) * (_MEL_BINS // 16) + 1

    def _tokens_bytes(self, encoder: Encoder, task: str) -> float:
        return depth_of(encoder) * self._tokens(task) * width_of(encoder) * _HALF_BYTES

    def _pcm_bytes(self, task: str) -> float:
        return self._amounts.pcm_bytes(self._plan.dataset(task))

    def _spectrogram_bytes(self, task: str) -> float:
        return self._amounts.clips(task) * self._frames(task) * _MEL_BINS * _FLOAT_BYTES

    def _heard_bytes(self, task: str) -> float:
        cached = self._plan.cached(task)
        return self._spectrogram_bytes(task) if cached else self._pcm_bytes(task)

    def _live_s(self, task: str, clips: float) -> float:
        """Seconds of audio that pass the front end while training and testing."""
        return 0.0 if self._plan.cached(task) else clips * self._amounts.clip_s(task)

    def _everything_bytes(self) -> float:
        """Bytes behind the table: sources, recordings, tokens."""
        sources = sum(self._amounts.dataset(name).source_bytes for name in self._params.datasets)
        stored = sum(self._amounts.pcm_bytes(name) for name in self._params.datasets)
        tokens = sum(
            self._amounts.clips(task) * self._tokens_bytes(self._encoder(model), task)
            for model, _, task in self._plan.tokens
        )
        return sources + stored + tokens
