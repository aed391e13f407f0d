"""What a result says of a claim, and what it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.evaluation.cells import RunValue
from bat.paper.verdicts import Experiment, coverage, judge, margin_of, seed_means
from paper.results import AS20K, BY_ID, CLAIMS, DECLARED, ESC50, cell_for

CLAIM = BY_ID[AS20K]


def verdict(claim=CLAIM, *cells, **known):
    (found,) = judge([claim], cells, DECLARED, Experiment(**known))
    return found


def test_the_margin_is_declared_plus_rounding_plus_printed_spread():
    assert margin_of(CLAIM, DECLARED) == pytest.approx(0.5 + 0.005)
    assert margin_of(BY_ID[ESC50], DECLARED) == pytest.approx(0.5 + 0.005 + 1.7)


@pytest.mark.parametrize(
    ("off", "seeds", "expected"),
    [
        (0.0, (-0.05, 0.0, 0.05), "identical"),
        (0.004, (-0.05, 0.0, 0.05), "identical"),
        (0.1, (-0.05, 0.0, 0.05), "equivalent"),
        (-0.1, (-0.05, 0.0, 0.05), "equivalent"),
        (0.5, (-0.05, 0.0, 0.05), "undecided"),
        (-2.0, (-0.05, 0.0, 0.05), "different"),
        (2.0, (-0.05, 0.0, 0.05), "different"),
        (0.0, (-0.5, 0.0, 0.5), "undecided"),  # the right value by chance is no identity
        (2.0, (-2.0, 0.0, 2.0), "undecided"),
        (0.0, (0.0,), "undecided"),
        (9.0, (0.0,), "undecided"),
    ],
)
def test_verdicts(off, seeds, expected):
    found = verdict(CLAIM, cell_for(CLAIM, off, seeds=seeds))
    assert found.verdict == expected
    assert found.value == pytest.approx(CLAIM.value + off)
    assert found.n_seeds == len(seeds)
    if len(seeds) > 1:
        assert found.low < found.value < found.high


def test_a_verdict_says_why():
    assert "lies wholly above 37.70 ± 0.505" in verdict(CLAIM, cell_for(CLAIM, 3.0)).reason
    assert "wholly below" in verdict(CLAIM, cell_for(CLAIM, -3.0)).reason
    assert "crosses an end of" in verdict(CLAIM, cell_for(CLAIM, 0.5)).reason
    wide = cell_for(CLAIM, seeds=(-1.0, 0.0, 1.0))
    assert "is wider than" in verdict(CLAIM, wide).reason
    one = verdict(CLAIM, cell_for(CLAIM, seeds=(0.0,)))
    assert one.reason == "one seed says nothing about the spread"
    assert (one.low, one.high) == (None, None)


def test_noise_of_the_clips_alone_can_leave_a_claim_undecided():
    assert verdict(CLAIM, cell_for(CLAIM, clip_deviation=0.01)).verdict == "undecided"
    assert verdict(CLAIM, cell_for(CLAIM, clip_deviation=float("nan"))).verdict == "undecided"


def test_a_margin_of_a_single_metric_counts_for_it_alone():
    cell = cell_for(CLAIM, 1.5)
    settings = DECLARED.__class__(margin=0.5, margins={"mAP": 2.0}, confidence=0.9)
    (found,) = judge([CLAIM], [cell], settings)
    assert found.verdict == "equivalent"
    settings.margins = {"F1": 2.0}
    (found,) = judge([CLAIM], [cell], settings)
    assert found.verdict == "different"


def test_a_printed_spread_widens_the_margin():
    claim = BY_ID[ESC50]
    cell = cell_for(claim, 1.5, folds=5, clip_deviation=0.002)
    assert verdict(claim, cell).verdict == "equivalent"
    assert verdict(claim.model_copy(update={"spread": None}), cell).verdict == "different"


def test_folds_with_different_seeds_are_undecided():
    cell = cell_for(CLAIM, folds=2)
    found = verdict(CLAIM, cell.model_copy(update={"runs": cell.runs[:-1]}))
    assert found.verdict == "undecided"
    assert found.reason == "not every fold has the same seeds"
    twice = cell.model_copy(update={"runs": [*cell.runs, cell.runs[0]]})
    assert verdict(CLAIM, twice).verdict == "undecided"


def test_differences_between_folds_are_no_chance():
    """Folds are fixed: that they differ does not widen the interval, that seeds do does."""
    runs = [
        RunValue(fold=f"fold-{fold}", seed=seed, value=0.377 + shift + 0.0001 * seed)
        for fold, shift in enumerate((-0.1, 0.1))
        for seed in range(3)
    ]
    found = verdict(CLAIM, cell_for(CLAIM, runs=runs, n_folds=2))
    assert found.verdict == "equivalent"
    assert (found.n_folds, found.n_seeds) == (2, 3)


@given(
    values=st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_seeds_are_averaged_over_folds_in_whatever_order_they_come(values, order):
    runs = [
        RunValue(fold=f"fold-{fold}", seed=seed, value=value)
        for fold, of_fold in enumerate(values)
        for seed, value in enumerate(of_fold)
    ]
    order.shuffle(runs)
    found = seed_means(cell_for(CLAIM, runs=runs))
    assert found == pytest.approx(np.mean(values, axis=0))


def test_the_pretrained_model_goes_before_the_released_one():
    ours, released = cell_for(CLAIM, 3.0), cell_for(CLAIM, 0.1, model="BAT-released")
    known = {"published": ["BAT-released"]}
    assert verdict(CLAIM, ours, released, **known).cell == "BAT,cgp,AS-20k,mAP"
    found = verdict(CLAIM, released, **known)
    assert (found.cell, found.verdict) == ("BAT-released,cgp,AS-20k,mAP", "equivalent")
    assert "the published weights (BAT-released), not a pretraining of one's own" in found.given


def test_what_the_interval_does_not_cover_is_said():
    assert "one pretraining" in verdict(CLAIM, cell_for(CLAIM)).given
    assert "printed value without a spread" in verdict(CLAIM, cell_for(CLAIM)).given
    eat = BY_ID["v2.table-5.EAT.CGP.AS-20k.mAP"]
    assert "the published weights" in verdict(eat, cell_for(eat), published=["EAT"]).given
    fewer = verdict(CLAIM, cell_for(CLAIM, n_clips=17_142))
    assert "17,142 test clips, where the paper has 18,886" in fewer.given
    chosen = verdict(CLAIM, cell_for(CLAIM, comparison_set="both"))
    assert "the comparison set both" in chosen.given


def test_another_model_task_method_or_metric_stands_for_nothing():
    for change in ("model", "task", "method", "metric"):
        cell = cell_for(CLAIM).model_copy(update={change: "other"})
        assert verdict(CLAIM, cell).verdict == "not attempted"


def test_a_cost_is_exact():
    claim = BY_ID["v2.table-10.BAT.CGP.cost.parameters_M"]
    key = ("CGP", "parameters_M")
    assert verdict(claim, costs={key: 23.490539}).verdict == "identical"
    assert verdict(claim, costs={key: 23.44}).verdict == "different"
    assert verdict(claim).verdict == "not attempted"


def test_the_papers_machine_and_quoted_numbers_are_not_attempted():
    latency = verdict(BY_ID["v2.table-10.BAT.VQT.cost.latency_ms"])
    assert (latency.verdict, latency.reason) == (
        "not attempted", "measured on the paper's own machine",
    )  # fmt: skip
    quoted = BY_ID["v1.table-1.EAT.FT-reported.AS-20k.mAP"]
    assert "quotes" in verdict(quoted, *(cell_for(c) for c in CLAIMS if c.cells)).reason


def test_coverage_counts_every_claim_once():
    cells = [cell_for(claim) for claim in CLAIMS if claim.cells and claim.place == "Table 6"]
    lines = coverage(judge(CLAIMS, cells, DECLARED))
    assert lines[0].startswith("all: 8 of 254 claims attempted (")
    assert any(line.startswith("v2 Table 6: 8 of 8 claims attempted") for line in lines)
    totals = [int(line.split(" of ")[1].split()[0]) for line in lines]
    assert sum(totals[1:]) == totals[0]
