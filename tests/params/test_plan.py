"""Which jobs there are, what they read, and which of them a change sends round again."""

from functools import cache

import pytest

from bat import workflow
from bat.errors import BatError
from bat.params import parse
from bat.provenance import fingerprint
from bat.settings import STAGES
from bat.workflow import Plan
from params.conftest import (
    REPOSITORY,
    at,
    changed,
    default_content,
    wide_content,
)

EVERY_RESULT = {"probe", "finetune", "baseline"}
# On the live encoder nothing is cached: what changes how a clip sounds goes to every reader.
HEARING = {"probe", "finetune"}

# A key, another value for it, and exactly the stages of which some job is new or must run again.
# What follows through changed input files is not listed: that is Snakemake's part.
CHANGES = [
    ("datasets/meetings/source/licence", "BSD", {"download"}),
    ("datasets/meetings/source/sha256", "0" * 64, {"download"}),
    ("datasets/meetings/source/inner_sha256", "0" * 64, {"download", "resample"}),
    ("datasets/meetings/source/inner", "other.zip", {"download", "resample"}),
    ("datasets/meetings/layout", {"kind": "csv", "table": "x.csv"}, {"resample"}),
    ("datasets/meetings/rate_hz", 12345, {"resample", "frontend"}),
    ("datasets/meetings/minimum_duration_s", 2.34, {"resample"}),
    ("datasets/meetings/excludes", ["silent"], {"resample"}),
    ("datasets/meetings/excluded", {"x.wav": "no audio"}, {"resample"}),
    ("datasets/meetings/maximum_bad_share", 0.523, {"resample"}),
    ("tasks/mixture/clips/gain_range_db", 3.21, {"prepare"}),
    ("tasks/speaker/clips/clip_s", 2.34, {"prepare"}),
    ("tasks/speaker/input/samples", 12345, {"frontend"}),
    ("tasks/speaker/input/minimum_frames", 160, {"pretrain", "embed", *HEARING}),
    ("tasks/mixture/input/minimum_frames", 160, {"embed", *HEARING}),
    ("tasks/mixture/input/frontends", {"bat": {"top_db": 71.2}}, {"frontend"}),
    ("tasks/speaker/metrics", ["accuracy"], {"table", *EVERY_RESULT}),
    ("tasks/mixture/loss", "binary_cross_entropy", EVERY_RESULT),
    ("tasks/mixture/recipes", {"lp": {"steps": 123}}, {"probe"}),
    ("tasks/mixture/recipes", {"probes": {"steps": 123}}, {"probe"}),
    ("tasks/speaker/recipes", {"finetune": {"steps": 123}}, {"finetune"}),
    # the sweep counts from the task's own number of prototypes
    ("tasks/speaker/recipes", {"cgp": {"prototypes": 32}}, {"probe", "figure"}),
    ("tasks/speaker/sampling", {"kind": "inverse-first-label"}, HEARING),
    ("tasks/speaker/test_batch_size", 12, HEARING),
    ("tasks/mixture/methods", ["lp"], {"probe", "finetune"}),
    ("groups/early/pretrain", ["meeting-0"], {"pretrain", "audit"}),
    ("groups/late/test", ["meeting-0", "meeting-1", "meeting-2", "elsewhere"],
     {"pretrain", "audit"}),
    ("groups", {"a": {"pretrain": ["meeting-0"], "test": ["meeting-3", "meeting-4"]},
                "b": {"pretrain": ["meeting-3"], "test": ["meeting-0", "meeting-1"]},
                "c": {"pretrain": ["meeting-4"], "test": ["meeting-2"]}},
     {"pretrain", "embed", "audit", *EVERY_RESULT}),
    ("pretraining_clips", "mixture", set()),
    ("frontends/bat/top_db", 71.2, {"frontend"}),
    ("frontends/bat/statistics", None, {"frontend", "pretrain"}),
    ("frontends/bat/statistics", {"mean": 0.5, "deviation": 0.25}, {"frontend", "pretrain"}),
    ("models/bat-mini/frontend", "legacy", {"pretrain", "figure"}),
    ("models/bat-mini/encoder/gated", False, {"pretrain"}),
    ("models/bat-mini/pretraining/views", 13, {"pretrain"}),
    ("models/bat-mini/pretraining/micro_batch_size", 8, {"pretrain"}),
    ("models/eat-mini/pretraining", None, {"pretrain", "table"}),
    ("models/eat-mini/tasks", ["speaker"], {"frontend", "embed", "probe", "finetune"}),
    ("models/eat-mini/methods", ["lp"], {"probe", "finetune"}),
    ("probes/lcgp/learning_rate", 0.123, {"probe"}),
    ("probes/cgp/prototypes", 32, {"probe", "figure"}),
    ("finetuning/layer_decay", 0.523, {"finetune"}),
    ("baseline/inverse_regularisation", 2.34, {"baseline"}),
    ("baseline/tasks", ["speaker"], {"baseline"}),
    ("baseline", None, {"baseline"}),
    ("seeds/pretrain", 12345, {"pretrain"}),
    ("seeds/probe", [12345], {"probe", "table"}),
    ("seeds/finetune", [12345], {"finetune", "table"}),
    ("statistics/confidence", 0.923, {"table"}),
    # what is judged by them is no job
    ("equivalence/margin", 0.7, set()),
    ("figures/frontends/clip", 123, {"figure"}),
    ("figures/sweep/prototypes", [8, 64], {"probe", "figure"}),
    ("figures/blocks", None, {"probe", "figure"}),
    ("probes/spare", at(default_content(), "probes", "lp"), {"table"}),
    ("grain/probe", "fold", {"probe"}),
    ("grain/finetune", "run", {"finetune"}),
    ("compute/float32_matmul_precision", "high", {"pretrain", "embed", "probe", "finetune"}),
]  # fmt: skip

ONLY = at(wide_content(), "tasks", "books", "only")

# The same on the wide experiment, for what the default one has no use for.
WIDE_CHANGES = [
    ("datasets/words/source/path", "/elsewhere", {"inventory", "resample"}),
    ("datasets/words/source/licence", "BSD", {"inventory"}),
    ("datasets/words/rate_hz", 12345, {"resample", *HEARING}),
    # a terabyte is not fetched again for what can be said anew of what is here
    ("datasets/scenes/layout/order", "alphabetical", {"account"}),
    ("datasets/scenes/excluded", {"x": "no audio"}, {"account"}),
    ("datasets/scenes/layout/parts", ["eval"], {"acquire", "account"}),
    ("datasets/scenes/source/mirror", "agkphysics", {"acquire"}),
    ("datasets/scenes/source/revision", "1" * 40, {"acquire"}),
    (
        "datasets/scenes/source/youtube",
        {"seconds_between_requests": 5.0, "maximum_clips": 9},
        {"acquire"},
    ),
    ("datasets/scenes/rate_hz", 12345, {"acquire", "account"}),
    # pretraining hears waveforms here
    ("datasets/meetings/rate_hz", 12345, {"resample", "frontend", "pretrain"}),
    ("tasks/heard/clips/clip_s", 2.34, {"prepare"}),
    ("tasks/heard/parts", [f"meeting-{i}" for i in range(6)], {"prepare"}),
    ("tasks/heard/input/samples", 12345, {"pretrain"}),
    ("tasks/heard/input/minimum_frames", 160, {"pretrain"}),
    ("tasks/heard/input/frontends", {"bat": {"top_db": 71.2}}, {"pretrain"}),
    ("tasks/heard/input/padding", "waveform", {"pretrain"}),
    ("tasks/books/input/padding", "waveform", {"probe"}),
    ("tasks/words/clips/chunks/chunk_s", 0.5, {"prepare"}),
    ("tasks/books/only", None, {"prepare"}),
    ("tasks/books/only/sha256", "0" * 64, {"prepare"}),
    ("tasks/books/only/parts", ["dev-clean", "test-clean"], {"prepare"}),
    ("tasks/heard/only", ONLY | {"parts": ["meeting-3"]}, {"prepare"}),
    ("tasks/words/folds/test", ["elsewhere"], {"prepare", "table", *HEARING}),
    ("tasks/words/folds/validation", ["elsewhere"], {"prepare", *HEARING}),
    ("tasks/words/input/samples", 12345, HEARING),
    ("tasks/words/input/frontends/bat/top_db", 71.2, HEARING),
    ("tasks/words/recipes/probes/batch_size", 12, {"probe"}),
    ("tasks/words/recipes/finetune/colour_noise", 0.523, {"finetune"}),
    ("tasks/words/transforms/gaussian_noise", 0.03, HEARING),
    ("tasks/words/sampling/clips_per_epoch", 123, HEARING),
    ("tasks/words/selection/every", 20, HEARING),
    ("tasks/rooms/decoding/threshold", 0.523, {"probe"}),
    ("tasks/books/metrics", ["CER"], {"probe", "table"}),
    ("pretraining_clips", "speaker", {"pretrain"}),
    ("pretraining_clips", "quiet", {"frontend", "pretrain"}),
    # nobody hears the meetings: the first group's encoder may be tested on all of them
    ("pretraining_clips", "scenes", {"convert", "pretrain", "embed", *EVERY_RESULT}),
    # words has a top_db of its own
    ("frontends/bat/top_db", 71.2, {"frontend", "pretrain", "probe"}),
    ("frontends/bat/hop", 161, {"frontend", "pretrain", *HEARING}),
    ("frontends/published/statistics/mean", 0.5, {"frontend", "probe"}),
    ("models/beats/weights/path", "/elsewhere", {"convert"}),
    ("models/beats/encoder/depth", 3, {"convert"}),
    ("models/released/weights/published", "sslam", {"weights", "convert"}),
    ("models/eat/weights/branch", "student", {"convert"}),
    ("models/eat/weights", None, {"convert", "pretrain", "table"}),
    ("models/own/encoder/options/size", 2, {"pretrain"}),
    ("models/timm/encoder/pretrained", False, {"pretrain"}),
    # the model that is measured by nothing else needs no tokens any more
    ("probes/lcgp", at(wide_content(), "probes", "vqt"), {"embed", "probe"}),
    ("probes/vqt/queries", 3, {"probe"}),
    ("probes/asr/hidden", 33, {"probe"}),
    ("baseline/frontend", "spare", {"frontend", "baseline"}),
    ("figures/frontends", None, {"frontend", "figure"}),
    # a model that is in no row of the table
    ("figures/sweep/model", "bare", {"pretrain", "embed", "probe", "figure"}),
    ("figures/attention/models", ["bare"], {"pretrain", "figure"}),
    ("compute/training", "bfloat16", {"pretrain", "embed", "probe", "finetune"}),
]


def by_roots(code_of):
    """Fingerprint each set of modules once: no test changes one on the disk."""
    once = cache(code_of)
    return lambda roots: once(tuple(roots))


UNCHANGED = by_roots(fingerprint.code_of)


@pytest.fixture(autouse=True)
def unchanged_code(monkeypatch):
    monkeypatch.setattr(workflow, "code_of", UNCHANGED)


@pytest.fixture(scope="module")
def plan():
    return Plan(REPOSITORY / "params.yaml")


@pytest.fixture(scope="module")
def wide_plan(tmp_path_factory):
    return plan_of(tmp_path_factory.mktemp("wide"), wide_content())


def plan_of(folder, content):
    """Plan some content as if it stood in a file, which would take long to write and to read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "load", lambda path: parse(content, str(path)))
        return Plan(folder / "params.yaml")


def plan_with(folder, dotted, value):
    return plan_of(folder, changed(default_content(), dotted, value))


def jobs(plan):
    """Every job of the experiment, by stage."""
    params = plan.params

    def each(key, names):
        return [{key: name} for name in names]

    def of(keys, rows):
        return [dict(zip(keys, row, strict=True)) for row in rows]

    return {
        "download": each("dataset", plan.archives),
        "inventory": each("dataset", plan.folders),
        "acquire": each("dataset", plan.acquired),
        "account": each("dataset", plan.acquired),
        "resample": each("dataset", [*plan.archives, *plan.folders]),
        "weights": each("weights", plan.fetched),
        "prepare": each("task", params.tasks),
        "frontend": of(["frontend", "task"], plan.spectrograms),
        "convert": of(["model", "group"], [e for e in plan.encoders if e[0] in plan.published]),
        "pretrain": of(["model", "group"], [e for e in plan.encoders if e[0] in plan.trained]),
        "embed": of(["model", "group", "task"], plan.tokens),
        "probe": [
            {"model": model, "task": task, "method": method, "part": part}
            for model, task, method in plan.every_probe
            for part in plan.parts("probe", task)
        ],
        "finetune": [
            {"model": model, "task": task, "part": part}
            for model, task in plan.finetuned
            for part in plan.parts("finetune", task)
        ],
        "baseline": each("task", plan.baselines),
        "figure": [{}],
        "audit": [{}],
        "table": [{}],
    }


def digests(plan):
    """Every job of the experiment with its digest, by stage."""
    return {
        stage: {tuple(sorted(job.items())): plan.wanted(stage, **job) for job in of}
        for stage, of in jobs(plan).items()
    }


@cache
def default_digests():
    return digests(Plan(REPOSITORY / "params.yaml"))


def moved_stages(before, after):
    """Stages of which some job is new, gone or to be run again."""
    return {stage for stage in STAGES if before[stage] != after[stage]}


# --- wanted -----------------------------------------------------------------------------------


def test_every_stage_has_jobs_in_the_wide_experiment(wide_plan):
    assert set(jobs(wide_plan)) == set(STAGES)
    assert all(jobs(wide_plan).values())


@pytest.mark.parametrize(
    ("dotted", "value", "expected"), CHANGES, ids=[f"{c[0]}={c[1]}"[:70] for c in CHANGES]
)
def test_a_changed_setting_moves_exactly_the_stages_that_see_it(tmp_path, dotted, value, expected):
    after = digests(plan_with(tmp_path, dotted, value))
    assert moved_stages(default_digests(), after) == expected


@pytest.fixture(scope="module")
def wide_digests(wide_plan):
    return digests(wide_plan)


@pytest.mark.parametrize(
    ("dotted", "value", "expected"), WIDE_CHANGES, ids=[f"{c[0]}={c[1]}"[:70] for c in WIDE_CHANGES]
)
def test_a_changed_setting_of_the_wide_experiment_moves_exactly_the_stages_that_see_it(
    tmp_path, wide_digests, dotted, value, expected
):
    after = digests(plan_of(tmp_path, changed(wide_content(), dotted, value)))
    assert moved_stages(wide_digests, after) == expected


def test_every_section_was_tried():
    assert {change[0].split("/")[0] for change in CHANGES} == set(default_content())
    for content, changes in ((default_content(), CHANGES), (wide_content(), WIDE_CHANGES)):
        for dotted, value, _ in changes:
            *section, key = dotted.split("/")
            assert at(content, *section).get(key) != value, dotted


def test_comments_and_the_order_of_keys_move_nothing(tmp_path):
    content = dict(reversed(default_content().items()))
    content["finetuning"] = dict(reversed(content["finetuning"].items()))
    after = digests(plan_of(tmp_path, content))
    assert moved_stages(default_digests(), after) == set()


def test_the_order_of_the_probes_is_the_order_of_rows_and_nothing_else(tmp_path):
    content = default_content()
    content["probes"] = dict(reversed(content["probes"].items()))
    after = digests(plan_of(tmp_path, content))
    assert moved_stages(default_digests(), after) == {"table"}


def test_a_data_set_that_no_task_uses_moves_no_result(tmp_path):
    content = default_content()
    content["datasets"]["spare"] = content["datasets"]["meetings"]
    after = digests(plan_of(tmp_path, content))
    assert moved_stages(default_digests(), after) == {"download", "resample"}


def test_a_change_in_one_probe_leaves_the_others_alone(plan, tmp_path):
    after = plan_with(tmp_path, "probes/cgp/prototypes", 12345)
    for method in plan.params.probes:
        job = {"model": "bat-mini", "task": "speaker", "method": method, "part": "all"}
        same = plan.wanted("probe", **job) == after.wanted("probe", **job)
        assert same == (method != "cgp"), method


def test_a_change_in_one_model_leaves_the_others_alone(plan, tmp_path):
    after = plan_with(tmp_path, "models/bat-mini/pretraining/steps", 54321)
    for model in plan.params.models:
        job = {"model": model, "group": "early"}
        same = plan.wanted("pretrain", **job) == after.wanted("pretrain", **job)
        assert same == (model != "bat-mini"), model


def test_a_change_in_one_task_leaves_the_jobs_of_others_alone(wide_plan, tmp_path):
    content = wide_content()
    content["tasks"]["words"] |= {"test_batch_size": 5, "recipes": {}, "metrics": ["mAP"]}
    content["tasks"]["words"]["input"]["samples"] = 12345
    after = digests(plan_of(tmp_path, content))
    for stage, before in digests(wide_plan).items():
        for job, digest in before.items():
            here = dict(job).get("task") == "words" and stage in HEARING
            assert (after[stage][job] != digest) == (here or stage == "table"), (stage, job)


def test_a_recipe_of_a_task_reaches_its_probes_and_no_others(wide_plan):
    def probe(task, method):
        job = {"model": "bat-mini", "task": task, "method": method, "part": "all"}
        return wide_plan.settings("probe", job).probe

    assert [probe("words", m).batch_size for m in ("lp", "cgp", "vqt")] == [13, 13, 13]
    assert probe("words", "cgp").prototypes == 7
    assert probe("rooms", "cgp") == wide_plan.params.probes["cgp"]
    job = {"model": "bat-mini", "task": "words", "part": "all"}
    tuned = wide_plan.settings("finetune", job).finetuning
    assert (tuned.colour_noise, tuned.masks.frames) == (0.3, 32)
    assert tuned.batch_size == wide_plan.params.finetuning.batch_size


def test_a_change_in_one_seed_leaves_the_parts_of_other_seeds_alone(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    plan = plan_with(tmp_path / "one", "seeds/probe", [0, 1])
    after = plan_with(tmp_path / "two", "seeds/probe", [0, 9])
    for part, expected in (("meeting-0.seed-0", True), ("meeting-0", False), ("all", False)):
        job = {"model": "bat-mini", "task": "speaker", "method": "lp", "part": part}
        assert (plan.wanted("probe", **job) == after.wanted("probe", **job)) == expected


def test_jobs_with_different_selections_are_different_jobs(wide_plan):
    for stage, of in digests(wide_plan).items():
        assert len(set(of.values())) == len(of), stage


def test_a_users_own_encoder_is_code_of_its_pretraining(tmp_path):
    factory = tmp_path / "own.py"
    factory.write_text("def build(): ...", encoding="utf-8")
    content = wide_content()
    content["models"]["own"]["encoder"]["factory"] = f"{factory}:build"
    plan = plan_of(tmp_path, content)
    before = {m: plan.wanted("pretrain", model=m, group="early") for m in ("own", "bat-mini")}
    factory.write_text("def build(): pass", encoding="utf-8")
    assert plan.wanted("pretrain", model="own", group="early") != before["own"]
    assert plan.wanted("pretrain", model="bat-mini", group="early") == before["bat-mini"]
    factory.unlink()
    with pytest.raises(BatError, match=r"own\.py: the encoder's file is not there"):
        plan.wanted("pretrain", model="own", group="early")


# --- code -------------------------------------------------------------------------------------

ENCODER_READERS = {"pretrain", "embed", "finetune", "figure", "convert"}


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("bat.finetuning", {"finetune"}),
        ("bat.stages.probe", {"probe"}),
        ("bat.stages.convert", {"convert"}),
        ("bat.stages.inventory", {"inventory"}),
        ("bat.stages.reading.cached", {"probe"}),
        ("bat.stages.reading.live", {"probe"}),
        ("bat.stages.training", {"probe", "finetune"}),
        ("bat.probes.cgp", {"probe"}),
        ("bat.probes.asr", {"probe"}),
        ("bat.probes.lp", {"probe", "finetune"}),
        ("bat.probes.base", {"probe", "finetune"}),
        ("bat.pretraining.masking", {"pretrain"}),
        ("bat.models.encoder", {*ENCODER_READERS, "probe"}),
        ("bat.evaluation.statistics", {"table"}),
        ("bat.paper.claims", {"table"}),
        ("bat.paper.verdicts", set()),
        ("bat.evaluation.metrics", {"probe", "finetune", "baseline", "table"}),
        ("bat.evaluation.figures", {"figure"}),
        ("bat.data.layouts.esc50", set()),
        ("bat.data.layouts.meetings", {"resample"}),
        ("bat.data.layouts.audioset", {"account"}),
        ("bat.data.ledger", {"resample", "account", "prepare"}),
        ("bat.audio.decoding", {"resample", "acquire", "account", "prepare"}),
        ("bat.acquisition.intake", {"acquire"}),
        ("bat.acquisition.transfer", {"acquire", "weights"}),
        ("bat.acquisition.gaps", set()),
        ("bat.acquisition.report", set()),
        ("bat.provenance.job", set(STAGES)),
        ("bat.params.data", set(STAGES)),
        ("bat.params.experiment", set(STAGES)),
        ("bat.settings", set(STAGES)),
        ("bat.cli", set()),
        ("bat.sizes", set()),
        ("bat.conformance.run", set()),
    ],
)
def test_a_changed_module_moves_exactly_the_stages_that_import_it(
    monkeypatch, wide_plan, wide_digests, module, expected
):
    assert moved_by_module(monkeypatch, wide_plan, wide_digests, module)[0] == expected


def moved_by_module(monkeypatch, plan, before, module):
    """Stages and jobs that another text of one module sends round again."""
    source, real = fingerprint._source_of(module), fingerprint.sha256_of_file
    assert source.is_file()
    monkeypatch.setattr(
        fingerprint, "sha256_of_file", lambda path: "new" if path == source else real(path)
    )
    monkeypatch.setattr(workflow, "code_of", by_roots(fingerprint.code_of))
    monkeypatch.setattr(plan, "_code", {})  # a plan reads the code once
    after = digests(plan)
    jobs = {s: [dict(j) for j, d in after[s].items() if d != before[s][j]] for s in STAGES}
    return {stage for stage, of in jobs.items() if of}, jobs


@pytest.mark.parametrize(
    "module", ["bat.models.encoder", "bat.audio.frontends", "bat.stages.reading.live"]
)
def test_probes_of_cached_tokens_do_not_depend_on_encoders(
    monkeypatch, wide_plan, wide_digests, module
):
    _, moved = moved_by_module(monkeypatch, wide_plan, wide_digests, module)
    cells = {(job["task"], job["method"]) for job in moved["probe"]}
    assert cells == {("words", "lp"), ("words", "cgp"), ("words", "vqt"), ("mixture", "vqt"),
                     ("books", "asr")}  # fmt: skip


def test_a_probe_does_not_depend_on_other_probes(monkeypatch, wide_plan, wide_digests):
    _, moved = moved_by_module(monkeypatch, wide_plan, wide_digests, "bat.probes.head2toe")
    assert {job["method"] for job in moved["probe"]} == {"head2toe"}


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
    assert plan.parts("probe", "speaker") == parts
    assert plan.parts("finetune", "speaker") == ["all"]


@pytest.mark.parametrize(
    ("grain", "parts"),
    [("cell", ["all"]), ("fold", ["test"]), ("run", ["test.seed-3", "test.seed-8"])],
)
def test_a_split_is_one_fold_named_after_its_test_part(tmp_path, grain, parts):
    content = wide_content()
    content["seeds"]["probe"] = [3, 8]
    content["grain"]["probe"] = grain
    assert plan_of(tmp_path, content).parts("probe", "words") == parts


@pytest.mark.parametrize("grain", ["cell", "fold", "run"])
@pytest.mark.parametrize("stage", ["probe", "finetune"])
@pytest.mark.parametrize("task", ["speaker", "words"])
def test_the_parts_of_a_cell_hold_every_run_once(tmp_path, task, stage, grain):
    plan = plan_of(tmp_path, changed(wide_content(), f"grain/{stage}", grain))
    job = {"model": "bat-mini", "task": task} | ({"method": "lp"} if stage == "probe" else {})
    runs = [
        (run.fold, run.seed)
        for part in plan.parts(stage, task)
        for run in plan.settings(stage, job | {"part": part}).runs
    ]
    seeds = getattr(plan.params.seeds, stage)
    folds = [fold.name for fold in plan.params.folds(task)]
    assert sorted(runs) == [(fold, seed) for fold in folds for seed in seeds]


@pytest.mark.parametrize("grain", ["cell", "fold", "run"])
def test_a_part_needs_the_groups_of_its_runs_and_no_others(tmp_path, grain):
    plan = plan_with(tmp_path, "grain/probe", grain)
    for part in plan.parts("probe", "speaker"):
        job = {"model": "bat-mini", "task": "speaker", "method": "lp", "part": part}
        runs = plan.settings("probe", job).runs
        assert set(plan.groups_of("speaker", part)) == {run.group for run in runs}
        assert all(set(run.test) <= set(plan.params.groups[run.group].test) for run in runs)


def test_other_data_sets_are_tested_on_the_first_groups_encoder(wide_plan):
    for task in ("words", "rooms", "books"):
        assert wide_plan.groups_of(task, "all") == ["early"]
    assert wide_plan.groups_of("speaker", "all") == ["late", "early"]


@pytest.mark.parametrize("part", ["meeting-9", "meeting-0.seed-99", "nothing", ""])
def test_a_part_that_is_none_is_refused(plan, part):
    job = {"model": "bat-mini", "task": "speaker", "method": "lp", "part": part}
    with pytest.raises(BatError, match=r"probe: no fold or seed of speaker belongs to part"):
        plan.settings("probe", job)


def test_the_groups_of_an_unknown_part_are_refused(plan):
    with pytest.raises(BatError, match="meeting-9"):
        plan.groups_of("speaker", "meeting-9.seed-0")


CELL = {"model": "bat-mini", "task": "speaker", "part": "all"}


@pytest.mark.parametrize(
    ("stage", "job", "problem"),
    [
        ("download", {"dataset": "x"}, "unknown data set 'x'; known: meetings, words"),
        ("download", {"dataset": "words"}, "words: a folder is not downloaded; see bat inventory"),
        ("inventory", {"dataset": "x"}, "unknown data set 'x'"),
        ("inventory", {"dataset": "meetings"}, "meetings: expected a source of kind folder"),
        ("resample", {"dataset": "x"}, "unknown data set 'x'"),
        ("prepare", {"task": "x"}, "unknown task 'x'; known: speaker, mixture, heard"),
        ("frontend", {"frontend": "x", "task": "speaker"}, "unknown front end 'x'; known: bat, le"),
        ("frontend", {"frontend": "bat", "task": "x"}, "unknown task 'x'"),
        ("convert", {"model": "x", "group": "early"}, "unknown model 'x'; known: bat-mini"),
        ("convert", {"model": "bat-mini", "group": "early"}, "bat-mini: has no published weights"),
        ("pretrain", {"model": "x", "group": "early"}, "unknown model 'x'; known: bat-mini"),
        ("pretrain", {"model": "bat-mini", "group": "x"}, "unknown group 'x'; known: early, late"),
        ("embed", {"model": "bat-mini", "group": "early", "task": "x"}, "unknown task 'x'"),
        ("baseline", {"task": "x"}, "unknown task 'x'; known: speaker, mixture, words"),
        ("baseline", {"task": "heard"}, "unknown task 'heard'; known: speaker, mixture, words"),
        ("finetune", CELL | {"task": "x"}, "unknown task 'x'"),
        ("finetune", CELL | {"task": "heard"}, "unknown task 'heard'"),
        ("finetune", CELL | {"model": "x"}, "unknown model 'x'"),
        ("probe", CELL | {"method": "x"}, "unknown method 'x'; known: lp, lcgp"),
        ("probe", CELL | {"method": "lp", "task": "x"}, "unknown task 'x'"),
        ("probe", CELL | {"method": "lp", "model": "x"}, "unknown model 'x'"),
    ],
)
def test_a_job_about_something_undefined_is_refused(wide_plan, stage, job, problem):
    with pytest.raises(BatError, match=problem):
        wide_plan.settings(stage, job)


# --- what is read -----------------------------------------------------------------------------


def test_a_probe_reads_tokens_unless_it_lives_in_the_encoder_or_nothing_is_cached(wide_plan):
    assert wide_plan.reading("mixture", "lp") == "tokens"
    assert wide_plan.reading("mixture", "vqt") == "spectrograms"
    for task, method in (("words", "lp"), ("words", "vqt"), ("books", "asr")):
        assert wide_plan.reading(task, method) == "waveforms"


def test_the_settings_hold_a_front_end_exactly_where_nothing_is_cached(wide_plan):
    for model, task, method in wide_plan.every_probe:
        job = {"model": model, "task": task, "method": method, "part": "all"}
        hearing = wide_plan.settings("probe", job).hearing
        assert (hearing is not None) == (wide_plan.reading(task, method) == "waveforms")
    job = {"model": "bat-mini", "task": "words", "method": "lp", "part": "all"}
    hearing = wide_plan.settings("probe", job).hearing
    assert (hearing.rate_hz, hearing.samples) == (16000, 16000)
    assert hearing.frontend.top_db == 70.0
    assert hearing.transforms.random_crop


def test_a_frame_wise_job_knows_the_length_of_a_time_patch(wide_plan):
    job = {"model": "bat-mini", "task": "rooms", "method": "cgp", "part": "all"}
    for model in ("bat-mini", "eat-mini", "beats"):
        assert wide_plan.settings("probe", job | {"model": model}).goal.frame_s == 0.16
    for task in ("speaker", "mixture"):
        goal = wide_plan.settings("probe", job | {"task": task}).goal
        assert (goal.frame_s, goal.decoding) == (None, None)


def test_tokens_are_made_for_probes_that_read_them_and_for_no_others(wide_plan):
    readers = {(model, task) for model, task, method in wide_plan.every_probe
               if wide_plan.reading(task, method) == "tokens"}  # fmt: skip
    assert {(model, task) for model, _, task in wide_plan.tokens} == readers
    assert not {task for _, _, task in wide_plan.tokens} & {"words", "books"}
    for model, group, task in wide_plan.tokens:
        assert group in wide_plan.groups_of(task, "all")
        assert (model, group) in wide_plan.encoders


def test_tokens_that_only_live_probes_would_read_are_not_made(tmp_path):
    content = wide_content()
    content["tasks"]["mixture"]["methods"] = ["vqt", "finetune"]
    plan = plan_of(tmp_path, content)
    assert "mixture" not in {task for _, _, task in plan.tokens}
    assert ("bat", "mixture") in plan.spectrograms


def test_spectrograms_are_made_of_cached_tasks_only(wide_plan):
    assert {task for _, task in wide_plan.spectrograms} == {"speaker", "mixture", "rooms"}


def test_only_front_ends_that_something_uses_are_computed(tmp_path):
    content = default_content()
    content["figures"] = {}
    assert {f for f, _ in plan_of(tmp_path, content).spectrograms} == {"bat", "legacy"}
    del content["models"]["eat-mini"]
    assert {f for f, _ in plan_of(tmp_path, content).spectrograms} == {"bat"}


def test_every_encoder_is_either_trained_or_published(wide_plan):
    models = wide_plan.params.models
    assert wide_plan.published == ["beats", "eat", "released"]
    assert sorted(wide_plan.trained + wide_plan.published) == sorted(models)


def test_encoders_of_groups_that_nothing_tests_are_not_trained(wide_plan):
    # timm is measured on words only, which the first group's encoder may hear
    assert [group for model, group in wide_plan.encoders if model == "timm"] == ["early"]


# --- which cells ------------------------------------------------------------------------------


def test_the_table_holds_every_method_of_every_task_on_every_model(plan):
    params = plan.params
    cells = {(m, t, p) for m in params.models for t in params.tasks for p in params.probes}
    assert set(plan.table_probes) == cells
    assert set(plan.finetuned) == {(m, t) for m in params.models for t in params.tasks}
    assert plan.baselines == ["speaker", "mixture"]


def test_a_restricted_model_is_measured_by_what_is_left(wide_plan):
    def cells(model):
        tuned = [(task, "finetune") for name, task in wide_plan.finetuned if name == model]
        return {(t, method) for m, t, method in wide_plan.table_probes if m == model} | set(tuned)

    assert cells("own") == {("speaker", "cgp")}
    assert cells("timm") == {("words", "lp"), ("words", "finetune")}
    assert cells("eat") == {(task, "lp") for task in ("speaker", "mixture", "words", "rooms")}
    assert {task for task, _ in cells("beats")} == {"speaker", "rooms"}


def test_pretraining_clips_without_labels_are_no_row_of_the_table(wide_plan):
    assert "heard" not in {task for _, task, _ in wide_plan.table_probes}
    assert "heard" not in wide_plan.settings("table", {}).metrics


def test_figures_probe_every_block_of_every_model_and_every_number_of_prototypes(tmp_path):
    content = default_content()
    for model in content["models"].values():
        model["encoder"]["depth"] = 3
    content["figures"]["sweep"]["prototypes"] = [5, 6]
    cells = plan_of(tmp_path, content).figure_probes
    # the last block is what the plain linear probe reads
    probes = ["lp@block=-3", "lp@block=-2", "lp"]
    blocks = {(m, probe) for m in content["models"] for probe in probes}
    gates = {(m, "cgp") for m in content["models"]}
    sweep = {("bat-mini", "cgp@prototypes=5"), ("bat-mini", "cgp@prototypes=6")}
    assert {(m, method) for m, _, method in cells} == blocks | gates | sweep
    assert {task for _, task, _ in cells} == {"speaker"}
    assert len(cells) == len(set(cells))


# --- files ------------------------------------------------------------------------------------


def test_the_table_reads_the_results_of_every_cell_in_its_order(wide_plan):
    files = wide_plan.table_files()
    assert set(files) == {"metrics", "predictions"}
    folders = wide_plan.table_folders()
    assert files["metrics"] == [f"{folder}/metrics.json" for folder in folders]
    assert files["predictions"] == [f"{folder}/predictions.parquet" for folder in folders]
    probed = [f"results/probe/{m}/{t}/{p}/all" for m, t, p in wide_plan.table_probes]
    tuned = [f"results/finetune/{m}/{t}/all" for m, t in wide_plan.finetuned]
    assert folders == [*probed, *tuned, "results/baseline/speaker", "results/baseline/mixture"]
    assert len(folders) == len(set(folders))


def test_the_table_reads_every_part_of_a_split_cell(tmp_path):
    content = default_content()
    content["grain"] = {"probe": "run", "finetune": "fold"}
    folders = plan_of(tmp_path, content).table_folders()
    assert sum(f.startswith("results/probe/bat-mini/speaker/cgp/") for f in folders) == 15
    assert "results/probe/bat-mini/speaker/cgp/meeting-4.seed-2" in folders
    assert "results/finetune/bat-mini/mixture/meeting-4" in folders


def test_the_figures_read_what_they_show(plan):
    files = plan.figure_files()
    assert set(files) == {"metrics", "curves", "spectrograms", "encoder"}
    assert all(len(of) == len(set(of)) for of in files.values())
    for model, task, method in plan.figure_probes:
        assert f"results/probe/{model}/{task}/{method}/all/metrics.json" in files["metrics"]
    # nothing was trained in an encoder that stays as initialised
    curves = {f"results/pretrain/{m}/{g}/curves.parquet"
              for m in ("bat-mini", "eat-mini") for g in ("early", "late")}  # fmt: skip
    curves |= {f"results/finetune/{m}/{t}/all/curves.parquet" for m, t in plan.finetuned}
    assert set(files["curves"]) == curves
    assert files["spectrograms"] == [
        f"data/spectrograms/{name}/speaker/spectrograms.safetensors" for name in ("bat", "legacy")
    ]
    assert files["encoder"] == [
        f"results/pretrain/{name}/early/encoder.safetensors" for name in ("bat-mini", "eat-mini")
    ]


def test_everything_that_the_figures_read_is_a_target_of_its_stage(wide_plan):
    spectrograms = {f"data/spectrograms/{f}/{t}" for f, t in wide_plan.spectrograms}
    encoders = {f"results/pretrain/{m}/{g}" for m, g in wide_plan.encoders}
    tuned = {f"results/finetune/{m}/{t}/all" for m, t in wide_plan.finetuned}
    read = {
        role: {f.rpartition("/")[0] for f in of} for role, of in wide_plan.figure_files().items()
    }
    assert read["spectrograms"] <= spectrograms
    assert read["encoder"] <= encoders
    assert read["curves"] <= encoders | tuned


def test_without_figures_only_the_training_curves_are_drawn(tmp_path):
    plan = plan_with(tmp_path, "figures", {})
    assert plan.figures() == ["results/figures/training.png"]
    files = plan.figure_files()
    assert not files["metrics"] and not files["spectrograms"] and not files["encoder"]
    assert files["curves"]
    assert plan.figure_probes == []


@pytest.mark.parametrize(
    ("figure", "names"),
    [
        ("sweep", ["prototypes.png", "prototypes.csv"]),
        ("blocks", ["blocks.png", "blocks.csv"]),
        ("frontends", ["frontends.png"]),
        ("attention", ["attention.png", "attention.csv"]),
    ],
)
def test_a_figure_that_is_not_asked_for_is_not_written(plan, tmp_path, figure, names):
    files = {f"results/figures/{name}" for name in names}
    without = plan_with(tmp_path, f"figures/{figure}", None)
    assert set(plan.figures()) - set(without.figures()) == files


def test_a_figure_on_a_task_that_its_model_is_not_measured_on_has_its_spectrograms(tmp_path):
    content = default_content()
    content["models"]["eat-mini"]["tasks"] = ["mixture"]
    content["pretraining_clips"] = "mixture"
    content["figures"] = {"blocks": content["figures"]["blocks"]}
    plan = plan_of(tmp_path, content)
    frontends = {name: model.frontend for name, model in plan.params.models.items()}
    read = {(frontends[model], task) for model, _, task in plan.tokens}
    assert ("legacy", "speaker") in read
    assert read <= set(plan.spectrograms)


# --- the experiments of the repository --------------------------------------------------------

EXPERIMENTS = sorted((REPOSITORY / "config").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_of_the_repository_can_be_planned(path):
    """Valid, and every job of it has settings."""
    found = Plan(path)
    for stage, of in jobs(found).items():
        for job in of:
            found.settings(stage, job)
