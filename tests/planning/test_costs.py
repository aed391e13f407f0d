"""Costs follow the method's arithmetic and the machine's rates."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from bat.errors import BatError
from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.params import load
from bat.planning import rates as module
from bat.planning.costs import Cost, Costs
from bat.planning.flops import decoder_flop, encoder_flop, pretraining_flop
from bat.planning.jobs import PlannedJob
from bat.planning.rates import ASSUMED, keep, known_rates
from bat.planning.report import stage_costs, together
from bat.workflow import Plan
from pipeline.tiny import REPOSITORY

SMALL, PAPER = REPOSITORY / "params.yaml", REPOSITORY / "config/paper.yaml"


def counted(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("model", ["bat-mini", "eat-mini"])
def test_the_encoder_has_as_many_as_torch_counts(model):
    encoder = load(SMALL).models[model].encoder
    built = AudioTransformer(
        width=encoder.width, depth=encoder.depth, heads=encoder.heads, gated=encoder.gated
    )
    found = counted(lambda: built(torch.randn(1, 1, 112, 128)))
    assert encoder_flop(encoder, 57) == pytest.approx(found, rel=0.15)


@pytest.mark.parametrize(
    ("model", "build"),
    [
        ("bat-mini", lambda d: ViTDecoder(
            width=128, decoder_width=d.width, depth=d.depth, heads=d.heads,
            mlp_ratio=d.mlp_ratio, grid=(7, 8),
        )),
        ("eat-mini", lambda d: CNNDecoder(
            width=128, depth=d.depth, groups=d.groups, grid=(7, 8)
        )),
    ],
)  # fmt: skip
def test_the_decoders_have_as_many_as_torch_counts(model, build):
    pretraining = load(SMALL).models[model].pretraining
    decoder = build(pretraining.decoder)
    found = counted(lambda: decoder(torch.randn(1, 11, 128), torch.arange(11)[None]))
    assert decoder_flop(pretraining, width=128, patches=56) == pytest.approx(found, rel=0.2)


def test_a_step_costs_the_teacher_once_and_each_view_three_times():
    params = load(PAPER)
    model = params.models["BAT"]
    views = model.pretraining.views
    one = pretraining_flop(
        model.encoder, model.pretraining.model_copy(update={"views": 1}), patches=512
    )
    two = pretraining_flop(
        model.encoder, model.pretraining.model_copy(update={"views": 2}), patches=512
    )
    teacher = encoder_flop(model.encoder, 513)
    every = pretraining_flop(model.encoder, model.pretraining, patches=512)
    assert every == pytest.approx(teacher + views * (two - one))


@pytest.fixture
def cached_rates(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FOLDER", tmp_path / "rates")
    return tmp_path / "rates"


def test_without_measurements_every_rate_is_said_to_be_assumed(cached_rates):
    known = known_rates()
    assert known.rates == ASSUMED
    assert set(known.origin.values()) == {"assumed"}


def test_what_was_measured_here_wins_over_another_machine_and_that_over_the_assumed(cached_rates):
    cached_rates.mkdir()
    (cached_rates / "gpu1.json").write_text(json.dumps({"gpu_flop_s": 2e14, "start_s": 9.0}))
    keep({"start_s": 3.0})
    known = known_rates()
    assert (known.rates.start_s, known.rates.gpu_flop_s) == (3.0, 2e14)
    assert known.origin["gpu_flop_s"] == "measured on gpu1"
    assert known.origin["hash_bytes_s"] == "assumed"


def test_a_damaged_file_of_rates_is_named(cached_rates):
    cached_rates.mkdir()
    (cached_rates / "gpu1.json").write_text("[]")
    with pytest.raises(BatError, match=r"gpu1\.json: damaged"):
        known_rates()


def pretraining(model):
    return PlannedJob(
        rule="pretrain",
        wildcards={"model": model, "group": "as2m"},
        inputs=frozenset(),
        outputs=frozenset(),
    )


def test_the_papers_pretraining_is_gpu_work_and_the_default_one_is_not():
    paper = Costs(Plan(PAPER), ASSUMED).of(pretraining("BAT"))
    assert paper.gpu_s > 100 * 3600 * 0.3
    small = Costs(Plan(SMALL), ASSUMED).of(pretraining("bat-mini"))
    assert small.gpu_s == 0
    assert 30 < small.cpu_s < 600


@given(st.floats(1.1, 10))
@settings(max_examples=10, deadline=None)
def test_a_faster_gpu_costs_less_and_never_more_than_in_proportion(factor):
    plan = Plan(PAPER)
    slow = Costs(plan, ASSUMED).of(pretraining("BAT"))
    fast = Costs(plan, replace(ASSUMED, gpu_flop_s=ASSUMED.gpu_flop_s * factor))
    ratio = slow.gpu_s / fast.of(pretraining("BAT")).gpu_s
    assert 1 < ratio <= factor * 1.0000001


def test_a_manifest_that_is_there_is_counted(tmp_path, monkeypatch):
    import polars as pl

    monkeypatch.chdir(tmp_path)
    costs = Costs(Plan(SMALL), ASSUMED)
    job = PlannedJob(
        rule="frontend",
        wildcards={"frontend": "bat", "task": "speaker"},
        inputs=frozenset(),
        outputs=frozenset(),
    )
    guessed = costs.of(job).storage_bytes
    (tmp_path / "data/manifest/speaker").mkdir(parents=True)
    pl.DataFrame({"clip": range(1125)}).write_parquet("data/manifest/speaker/manifest.parquet")
    found = Costs(Plan(SMALL), ASSUMED).of(job).storage_bytes
    assert found == 1125 * 101 * 128 * 4
    assert guessed == pytest.approx(found, rel=0.1)
    shutil.rmtree(tmp_path / "data")


def test_sums_add_up_but_for_scratch():
    costs = [Cost(cpu_s=1, scratch_bytes=5), Cost(cpu_s=2, scratch_bytes=3)]
    assert together(costs) == Cost(cpu_s=3, scratch_bytes=5)
    assert together([]) == Cost()


def test_every_rule_of_a_plan_has_a_row_in_the_order_of_the_work():
    jobs = [
        PlannedJob(rule=rule, wildcards={}, inputs=frozenset(), outputs=frozenset())
        for rule in ("all", "table", "audit")
    ]
    rows = stage_costs(jobs, Costs(Plan(SMALL), ASSUMED))
    assert list(rows) == ["audit", "table", "all"]
    assert rows["all"][1] == Cost()
