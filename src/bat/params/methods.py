"""Probes and fine-tuning, and what runs of them are made of."""

from typing import Annotated, Literal

from pydantic import Field

from bat.params.base import Count, Distinct, Name, NotNegative, Positive, Seed, Share, Strict
from bat.params.models import Optimisation


class _Probe(Optimisation):
    dropout: Share


class LinearProbe(_Probe):
    """Linear probe (LP) on one block."""

    kind: Literal["lp"]
    pooling: Literal["cls", "mean"]
    block: int


class ConvexProbe(_Probe):
    """Linear probe on a softmax-weighted sum of all blocks (LCGP)."""

    kind: Literal["lcgp"]
    pooling: Literal["cls", "mean"]


class ConvexGatedProbe(_Probe):
    """Convex gated probing (CGP): a softmax over blocks, then prototypes."""

    kind: Literal["cgp"]
    pooling: Literal["cls", "mean"]
    prototypes: Count


class ProtoBin(_Probe):
    """Binarised prototypes on the last block (PB)."""

    kind: Literal["protobin"]
    prototypes: Count


class Head2Toe(_Probe):
    """All blocks concatenated, with a group lasso on the linear layer (H2T)."""

    kind: Literal["head2toe"]
    pooling: Literal["cls", "mean"]
    lasso: NotNegative


class VisualQueryTuning(_Probe):
    """Learned queries in every block of the live encoder (VQT)."""

    kind: Literal["vqt"]
    queries: Count
    head_norm: bool


class SpeechRecognition(_Probe):
    """Softmax over blocks, then a recurrent network and CTC (ASR)."""

    kind: Literal["asr"]
    hidden: Count


Probe = Annotated[
    LinearProbe
    | ConvexProbe
    | ConvexGatedProbe
    | ProtoBin
    | Head2Toe
    | VisualQueryTuning
    | SpeechRecognition,
    Field(discriminator="kind"),
]


class Masks(Strict):
    """Bands of the spectrogram set to zero: widest frequency and time bands, and how many."""

    frequency_bins: Count
    frames: Count
    repeats: Count


class Finetuning(Optimisation):
    """The whole encoder and a linear head, with layer-wise learning-rate decay.

    ``colour_noise`` and ``mixup`` are probabilities; ``time_roll`` moves a whole batch.
    """

    layer_decay: Share
    drop_path: Share
    dropout: Share
    pooling: Literal["cls", "mean"]
    colour_noise: Share
    time_roll: bool
    mixup: Share
    masks: Masks | None


class Baseline(Strict):
    """Logistic regression on the mean and deviation over time of every mel bin."""

    tasks: Distinct[Name]
    frontend: Name
    inverse_regularisation: Positive
    maximum_iterations: Count


class Seeds(Strict):
    """One number, one independent repetition."""

    pretrain: Seed
    probe: Distinct[Seed]
    finetune: Distinct[Seed]


class Grain(Strict):
    """How much one job does: a whole cell, one fold of it, or one fold and seed."""

    probe: Literal["cell", "fold", "run"]
    finetune: Literal["cell", "fold", "run"]


class Compute(Strict):
    """Numerical settings that may move the last bits of a result."""

    float32_matmul_precision: Literal["highest", "high", "medium"]
    training: Literal["float32", "bfloat16"]
    evaluation: Literal["float32", "bfloat16"]
