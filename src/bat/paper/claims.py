"""The numbers that the paper prints, as data.

One row of ``claims.csv`` is one printed number. Whoever judges results by them must be able to say
by which: the file's hash stands here, so that an edited claim is noticed, and in every judgement.
"""

import csv
import hashlib
import io
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bat.errors import BatError

CLAIMS_SHA256 = "c088a0c20d0a5197718c17322c8552638c515709e86c42ffec9d5c2816a7322d"
# The paper's name of a model -> names in an experiment of what may stand for it, the best first.
MODELS: dict[str, tuple[str, ...]] = {
    "BAT": ("BAT", "BAT-released"),
    "BAT-S": ("BAT-S",),
    "EAT": ("EAT",),
    "SSLAM": ("SSLAM",),
    "BEATs": ("BEATs",),
    "legacy frontend, MLP target, no gate, CNN decoder": ("legacy-mlp-ungated-cnn",),
    "BAT frontend, MLP target, no gate, CNN decoder": ("bat-mlp-ungated-cnn",),
    "BAT frontend, EOB target, no gate, CNN decoder": ("bat-eob-ungated-cnn",),
    "BAT frontend, MLP target, gate, CNN decoder": ("bat-mlp-gated-cnn",),
    "BAT frontend, EOB target, gate, CNN decoder": ("bat-eob-gated-cnn",),
    "BAT frontend, EOB target, gate, ViT decoder 6 heads ratio 2": ("bat-eob-gated-vit-small",),
    # the last row of the ablation is BAT itself
    "BAT frontend, EOB target, gate, ViT decoder 12 heads ratio 4": ("BAT", "BAT-released"),
}
QUOTED = "FT reported"  # a number that the paper takes from another paper
METHODS = {
    "FT": "finetune",
    "CGP": "cgp",
    "PB": "protobin",
    "LP": "lp",
    "ASR": "asr",
    "VQT": "vqt",
    QUOTED: None,
}
COST = "cost, C=527"
TASKS = ("AS-2M", "AS-20k", "ESC-50", "SC-v2", "SED", "HSN", "LibriSpeech", COST)
# Largest value of each metric: of per cent, or of a cost.
_LARGEST = {
    **dict.fromkeys(["accuracy", "mAP", "F1", "frame_mAP", "onset_F1"], 100.0),
    **dict.fromkeys(["WER", "CER"], 1000.0),  # insertions have no limit
    **dict.fromkeys(["parameters_M", "latency_ms", "GMAC"], 1e4),
}
_COSTS = ("parameters_M", "latency_ms", "GMAC")
Text = Annotated[str, Field(min_length=1)]


class Claim(BaseModel):
    """One number that the paper prints.

    Attributes
    ----------
    id
        Stable name: version, place, model, method, task and metric, with dots.
    model, method, task, metric
        As the paper calls them.
    value
        In per cent, or in the unit of a cost.
    spread
        The printed standard deviation in points, on ESC-50 over folds; None where there is none.
    decimals
        As printed: 98.20 has two.
    source
        Where the number was read; ``secondary`` is not from the paper's own pages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Annotated[str, Field(pattern=r"^v\d\.[A-Za-z0-9_.-]+$")]
    version: Literal["v1", "v2"]
    place: Text
    model: str
    method: str
    task: str
    metric: str
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    spread: Annotated[float, Field(ge=0, le=100)] | None
    decimals: Annotated[int, Field(ge=0, le=6)]
    source: Text
    note: str

    @model_validator(mode="after")
    def _known_and_in_range(self) -> Self:
        for key, known in (("model", MODELS), ("method", METHODS), ("task", TASKS)):
            if getattr(self, key) not in known:
                found = getattr(self, key)
                raise ValueError(f"{key}: unknown {found!r}; known: {', '.join(known)}")
        if self.metric not in _LARGEST:
            raise ValueError(f"metric: unknown {self.metric!r}; known: {', '.join(_LARGEST)}")
        if (self.metric in _COSTS) != (self.task == COST):
            raise ValueError(f"metric: {self.metric} is not one of task {self.task}")
        if self.value > _LARGEST[self.metric]:
            largest = _LARGEST[self.metric]
            raise ValueError(f"value: {self.value} is above {largest:g}, the most of {self.metric}")
        return self

    @property
    def printed(self) -> str:
        """The number as the paper prints it."""
        return f"{self.value:.{self.decimals}f}"

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed decimal: how far rounding moves a number at most."""
        return 0.5 * 10.0**-self.decimals

    @property
    def cells(self) -> list[str]:
        """Names of the cells that may stand for this number, the best first; none for a cost."""
        method = METHODS[self.method]
        if method is None or self.task == COST:
            return []
        return [",".join([model, method, self.task, self.metric]) for model in MODELS[self.model]]


def read_claims(path: Path | None = None) -> list[Claim]:
    """Read the paper's claims.

    Parameters
    ----------
    path
        Another file of the same columns, whose hash is not known; by default the one that comes
        with this package.

    Raises
    ------
    BatError
        If the file that comes with the package was edited, or a line is not a claim, with an
        unknown name, a value out of range, or repeats another.
    """
    if path is not None:
        return _parsed(path.read_bytes(), str(path))
    content = files("bat.paper").joinpath("claims.csv").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != CLAIMS_SHA256:
        raise BatError(
            f"claims.csv was edited: expected sha256 {CLAIMS_SHA256}, found {found}; "
            "restore it from the repository"
        )
    return _parsed(content, "claims.csv")


def _parsed(content: bytes, origin: str) -> list[Claim]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BatError(f"{origin}: not a CSV file: {error}") from None
    columns = list(Claim.model_fields)
    if reader.fieldnames != columns:
        raise BatError(f"{origin}: line 1: expected columns {columns}, found {reader.fieldnames}")
    claims = [_claim(row, f"{origin}: line {line}") for line, row in rows]
    lines = [line for line, _ in rows]
    for key in ("id", "what it is about"):
        _refuse_repeats(claims, lines, key, origin)
    return claims


def _claim(row: dict[str, str], where: str) -> Claim:
    if None in row or None in row.values():
        raise BatError(f"{where}: expected {len(Claim.model_fields)} columns")
    try:
        claim = Claim.model_validate({**row, "spread": row["spread"] or None})
    except ValidationError as error:
        first = error.errors()[0]
        key = "".join(f"{part}: " for part in first["loc"] if part in row)
        raise BatError(f"{where}: {key}{first['msg'].removeprefix('Value error, ')}") from None
    if claim.printed != row["value"]:
        raise BatError(
            f"{where}: value: {row['value']!r} is not printed with {claim.decimals} decimals"
        )
    return claim


def _refuse_repeats(claims: list[Claim], lines: list[int], key: str, origin: str) -> None:
    names = [
        claim.id
        if key == "id"
        else (claim.version, claim.place, claim.model, claim.method, claim.task, claim.metric)
        for claim in claims
    ]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        where = [line for line, name in zip(lines, names, strict=True) if name == repeated[0]]
        raise BatError(f"{origin}: line {where[1]}: repeats line {where[0]} in {key}")
