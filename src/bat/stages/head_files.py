"""Trained heads on disk: their weights, and all that is needed to use them again."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bat.data.labels import LabelOrder
from bat.errors import BatError
from bat.models.weights import load_strict
from bat.params.base import Strict
from bat.params.methods import Compute
from bat.probes import PROBES, build
from bat.probes.base import Probe
from bat.provenance.hashing import canonical_json
from bat.provenance.recipe import Recipe
from bat.settings import Goal, Run

# One key only: safetensors does not keep the order of several.
_KEY = "heads"


class HeadsDescription(Strict):
    """What the heads of one file have in common, and the runs that they are of.

    Attributes
    ----------
    selection
        Model, task and method that they were trained for.
    order, classes
        Name of the order of the classes, and the classes.
    kind, options
        Of the probe, as `bat.probes.build` takes them.
    depth, width, outputs
        Blocks and width of the encoder, and number of logits.
    goal, compute, test_batch_size
        How they were tested.
    runs
        Fold and seed of each head.
    encoders
        SHA-256 of the encoder of each pretraining group.
    """

    selection: dict[str, str]
    order: str
    classes: list[str]
    kind: str
    options: dict[str, Any]
    depth: int
    width: int
    outputs: int
    goal: Goal
    compute: Compute
    test_batch_size: int
    runs: list[Run]
    encoders: dict[str, str]

    @property
    def label_order(self) -> LabelOrder:
        """The classes with the name of their order."""
        return LabelOrder(name=self.order, classes=tuple(self.classes))


def name_of(one: Run) -> str:
    """Name a run: fold and seed, as in "meeting-3/0"."""
    return f"{one.fold}/{one.seed}"


def encoder_behind(tokens: Recipe) -> str:
    """Return the hash of the encoder that made cached tokens, from their record.

    Raises
    ------
    BatError
        If the record is of something else.
    """
    encoders = [known.sha256 for known in tokens.inputs if known.role == "encoder"]
    if len(encoders) != 1:
        raise BatError(f"expected the record of cached tokens, found one of stage {tokens.stage}")
    return encoders[0]


def write_heads(path: Path, weights: dict[str, Tensor], description: HeadsDescription) -> None:
    """Write weights, named run/parameter, with their description; the same give the same bytes."""
    text = canonical_json(description.model_dump(mode="json"))
    save_file(weights, path, {_KEY: text})


def read_heads(path: Path) -> tuple[HeadsDescription, dict[str, Tensor]]:
    """Read what :func:`write_heads` wrote.

    Raises
    ------
    BatError
        If the file is absent, damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BatError(f"{path}: expected a safetensors file, found: {error}") from error
    if _KEY not in metadata:
        raise BatError(f"{path}: expected heads that say what they are, found weights only")
    try:
        description = HeadsDescription.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BatError(f"{path}: not the heads of this version: {key}: {first['msg']}") from None
    return description, weights


def build_trained(
    description: HeadsDescription, weights: dict[str, Tensor], one: Run, origin: Path
) -> Probe:
    """Build the head of one run, with its weights.

    Raises
    ------
    BatError
        If it reads a live encoder, or its weights are missing or do not fit.
    """
    kind = description.kind
    if kind not in PROBES:
        raise BatError(f"{origin}: {kind} reads the live encoder, not cached tokens")
    head = build(
        kind,
        depth=description.depth,
        width=description.width,
        classes=description.outputs,
        **description.options,
    )
    prefix = f"{name_of(one)}/"
    of_run = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    # Buffers are constants of the architecture, which the file does not repeat.
    load_strict(head, dict(head.named_buffers()) | of_run, f"{origin}: run {name_of(one)}")
    return head
