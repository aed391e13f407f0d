"""Front ends, encoders, and how encoders come to their weights."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from bat.errors import BatError
from bat.params.base import Count, Name, NotNegative, Positive, Sha256, Share, Steps, Strict


class Given(Strict):
    """Statistics of a data set's filter banks, as published."""

    mean: float
    deviation: Positive


# null: not standardised; "pretraining": by the statistics of the clips that an encoder heard.
Statistics = Literal["pretraining"] | Given | None


class BatFrontend(Strict):
    """Decibel mel spectrogram, min-max normalised per clip (the paper's front end)."""

    kind: Literal["bat"]
    n_fft: Count
    hop: Count
    mel_bins: Count
    maximum_hz: Positive
    top_db: Positive
    statistics: Statistics


class LegacyFrontend(Strict):
    """Kaldi filter banks, standardised with (x - mean) / (2 deviations).

    EAT and SSLAM: hanning window, the waveform's mean taken off. BEATs: povey window, waveform
    scaled by 2^15.
    """

    kind: Literal["legacy"]
    mel_bins: Count
    window: Literal["hanning", "povey"]
    subtract_mean: bool
    scale: Positive
    statistics: Statistics


Frontend = Annotated[BatFrontend | LegacyFrontend, Field(discriminator="kind")]


class AudioTransformer(Strict):
    """The paper's encoder; ungated also that of EAT and SSLAM.

    ``time_patches``: length of the position grid; null takes that of the pretraining clips.
    """

    kind: Literal["audio-transformer"]
    width: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive
    gated: bool
    patch_size: Count
    time_patches: Count | None = None
    position_order: Literal["frequency-major", "time-major"]

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads or self.width % 4:
            raise ValueError(
                f"width {self.width} must be divisible by heads {self.heads} and by 4 "
                "(two-dimensional sin-cos positions)"
            )
        return self


class Beats(Strict):
    """BEATs' encoder, a baseline."""

    kind: Literal["beats"]
    width: Count
    depth: Count
    heads: Count
    mlp_width: Count
    patch_width: Count


class Timm(Strict):
    """Any vision transformer of timm by name, on spectrograms.

    ``patch_size`` repeats what the model has; ``depth`` too, where figures show its blocks.
    """

    kind: Literal["timm"]
    name: Name
    depth: Count | None = None
    patch_size: Count = 16
    pretrained: bool = False


class Adapter(Strict):
    """An encoder of one's own: a Python file and the function in it that builds the encoder.

    ``patch_size`` repeats what the encoder has; ``depth`` too, where figures show its blocks.
    """

    kind: Literal["adapter"]
    factory: Annotated[str, StringConstraints(pattern=r"^[^:]+\.py:[A-Za-z_]\w*$")]
    depth: Count | None = None
    patch_size: Count = 16
    options: dict[str, Any] = Field(default_factory=dict)


Encoder = Annotated[AudioTransformer | Beats | Timm | Adapter, Field(discriminator="kind")]


class VitDecoder(Strict):
    """Transformer decoder over the full grid."""

    kind: Literal["vit"]
    width: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive


class CnnDecoder(Strict):
    """Convolutional decoder over the full grid (the baseline's)."""

    kind: Literal["cnn"]
    depth: Count
    groups: Count


Decoder = Annotated[VitDecoder | CnnDecoder, Field(discriminator="kind")]


class Optimisation(Strict):
    """AdamW with linear warm-up and cosine decay."""

    steps: Count
    warmup_steps: Steps
    batch_size: Count
    learning_rate: Positive
    minimum_learning_rate: NotNegative
    weight_decay: NotNegative
    betas: Annotated[list[Share], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _warm_up_fits(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be below steps {self.steps}")
        return self


class Ema(Strict):
    """Decay of the teacher: linear from start to end over ramp_steps, then constant."""

    start: Share
    end: Share
    ramp_steps: Count


class Pretraining(Optimisation):
    """Masked latent regression.

    ``batch_size`` is that of all ranks together; ``micro_batch_size`` are the clips of one forward
    pass, null is the whole batch. A micro-batch draws its own masks and rolls, and sums are taken
    over it first: that is why it belongs to the parameters and the number of ranks does not.
    ``explosion``: a loss above this multiple of its running median stops the training; null is
    no such limit.
    """

    micro_batch_size: Count | None = None
    explosion: Positive | None = 10.0

    views: Count
    mask_ratio: Share
    mask_block: Count
    mask_adjust: Share
    target: Literal["eob", "mlp"]
    decoder: Decoder
    ema: Ema
    gradient_clip: Positive | None
    time_roll: bool
    keep: Literal["student", "teacher"]
    log_every: Count

    @model_validator(mode="after")
    def _micro_batches_fill_the_batch(self) -> Self:
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        return self


class Weights(Strict):
    """A published checkpoint: weights of the catalogue (``bat sources``), or a file of one's own.

    ``sha256`` null: whatever is found is recorded, not checked.
    """

    layout: Literal["bat", "bat-training", "eat", "beats"]
    published: Name | None = None
    path: str | None = None
    sha256: Sha256 | None = None
    branch: Literal["student", "ema"] | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.published is None) == (self.path is None):
            raise ValueError("either published, a name of the catalogue, or path")
        if self.published is not None:
            from bat.acquisition.catalogue import published_weights

            try:
                published_weights(self.published)
            except BatError as error:
                raise ValueError(str(error)) from error
        return self


class Model(Strict):
    """A row of the main table.

    With ``pretraining`` the pipeline trains the encoder, with ``weights`` it converts a published
    one, with neither the encoder stays as initialised. ``tasks`` and ``methods`` restrict what is
    measured; null is all.
    """

    frontend: Name
    encoder: Encoder
    pretraining: Pretraining | None = None
    weights: Weights | None = None
    tasks: list[Name] | None = None
    methods: list[Name] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.pretraining and self.weights:
            raise ValueError("either pretraining or weights, not both")
        if self.pretraining and self.encoder.kind != "audio-transformer":
            raise ValueError(f"an encoder of kind {self.encoder.kind} cannot be pretrained here")
        return self
