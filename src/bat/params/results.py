"""What is reported: the spread of numbers, and the figures."""

from typing import Annotated

from pydantic import Field, StringConstraints

from bat.params.base import Count, Distinct, Name, Positive, Seed, Share, Strict

Metric = Annotated[str, StringConstraints(pattern="^(accuracy|mAP|F1|frame_mAP|onset_F1|WER|CER)$")]


class Statistics(Strict):
    """Spread of the numbers in the table."""

    bootstrap_resamples: Count
    confidence: Share
    seed: Seed


class Equivalence(Strict):
    """How near the paper's value a result must be, declared before it is known.

    ``margin``: in points (per cent of the metric); ``margins``: others for some metrics.
    ``confidence``: of the two-sided interval that must lie inside; 0.9 makes each of the two
    one-sided tests one at 5 %.
    """

    margin: Positive
    margins: dict[Metric, Positive]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]


class PrototypeSweep(Strict):
    """CGP against its number of prototypes (the paper's Fig. 2)."""

    model: Name
    tasks: Distinct[Name]
    probe: Name
    prototypes: Distinct[Count]


class BlockFigure(Strict):
    """Linear probe per block over the gate weights per block (the paper's Figs. 4, 6 and 7)."""

    models: Distinct[Name]
    tasks: Distinct[Name]
    linear_probe: Name
    gated_probe: Name


class FrontendFigure(Strict):
    """The front ends side by side on one clip (the paper's Fig. 3)."""

    task: Name
    clip: Annotated[int, Field(ge=0)]


class AttentionFigure(Strict):
    """Attention maps with and without the gate on one clip (the paper's Fig. 5)."""

    models: Distinct[Name]
    task: Name
    clip: Annotated[int, Field(ge=0)]


class Figures(Strict):
    """What the figures show, null for those that are not drawn; extra probes are extra runs."""

    sweep: PrototypeSweep | None = None
    blocks: BlockFigure | None = None
    frontends: FrontendFigure | None = None
    attention: AttentionFigure | None = None
