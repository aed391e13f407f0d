"""What the paper says in words, tested on made runs of known truth."""

import pytest

from bat.paper.contrasts import Evidence, contrasts
from bat.paper.qualitative import judge_statements
from bat.paper.statements import read_statements
from paper.experiment import PARAMS
from paper.results import CLAIMS

STATEMENTS = {one.id: one for one in read_statements()}
MODELS = {name: model.model_dump(mode="json") for name, model in PARAMS.models.items()}
NOISE = (-0.2, 0.1, 0.1)


def runs(value, noise=NOISE, folds=("a", "b")):
    """A result in every fold and seed, with folds 10 points apart."""
    return {
        (fold, seed): value + 10 * place + points
        for place, fold in enumerate(folds)
        for seed, points in enumerate(noise)
    }


def judged(statement, **known):
    evidence = Evidence(**{"models": MODELS, "pretrained": ["BAT", "EAT"]} | known)
    (found,) = judge_statements([STATEMENTS[statement]], evidence, CLAIMS, 0.9)
    return found


@pytest.mark.parametrize(
    ("cgp", "lp", "expected"),
    [
        (runs(60), runs(50), "holds"),
        (runs(50), runs(60), "does not hold"),
        (runs(50.1, (-9, 0, 9)), runs(50), "undecided"),
        (runs(60, (0.0,)), runs(50, (0.0,)), "undecided"),  # one seed
        (runs(60), runs(50, (0.0, 0.1)), "undecided"),  # other seeds
        (runs(60), runs(50, folds=("a", "c")), "undecided"),
    ],
)
def test_a_statement_holds_or_not_or_nobody_knows(cgp, lp, expected):
    values = {("BAT", "cgp", "t"): cgp, ("BAT", "lp", "t"): lp}
    found = judged("cgp-at-least-lp", values=values)
    assert found.holding == expected
    assert [one.holding for one in found.findings] == [expected]


def test_what_folds_share_cancels():
    """Folds that differ by 10 points do not hide a difference of one."""
    found = judged("cgp-at-least-lp", values={
        ("BAT", "cgp", "t"): runs(51), ("BAT", "lp", "t"): runs(50),
    })  # fmt: skip
    (one,) = found.findings
    assert one.difference == pytest.approx(1)
    assert (one.low, one.high) == pytest.approx((1, 1))
    assert (one.n_seeds, one.n_folds) == (3, 2)
    assert one.given == "one pretraining; these test clips"


def test_chance_of_the_clips_counts_where_it_is_known():
    values = {("BAT", "cgp", "t"): runs(51), ("BAT", "lp", "t"): runs(50)}
    found = judged("cgp-at-least-lp", values=values, clip_deviations=dict.fromkeys(values, 2.0))
    assert found.holding == "undecided"
    assert found.findings[0].given == "one pretraining"


def test_one_difference_below_zero_is_enough_to_deny():
    values = {("BAT", "cgp", task): runs(60) for task in ("t", "u")}
    values |= {("BAT", "lp", "t"): runs(50), ("BAT", "protobin", "u"): runs(61)}
    assert judged("cgp-best-probe", values=values).holding == "does not hold"
    assert judged("cgp-at-least-lp", values=values).holding == "holds"


def test_encoders_that_heard_nothing_are_not_asked():
    values = {("other", "cgp", "t"): runs(60), ("other", "lp", "t"): runs(50)}
    found = judged("cgp-at-least-lp", values=values)
    assert (found.holding, found.findings) == ("not attempted", [])
    assert "no pretrained model" in found.reason


def test_an_error_rate_is_better_when_it_is_lower():
    values = {("BAT", "cgp", "t"): runs(10), ("BAT", "lp", "t"): runs(20)}
    assert judged("cgp-at-least-lp", values=values, lower_is_better=["t"]).holding == "holds"


@pytest.mark.parametrize(
    ("statement", "better", "worse"),
    [
        ("gate-helps-eob", "bat-eob-gated-cnn", "bat-eob-ungated-cnn"),
        ("eob-helps-gated", "bat-eob-gated-cnn", "bat-mlp-gated-cnn"),
        ("eob-needs-gate", "bat-mlp-ungated-cnn", "bat-eob-ungated-cnn"),
    ],
)
def test_the_papers_ablation_has_one_pair_for_each_statement_on_models(statement, better, worse):
    values = {(name, "cgp", "AS-20k"): runs(50) for name in MODELS}
    evidence = Evidence(values=values, models=MODELS)
    found = [one.what for one in contrasts(STATEMENTS[statement], evidence)]
    assert found == [f"AS-20k, cgp: {better} - {worse}"]
    assert STATEMENTS[statement].printed == [(better, worse)]
    values[better, "cgp", "AS-20k"] = runs(52)
    assert judged(statement, values=values).holding == "holds"


def test_models_that_differ_in_more_are_no_pair():
    changed = MODELS | {"bat-eob-ungated-cnn": MODELS["bat-eob-ungated-cnn"] | {"frontend": "eat"}}
    values = {(name, "cgp", "AS-20k"): runs(50) for name in MODELS}
    found = judged("gate-helps-eob", values=values, models=changed)
    assert found.holding == "not attempted"
    assert "no two models here differ in encoder.gated alone" in found.reason


BLOCKS = ["lp@block=-3", "lp@block=-2", "lp"]


def peaks(bat, cnn):
    """Block results of BAT and of the same with the CNN decoder, with peaks by seed."""
    values, gates = {}, {}
    for model, of_seed in (("BAT", bat), ("bat-eob-gated-cnn", cnn)):
        for place, method in enumerate(BLOCKS):
            values[model, method, "t"] = {
                ("a", seed): 50.0 + 5 * (place + 1 == peak) for seed, peak in enumerate(of_seed)
            }
        gates[model, "t"] = {
            ("a", seed): [0.6 if block == peak else 0.2 for block in (1, 2, 3)]
            for seed, peak in enumerate(of_seed)
        }
    blocks = {(model, "t"): BLOCKS for model in ("BAT", "bat-eob-gated-cnn")}
    return {"values": values, "gates": gates, "blocks": blocks}


@pytest.mark.parametrize(
    ("bat", "cnn", "expected"),
    [
        ((3, 3, 3), (2, 2, 2), "holds"),
        ((3, 3, 3), (2, 1, 2), "holds"),
        ((2, 2, 2), (3, 3, 3), "does not hold"),
        ((2, 2, 2), (2, 2, 2), "undecided"),
        ((3, 1, 3), (2, 2, 2), "undecided"),
    ],
)
def test_the_peak_is_compared_in_every_seed(bat, cnn, expected):
    found = judged("vit-decoder-later-peak", **peaks(bat, cnn))
    assert found.holding == expected
    assert [one.what.split(": ")[0] for one in found.findings] == [
        "t, peak block of the linear probe", "t, peak block of the gate",
    ]  # fmt: skip


SWEEP = {("BAT", "t"): {"cgp@prototypes=10": 10, "cgp": 1000, "cgp@prototypes=100": 100}}


@pytest.mark.parametrize(
    ("results", "helps", "diminishes"),
    [
        ((50, 60, 65), "holds", "holds"),
        ((50, 55, 65), "holds", "does not hold"),
        ((65, 60, 50), "does not hold", "holds"),
        ((50, 60, 70), "holds", "undecided"),
    ],
)
def test_prototypes_are_compared_in_the_order_of_their_number(results, helps, diminishes):
    methods = ("cgp@prototypes=10", "cgp@prototypes=100", "cgp")
    values = {("BAT", m, "t"): runs(r) for m, r in zip(methods, results, strict=True)}
    assert judged("more-prototypes-help", values=values, sweep=SWEEP).holding == helps
    assert judged("prototypes-diminish", values=values, sweep=SWEEP).holding == diminishes


def test_gains_are_per_doubling_where_steps_are_unequal():
    methods = {"cgp@prototypes=2": 2, "cgp@prototypes=4": 4, "cgp": 64}
    # one doubling gives 4 points, four doublings give 8: half as much each
    values = {("BAT", m, "t"): runs(r) for m, r in zip(methods, (50, 54, 62), strict=True)}
    found = judged("prototypes-diminish", values=values, sweep={("BAT", "t"): methods})
    assert found.findings[0].difference == pytest.approx(4 - 2)
    short = {("BAT", "t"): {"cgp@prototypes=2": 2, "cgp": 64}}
    assert judged("prototypes-diminish", values=values, sweep=short).findings == []


def test_what_was_not_run_is_not_attempted():
    found = judged("more-prototypes-help", values={}, sweep=SWEEP)
    assert (found.holding, found.reason) == ("not attempted", "not all of it was run")


def test_what_was_not_run_is_said_beside_what_holds():
    values = {("BAT", m, "t"): runs(r) for m, r in (("cgp@prototypes=10", 50), ("cgp", 60))}
    sweep = {("BAT", task): {"cgp@prototypes=10": 10, "cgp": 1000} for task in ("t", "u")}
    found = judged("more-prototypes-help", values=values, sweep=sweep)
    assert found.holding == "holds"
    assert found.reason == "1 of 1 differences are above zero; 1 were not run"


def test_the_papers_own_numbers_are_asked_too():
    none = Evidence(values={})
    by_id = {one.statement.id: one for one in judge_statements(
        list(STATEMENTS.values()), none, CLAIMS, 0.9
    )}  # fmt: skip
    assert all(one.holding == "not attempted" for one in by_id.values())
    best = by_id["cgp-best-probe"].printed
    # 24 pairs of model, task and metric with LP and PB each
    assert best.startswith("94 of 96 printed pairs agree; not ")
    assert "v2.table-5.BAT.CGP.ESC-50.accuracy 94.55 < 95.75" in best
    assert by_id["cgp-at-least-lp"].printed == "48 of 48 printed pairs agree"
    assert by_id["gate-helps-eob"].printed == "2 of 2 printed pairs agree"
    assert by_id["vit-decoder-later-peak"].printed == ""


def test_statements_have_names_of_their_own():
    assert len(STATEMENTS) == len(read_statements()) == 8
