"""Which jobs there are, and which of them a change sends round again."""

from functools import cache

import pytest

from bat.errors import BatError
from bat.provenance import fingerprint
from bat.settings import STAGES
from bat.workflow import Plan
from params.conftest import REPOSITORY, at, default_content, write_yaml

EVERY_RESULT = {"probe", "finetune", "baseline"}

# A key, another value for it, and exactly the stages of which some job must run again. What
# follows through changed input files is not listed: that is Snakemake's part.
CHANGES = [
    ("source/licence", "BSD", {"download"}),
    ("source/sha256", "0" * 64, {"download"}),
    ("source/inner_sha256", "0" * 64, {"download", "prepare"}),
    ("source/inner", "other.zip", {"download", "prepare", "resample"}),
    ("data/rate_hz", 12345, {"prepare", "resample", "frontend"}),
    ("data/clip_s", 2.34, {"prepare"}),
    ("data/minimum_rms", 0.123, {"prepare"}),
    ("data/maximum_bad_share", 0.523, {"prepare"}),
    ("tasks/mixture/mixing/gain_range_db", 3.21, {"prepare", "table", *EVERY_RESULT}),
    ("tasks/speaker/metrics", ["accuracy"], {"table", *EVERY_RESULT}),
    ("groups/early/pretrain", ["meeting-0"], {"pretrain", "audit"}),
    ("groups/late/test", ["meeting-0", "meeting-1"],
     {"prepare", "pretrain", "probe", "finetune", "baseline", "audit", "table"}),
    ("pretraining_clips", "mixture", set()),
    ("frontends/bat/top_db", 71.2, {"frontend"}),
    ("frontends/bat/standardise", False, {"frontend", "pretrain"}),
    ("models/bat-mini/frontend", "legacy", {"pretrain"}),
    ("models/bat-mini/encoder/gated", False, {"pretrain"}),
    ("models/bat-mini/pretraining/views", 13, {"pretrain"}),
    ("models/eat-mini/pretraining", None, {"pretrain", "table"}),
    ("probes/lcgp/learning_rate", 0.123, {"probe"}),
    ("finetuning/layer_decay", 0.523, {"finetune"}),
    ("baseline/inverse_regularisation", 2.34, {"baseline"}),
    ("seeds/pretrain", 12345, {"pretrain"}),
    ("seeds/probe", [12345], {"probe", "table"}),
    ("seeds/finetune", [12345], {"finetune", "table"}),
    ("statistics/confidence", 0.923, {"table"}),
    ("figures/frontends/clip", 123, {"figure"}),
    ("grain/probe", "fold", set()),
    ("grain/finetune", "run", set()),
    ("compute/float32_matmul_precision", "high", {"pretrain", "embed", "probe", "finetune"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def plan():
    return Plan(REPOSITORY / "params.yaml")


def plan_of(folder, content):
    write_yaml(folder / "params.yaml", content)
    return Plan(folder / "params.yaml")


def plan_with(folder, dotted, value):
    content = default_content()
    *section, key = dotted.split("/")
    at(content, *section)[key] = value
    return plan_of(folder, content)


def selections(plan, stage):
    """Every job of a stage."""
    params = plan.params
    cells = {
        "frontend": [{"frontend": f, "task": t} for f in plan.frontends for t in params.tasks],
        "pretrain": [{"model": m, "group": g} for m in params.models for g in params.groups],
        "embed": [
            {"model": m, "group": g, "task": t}
            for m in params.models
            for g in params.groups
            for t in params.tasks
        ],
        "probe": [
            {"model": m, "task": t, "method": method, "part": "all"}
            for m, t, method in [*plan.table_probes(), *plan.figure_probes()]
        ],
        "finetune": [
            {"model": m, "task": t, "part": "all"} for m in params.models for t in params.tasks
        ],
        "baseline": [{"task": t} for t in params.tasks],
    }
    return cells.get(stage, [{}])


def digests(plan, jobs):
    return {stage: [plan.wanted(stage, **job) for job in of] for stage, of in jobs.items()}


@cache
def default_jobs():
    plan = Plan(REPOSITORY / "params.yaml")
    jobs = {stage: selections(plan, stage) for stage in STAGES}
    return jobs, digests(plan, jobs)


def moved_stages(changed):
    jobs, before = default_jobs()
    after = digests(changed, jobs)
    return {stage for stage in STAGES if before[stage] != after[stage]}


# --- wanted -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dotted", "value", "expected"), CHANGES, ids=[change[0] for change in CHANGES]
)
def test_a_changed_setting_moves_exactly_the_stages_that_see_it(tmp_path, dotted, value, expected):
    assert moved_stages(plan_with(tmp_path, dotted, value)) == expected


def test_every_section_was_tried():
    assert {change[0].split("/")[0] for change in CHANGES} == set(default_content())
    for dotted, value, _ in CHANGES:
        assert at(default_content(), *dotted.split("/")) != value, dotted


def test_comments_and_the_order_of_keys_move_nothing(tmp_path):
    content = dict(reversed(default_content().items()))
    content["finetuning"] = dict(reversed(content["finetuning"].items()))
    write_yaml(tmp_path / "params.yaml", content)
    assert moved_stages(Plan(tmp_path / "params.yaml")) == set()


def test_the_order_of_the_probes_is_the_order_of_rows_and_nothing_else(tmp_path):
    content = default_content()
    content["probes"] = dict(reversed(content["probes"].items()))
    assert moved_stages(plan_of(tmp_path, content)) == {"table"}


def test_a_change_in_one_probe_leaves_the_others_alone(plan, tmp_path):
    changed = plan_with(tmp_path, "probes/cgp/prototypes", 12345)
    for method in plan.params.probes:
        job = {"model": "bat-mini", "task": "speaker", "method": method, "part": "all"}
        same = plan.wanted("probe", **job) == changed.wanted("probe", **job)
        assert same == (method != "cgp"), method


def test_a_change_in_one_model_leaves_the_others_alone(plan, tmp_path):
    changed = plan_with(tmp_path, "models/bat-mini/pretraining/steps", 54321)
    for model in plan.params.models:
        job = {"model": model, "group": "early"}
        same = plan.wanted("pretrain", **job) == changed.wanted("pretrain", **job)
        assert same == (model != "bat-mini"), model


def test_a_change_in_one_seed_leaves_the_parts_of_other_seeds_alone(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    plan = plan_with(tmp_path / "one", "seeds/probe", [0, 1])
    changed = plan_with(tmp_path / "two", "seeds/probe", [0, 9])
    for part, expected in (("meeting-0.seed-0", True), ("meeting-0", False), ("all", False)):
        job = {"model": "bat-mini", "task": "speaker", "method": "lp", "part": part}
        assert (plan.wanted("probe", **job) == changed.wanted("probe", **job)) == expected


def test_jobs_with_different_selections_are_different_jobs(plan):
    for stage in STAGES:
        jobs = [tuple(sorted(job.items())) for job in selections(plan, stage)]
        distinct = {plan.wanted(stage, **dict(job)) for job in jobs}
        assert len(distinct) == len(set(jobs)), stage


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("bat.finetuning", {"finetune"}),
        ("bat.stages.probe", {"probe"}),
        ("bat.probes.cgp", {"probe"}),
        ("bat.probes.lp", {"probe", "finetune"}),
        ("bat.probes.base", {"probe", "finetune"}),
        ("bat.pretraining.masking", {"pretrain"}),
        ("bat.evaluation.statistics", {"probe", "finetune", "baseline", "table"}),
        ("bat.evaluation.figures", {"figure"}),
        ("bat.provenance.job", set(STAGES)),
        ("bat.params", set(STAGES)),
        ("bat.cli", set()),
    ],
)
def test_a_changed_module_moves_exactly_the_stages_that_import_it(monkeypatch, module, expected):
    plan = Plan(REPOSITORY / "params.yaml")
    default_jobs()
    source, real = fingerprint._source_of(module), fingerprint.sha256_of_file
    monkeypatch.setattr(
        fingerprint, "sha256_of_file", lambda path: "new" if path == source else real(path)
    )
    assert moved_stages(plan) == expected


# --- parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grain", "parts"),
    [
        ("cell", ["all"]),
        ("fold", [f"meeting-{i}" for i in range(5)]),
        ("run", [f"meeting-{i}.seed-{seed}" for i in range(5) for seed in (3, 8)]),
    ],
)
def test_a_cell_is_split_as_the_grain_says(tmp_path, grain, parts):
    content = default_content()
    content["seeds"]["probe"] = [3, 8]
    content["grain"] = {"probe": grain, "finetune": "cell"}
    plan = plan_of(tmp_path, content)
    assert plan.parts("probe") == parts
    assert plan.parts("finetune") == ["all"]


@pytest.mark.parametrize("grain", ["cell", "fold", "run"])
@pytest.mark.parametrize("stage", ["probe", "finetune"])
def test_the_parts_of_a_cell_hold_every_run_once(tmp_path, stage, grain):
    plan = plan_with(tmp_path, f"grain/{stage}", grain)
    job = {"model": "bat-mini", "task": "speaker"} | ({"method": "lp"} if stage == "probe" else {})
    runs = [
        (run.fold, run.seed)
        for part in plan.parts(stage)
        for run in plan.settings(stage, job | {"part": part}).runs
    ]
    seeds = getattr(plan.params.seeds, stage)
    assert sorted(runs) == [(fold, seed) for fold in plan.params.folds for seed in seeds]


@pytest.mark.parametrize("grain", ["cell", "fold", "run"])
def test_a_part_needs_the_groups_of_its_runs_and_no_others(tmp_path, grain):
    plan = plan_with(tmp_path, "grain/probe", grain)
    for part in plan.parts("probe"):
        job = {"model": "bat-mini", "task": "speaker", "method": "lp", "part": part}
        runs = plan.settings("probe", job).runs
        assert set(plan.groups_of(part)) == {run.group for run in runs}
        assert all(run.fold in plan.params.groups[run.group].test for run in runs)


@pytest.mark.parametrize("part", ["meeting-9", "meeting-0.seed-99", "nothing", ""])
def test_a_part_that_is_none_is_refused(plan, part):
    job = {"model": "bat-mini", "task": "speaker", "method": "lp", "part": part}
    with pytest.raises(BatError, match="no fold or seed belongs to part"):
        plan.settings("probe", job)


def test_the_groups_of_an_unknown_part_are_refused(plan):
    with pytest.raises(BatError, match="unknown fold 'meeting-9'"):
        plan.groups_of("meeting-9.seed-0")


@pytest.mark.parametrize(
    ("stage", "job", "problem"),
    [
        (
            "frontend",
            {"frontend": "x", "task": "speaker"},
            "unknown front end 'x'; known: bat, legacy",
        ),
        ("pretrain", {"model": "x", "group": "early"}, "unknown model 'x'; known: bat-mini"),
        ("pretrain", {"model": "bat-mini", "group": "x"}, "unknown group 'x'; known: early, late"),
        ("baseline", {"task": "x"}, "unknown task 'x'; known: speaker, mixture"),
        ("finetune", {"model": "bat-mini", "task": "x", "part": "all"}, "unknown task 'x'"),
        (
            "probe",
            {"model": "bat-mini", "task": "speaker", "method": "x", "part": "all"},
            "unknown method",
        ),
    ],
)
def test_a_job_about_something_undefined_is_refused(plan, stage, job, problem):
    with pytest.raises(BatError, match=problem):
        plan.settings(stage, job)


# --- which probes -----------------------------------------------------------------------------


def test_figures_probe_every_block_of_every_model_and_every_number_of_prototypes(tmp_path):
    content = default_content()
    for model in content["models"].values():
        model["encoder"]["depth"] = 3
    content["figures"]["sweep"]["prototypes"] = [5, 6]
    cells = plan_of(tmp_path, content).figure_probes()
    # the last block is what the plain linear probe reads
    probes = ["lp@block=-3", "lp@block=-2", "lp"]
    blocks = {(m, probe) for m in content["models"] for probe in probes}
    gates = {(m, "cgp") for m in content["models"]}
    sweep = {("bat-mini", "cgp@prototypes=5"), ("bat-mini", "cgp@prototypes=6")}
    assert {(m, method) for m, _, method in cells} == blocks | gates | sweep
    assert {task for _, task, _ in cells} == {"speaker"}
    assert len(cells) == len(set(cells))


def test_only_front_ends_that_something_uses_are_computed(tmp_path):
    content = default_content()
    del content["models"]["eat-mini"]
    assert plan_of(tmp_path, content).frontends == ["bat"]
