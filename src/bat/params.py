"""The parameters of an experiment: read, validated and cut into what each stage sees.

``params.yaml`` is the only place for scientific settings. :func:`load` turns it into
:class:`Params`; :class:`bat.workflow.Plan` hands each stage its own settings.
An unknown key, a wrong type or a reference to something undefined is an error that names the key,
what was found and what is allowed.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bat.errors import BatError

# Names become folder names and wildcards of the workflow: nothing a shell or a path would notice.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Steps = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0)]
T = TypeVar("T")


def _without_repeats(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError(f"each value may stand here only once; found {values}")
    return values


# What makes one job, one row or one column each: at least one, and none twice.
Distinct = Annotated[list[T], Field(min_length=1), AfterValidator(_without_repeats)]

# Names that the pipeline gives to files and rows of its own.
_TAKEN = {"tasks": "ledger", "models": "log-mel", "probes": "finetune"}


class Strict(BaseModel):
    """A section of the parameters: no unknown keys, no silent conversions, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PackageIndexSource(Strict):
    """A file published on the Python package index."""

    kind: Literal["package-index"]
    package: Name
    version: Name
    sha256: Sha256
    inner: str | None = None
    inner_sha256: Sha256 | None = None
    licence: str


class FileSource(Strict):
    """A local archive."""

    kind: Literal["file"]
    path: str
    sha256: Sha256
    inner: str | None = None
    inner_sha256: Sha256 | None = None
    licence: str


Source = Annotated[PackageIndexSource | FileSource, Field(discriminator="kind")]


class Data(Strict):
    """How recordings become clips."""

    rate_hz: Count
    clip_s: Positive
    minimum_rms: Annotated[float, Field(ge=0)]
    maximum_bad_share: Share


class MultiClassTask(Strict):
    """One label per clip: clips are windows of the recordings."""

    kind: Literal["multi-class"]
    loss: Literal["cross_entropy"]
    metrics: Distinct[Literal["accuracy", "mAP"]]


class Mixing(Strict):
    """How mixtures are made, each of windows of one meeting."""

    mixtures_per_clip: Positive
    maximum_speakers: Count
    gain_range_db: Annotated[float, Field(ge=0)]
    seed: Seed


class MixtureTask(Strict):
    """Several labels per clip: mixtures of windows of one meeting."""

    kind: Literal["multi-label"]
    loss: Literal["asymmetric", "binary_cross_entropy"]
    metrics: Distinct[Literal["mAP", "F1"]]
    mixing: Mixing


Task = Annotated[MultiClassTask | MixtureTask, Field(discriminator="kind")]


class Group(Strict):
    """A pretraining group: its encoder never hears the meetings it is tested on."""

    pretrain: list[Name]
    test: list[Name]


class BatFrontend(Strict):
    """Decibel mel spectrogram, min-max normalised per clip (the paper's front end)."""

    kind: Literal["bat"]
    n_fft: Count
    hop: Count
    mel_bins: Count
    top_db: Positive
    standardise: bool


class LegacyFrontend(Strict):
    """Kaldi filter banks, standardised with (x - mean) / (2 deviations)."""

    kind: Literal["legacy"]
    mel_bins: Count
    standardise: Literal[True]


Frontend = Annotated[BatFrontend | LegacyFrontend, Field(discriminator="kind")]


class Encoder(Strict):
    """Shape of the encoder."""

    width: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive
    gated: bool
    patch_size: Count
    position_order: Literal["frequency-major", "time-major"]

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads or self.width % 4:
            raise ValueError(
                f"width {self.width} must be divisible by heads {self.heads} and by 4 "
                "(two-dimensional sin-cos positions)"
            )
        return self


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
    minimum_learning_rate: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
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
    """Masked latent regression."""

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


class Model(Strict):
    """A row of the main table; without ``pretraining`` the encoder stays as initialised."""

    frontend: Name
    encoder: Encoder
    pretraining: Pretraining | None


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
    lasso: Annotated[float, Field(ge=0)]


Probe = Annotated[
    LinearProbe | ConvexProbe | ConvexGatedProbe | ProtoBin | Head2Toe, Field(discriminator="kind")
]


class Finetuning(Optimisation):
    """The whole encoder and a linear head, with layer-wise learning-rate decay."""

    layer_decay: Share
    drop_path: Share
    dropout: Share
    pooling: Literal["cls", "mean"]
    time_roll: bool


class Baseline(Strict):
    """Logistic regression on the mean and deviation over time of every mel bin."""

    frontend: Name
    inverse_regularisation: Positive
    maximum_iterations: Count


class Seeds(Strict):
    """One number, one independent repetition."""

    pretrain: Seed
    probe: Distinct[Seed]
    finetune: Distinct[Seed]


class Statistics(Strict):
    """Spread of the numbers in the table."""

    bootstrap_resamples: Count
    confidence: Share
    seed: Seed


class Grain(Strict):
    """How much one job does: a whole cell, one fold of it, or one fold and seed."""

    probe: Literal["cell", "fold", "run"]
    finetune: Literal["cell", "fold", "run"]


class PrototypeSweep(Strict):
    """CGP against its number of prototypes (the paper's Fig. 2)."""

    model: Name
    task: Name
    probe: Name
    prototypes: Distinct[Count]


class BlockFigure(Strict):
    """Linear probe per block over the gate weights per block (the paper's Fig. 4)."""

    task: Name
    linear_probe: Name
    gated_probe: Name


class FrontendFigure(Strict):
    """The front ends side by side on one clip (the paper's Fig. 3)."""

    task: Name
    clip: Annotated[int, Field(ge=0)]


class Figures(Strict):
    """What the figures show; their extra probes are runs of their own."""

    sweep: PrototypeSweep
    blocks: BlockFigure
    frontends: FrontendFigure


class Compute(Strict):
    """Numerical settings that may move the last bits of a result."""

    float32_matmul_precision: Literal["highest", "high", "medium"]


class Params(Strict):
    """The whole experiment."""

    source: Source
    data: Data
    tasks: dict[Name, Task]
    groups: Annotated[dict[Name, Group], Field(min_length=1)]
    pretraining_clips: Name
    frontends: dict[Name, Frontend]
    models: dict[Name, Model]
    probes: dict[Name, Probe]
    finetuning: Finetuning
    baseline: Baseline
    seeds: Seeds
    statistics: Statistics
    figures: Figures
    grain: Grain
    compute: Compute

    @property
    def folds(self) -> list[str]:
        """Every meeting, in order: each is the test fold once."""
        return sorted(meeting for group in self.groups.values() for meeting in group.test)

    def group_of(self, fold: str) -> str:
        """Name of the pretraining group whose encoder may be tested on ``fold``.

        Raises
        ------
        BatError
            If no group tests on it.
        """
        for name, group in self.groups.items():
            if fold in group.test:
                return name
        raise BatError(f"unknown fold {fold!r}; known: {', '.join(self.folds)}")

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        for section, taken in _TAKEN.items():
            if taken in getattr(self, section):
                raise ValueError(f"{section}.{taken}: the pipeline itself uses this name")
        if "all" in self.folds:
            raise ValueError("groups: 'all' stands for all meetings, no meeting may be called so")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for name, model in self.models.items():
            _require(model.frontend, self.frontends, f"models.{name}.frontend")
        _require(self.baseline.frontend, self.frontends, "baseline.frontend")
        _require(self.pretraining_clips, self.tasks, "pretraining_clips")
        figures = self.figures
        _require(figures.sweep.model, self.models, "figures.sweep.model")
        for key in ("sweep", "blocks", "frontends"):
            _require(getattr(figures, key).task, self.tasks, f"figures.{key}.task")
        _require_kind(figures.sweep.probe, self.probes, "cgp", "figures.sweep.probe")
        _require_kind(figures.blocks.linear_probe, self.probes, "lp", "figures.blocks.linear_probe")
        _require_kind(figures.blocks.gated_probe, self.probes, "cgp", "figures.blocks.gated_probe")
        return self

    @model_validator(mode="after")
    def _groups_are_cross_fitted(self) -> Self:
        tested = [meeting for group in self.groups.values() for meeting in group.test]
        if len(tested) != len(set(tested)):
            raise ValueError("groups: a meeting is the test fold of more than one group")
        for name, group in self.groups.items():
            both = sorted(set(group.pretrain) & set(group.test))
            if both:
                raise ValueError(f"groups.{name}: {both} would be both pretrained and tested on")
            if not group.pretrain or not group.test:
                raise ValueError(f"groups.{name}: needs meetings under both pretrain and test")
        return self


def _require(name: str, known: dict[str, Any], key: str) -> None:
    if name not in known:
        raise ValueError(f"{key}: {name!r} is not defined; allowed: {', '.join(known)}")


def _require_kind(name: str, probes: dict[str, Any], kind: str, key: str) -> None:
    _require(name, {other: probe for other, probe in probes.items() if probe.kind == kind}, key)


def load(path: Path) -> Params:
    """Read and validate a parameter file.

    Raises
    ------
    BatError
        Where the file is missing, is not YAML, or a key is unknown, missing or has a wrong value.
    """
    if not path.is_file():
        raise BatError(f"{path}: no such parameter file")
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        first = " ".join(str(error).split())
        raise BatError(f"{path}: not a valid YAML file: {first}") from None
    return parse(content, str(path))


def parse(content: object, origin: str) -> Params:
    """Validate parameters that were read from ``origin`` (used in messages only)."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise BatError(f"{origin}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    problems = error.errors()
    key, allowed = _locate(problems[0]["loc"])
    message = _message(problems[0], allowed)
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{key}: {message}" if key else message) + rest


def _message(problem: Any, allowed: list[str]) -> str:
    found = repr(problem["input"])
    found = found if len(found) <= 60 else found[:57] + "..."
    if problem["type"] == "extra_forbidden":
        return f"unknown key (value {found}); allowed: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return "this key is missing"
    if problem["type"] == "union_tag_not_found":
        return f"its key {problem['ctx']['discriminator']} is missing; found {found}"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    text = problem["msg"].removeprefix("Input ")
    return f"{text[0].lower()}{text[1:]}; found {found}"


def _locate(location: tuple[int | str, ...]) -> tuple[str, list[str]]:
    """Key as the file spells it, and the keys allowed beside it.

    pydantic adds to the path of an error which kind of a union it took; the schema tells these
    tags from the keys of the file.
    """
    schema: Any = Params.model_json_schema()
    definitions = schema["$defs"]
    node, keys, siblings = schema, [], sorted(schema["properties"])
    for part in location:
        node = _dereference(node, definitions)
        if "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"].get(part, "#/$defs/Strict")}
            continue
        if part == "[key]":  # it is the key itself, named before, that is wrong
            continue
        keys.append(str(part) if str(part).isprintable() else repr(part))
        siblings = sorted(node.get("properties", {}))
        # names that the user chose (of models, tasks ...) are pattern properties of their section
        chosen: Any = next(iter(node.get("patternProperties", {}).values()), {})
        node = node.get("properties", {}).get(part, chosen)
    return ".".join(keys), siblings


def _dereference(node: Any, definitions: Any) -> Any:
    while True:
        if "$ref" in node:
            node = definitions.get(node["$ref"].rsplit("/", 1)[1], {})
        elif "anyOf" in node:
            node = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        else:
            return node if isinstance(node, dict) else {}
