"""Trained heads used again on other manifests, and tables of comparison sets."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import load_file, save_file

from bat.data.labels import LabelOrder
from bat.data.manifest import read_manifest, write_manifest
from bat.errors import BatError
from bat.stages.head_files import read_heads
from bat.stages.scoring import Question, score
from pipeline.conftest import MAIN
from pipeline.tiny import write_params
from provenance.conftest import make

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("default")]

CELLS = [
    "bat-mini/speaker/lp", "bat-mini/speaker/lcgp", "bat-mini/speaker/cgp",
    "bat-mini/speaker/head2toe", "bat-mini/speaker/protobin", "bat-mini/mixture/protobin",
    "eat-mini/speaker/cgp", "random-init/speaker/lp",
]  # fmt: skip
GROUPS = {"early": ["meeting-3", "meeting-4"], "late": ["meeting-0", "meeting-1", "meeting-2"]}
SPEAKERS = tuple(f"speaker-{number}" for number in range(9))


def question(experiment, cell="bat-mini/speaker/cgp", group="early", **changes):
    model, task, _ = cell.split("/")
    files = {
        "heads": experiment.folder / f"results/probe/{cell}/all/heads.safetensors",
        "manifest": experiment.folder / f"data/manifest/{task}/manifest.parquet",
        "tokens": experiment.folder / f"data/tokens/{model}/{group}/{task}/tokens.safetensors",
    }
    return Question(**files | changes)


def measured(experiment, cell):
    return json.loads(experiment.read(f"results/probe/{cell}/all/metrics.json"))


def manifest_of(folder, experiment, order):
    """The manifest of the speakers under another order of its classes, with a record."""
    original = experiment.folder / "data/manifest/speaker/manifest.parquet"
    folder.mkdir()
    write_manifest(folder / "written", read_manifest(original)[0], order)
    make(folder / "made", {"manifest.parquet": (folder / "written").read_bytes()})
    return folder / "made" / "manifest.parquet"


def complaint(asked):
    with pytest.raises(BatError) as caught:
        score(asked)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# --- heads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_heads_say_what_is_needed_to_use_them_again(finished, cell):
    heads, weights = read_heads(finished.folder / f"results/probe/{cell}/all/heads.safetensors")
    model, task, method = cell.split("/")
    expected = {"model": model, "task": task, "method": method, "part": "all"}
    assert heads.selection == expected
    assert heads.label_order == LabelOrder(name="meetings/number", classes=SPEAKERS)
    assert (heads.kind, heads.depth, heads.width, heads.outputs) == (method, 2, 32, 9)
    assert set(heads.encoders) == set(GROUPS)
    assert {"/".join(name.split("/")[:2]) for name in weights} == {
        f"meeting-{fold}/{seed}" for fold in range(5) for seed in (0, 1)
    }
    metrics = measured(finished, cell)
    assert (metrics["order"], tuple(metrics["classes"])) == ("meetings/number", SPEAKERS)
    assert metrics["comparison_set"] is None


@pytest.mark.parametrize("cell", CELLS)
def test_heads_used_again_repeat_every_number_of_their_own_runs(finished, cell):
    of_job = {(one["fold"], one["seed"]): one for one in measured(finished, cell)["runs"]}
    seen = set()
    for group, folds in GROUPS.items():
        found = score(question(finished, cell, group))
        assert not found["remapped"]
        assert {one["fold"] for one in found["runs"]} == set(folds)
        for one in found["runs"]:
            run = (one["fold"], one["seed"])
            assert one["metrics"] == pytest.approx(of_job[run]["metrics"], abs=1e-9)
            assert (one["clips"], one["parts"]) == (of_job[run]["clips"], [one["fold"]])
            assert one["trained_on"] == []
            seen.add(run)
    assert seen == set(of_job)


def test_a_head_of_another_order_is_refused_or_remapped_by_name(finished, tmp_path):
    reverse = LabelOrder(name="csv/given", classes=SPEAKERS[::-1])
    manifest = manifest_of(tmp_path / "reverse", finished, reverse)
    text = complaint(question(finished, manifest=manifest))
    assert "in the order meetings/number, the manifest in csv/given" in text
    assert "agree in 1 of 9 places" in text
    assert "--remap-labels" in text
    found = score(question(finished, manifest=manifest, remap=True))
    assert (found["remapped"], found["order"]) == (True, "csv/given")
    # Names, not places, decide what is right: the numbers are those of the head's own order.
    for one, own in zip(found["runs"], score(question(finished))["runs"], strict=True):
        assert one["metrics"] == pytest.approx(own["metrics"], abs=1e-9)


def test_the_name_of_an_order_alone_changes_nothing(finished, tmp_path):
    same = LabelOrder(name="csv/given", classes=SPEAKERS)
    found = score(question(finished, manifest=manifest_of(tmp_path / "same", finished, same)))
    assert (found["remapped"], found["order"]) == (False, "csv/given")
    assert found["runs"] == score(question(finished))["runs"]


@pytest.mark.parametrize("remap", [True, False])
def test_a_head_of_other_classes_is_refused(finished, tmp_path, remap):
    more = LabelOrder(name="csv/given", classes=(*SPEAKERS, "speaker-9"))
    manifest = manifest_of(tmp_path / "more", finished, more)
    text = complaint(question(finished, manifest=manifest, remap=remap))
    assert "only the manifest has 'speaker-9'" in text


# --- what does not belong together --------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"run": "meeting-3/7"}, "no run 'meeting-3/7' on the encoder of these tokens; there are "),
        ({"run": "meeting-0/0"}, "there are meeting-3/0, meeting-3/1, meeting-4/0, meeting-4/1"),
        ({"parts": ["eval"]}, "no clip of part 'eval'; name others with --part: meeting-0, "),
    ],
)
def test_a_run_or_part_that_is_not_there_is_told_what_is(finished, changes, expected):
    assert expected in complaint(question(finished, **changes))


def test_tokens_of_other_clips_are_refused(finished):
    other = question(finished, "bat-mini/mixture/protobin").tokens
    assert "in another order than the manifest's 120" in complaint(question(finished, tokens=other))


def test_tokens_of_another_encoder_are_refused(finished):
    other = question(finished, "eat-mini/speaker/cgp").tokens
    text = complaint(question(finished, tokens=other))
    assert "tokens of another encoder than those of" in text
    assert "early, late" in text


def test_a_record_of_something_else_is_no_record_of_tokens(finished):
    heads = question(finished).heads
    assert "expected the record of cached tokens" in complaint(question(finished, tokens=heads))


@pytest.mark.parametrize("role", ["heads", "manifest", "tokens"])
def test_a_file_that_does_not_match_its_record_is_refused(finished, tmp_path, role):
    path = getattr(question(finished), role)
    shutil.copytree(path.parent, tmp_path / "copy")
    copied = tmp_path / "copy" / path.name
    content = bytearray(copied.read_bytes())
    content[len(content) // 2] ^= 0xFF
    copied.write_bytes(content)
    assert "changed after stage" in complaint(question(finished, **{role: copied}))
    (tmp_path / "copy" / "recipe.json").unlink()
    assert "has no recipe.json" in complaint(question(finished, **{role: copied}))


def remade(folder, heads, change):
    """Heads with something changed, and a record that fits."""
    with_key = read_heads(heads)[0].model_dump_json()
    weights, metadata = change(load_file(heads), {"heads": with_key})
    folder.mkdir()
    save_file(weights, folder / "written", metadata)
    make(folder / "made", {"heads.safetensors": (folder / "written").read_bytes()})
    return folder / "made" / "heads.safetensors"


def without_weight(weights, metadata):
    return {k: v for k, v in weights.items() if not k.startswith("meeting-4/1/")}, metadata


def other_shape(weights, metadata):
    changed = {k: np.zeros((1, 1), np.float32) if k.startswith("meeting-4/1/") else v
               for k, v in weights.items()}  # fmt: skip
    return changed, metadata


def without_description(weights, metadata):
    return weights, None


def of_live_encoder(weights, metadata):
    return weights, {"heads": metadata["heads"].replace('"kind":"cgp"', '"kind":"vqt"')}


def cut_description(weights, metadata):
    return weights, {"heads": metadata["heads"].replace('"depth":2,', "")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without_weight, "run meeting-4/1: "),
        (other_shape, "run meeting-4/1: "),
        (without_description, "expected heads that say what they are"),
        (of_live_encoder, "vqt reads the live encoder, not cached tokens"),
        (cut_description, "not the heads of this version: depth: "),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_heads_that_do_not_fit_their_description_are_refused(finished, tmp_path, change, expected):
    heads = remade(tmp_path / "heads", question(finished).heads, change)
    assert expected in complaint(question(finished, heads=heads))


# --- the command ------------------------------------------------------------------------------


def test_the_command_prints_every_metric_with_its_n(finished, tmp_path):
    out = tmp_path / "deep" / "scores.json"
    done = finished.bat(
        "score", "--heads", "results/probe/bat-mini/speaker/cgp/all/heads.safetensors",
        "--manifest", "data/manifest/speaker/manifest.parquet",
        "--tokens", "data/tokens/bat-mini/early/speaker/tokens.safetensors",
        "--run", "meeting-3/1", "--part", "meeting-3", "--part", "meeting-0", "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first.endswith("cgp of bat-mini on speaker; labels meetings/number, as the manifest's")
    clips = json.loads(out.read_text())["runs"][0]["clips"]
    of = f"(n = {clips} clips of meeting-3, meeting-0, no comparison set)"
    assert lines[0].startswith("fold meeting-3, seed 1: accuracy ")
    assert lines[1].startswith("fold meeting-3, seed 1: mAP ")
    assert lines[0].endswith(of) and lines[1].endswith(of)
    assert lines[2] == "  parts of these names were trained on: meeting-0"
    inputs = {known["role"]: known for known in json.loads(out.read_text())["inputs"]}
    recipe = json.loads(finished.read("data/tokens/bat-mini/early/speaker/recipe.json"))
    assert inputs["tokens"]["sha256"] == recipe["outputs"][0]["sha256"]


# --- comparison sets ----------------------------------------------------------------------------


def params_of(experiment):
    return YAML(typ="safe", pure=True).load(experiment.read("params.yaml").decode())


def half_of(experiment, part):
    """Every second recording of a part, and one that is listed but was not usable."""
    ledger = pl.read_parquet(experiment.folder / "data/pcm/meetings/ledger.parquet")
    usable = ledger.filter(part=part, status="ok")["recording_id"].gather_every(2)
    unusable = ledger.filter(pl.col("status") != "ok", part=part)["recording_id"].head(1)
    return usable.to_list(), unusable.to_list()


def select(experiment, names, out):
    (experiment.folder / "ids.txt").write_text("\n".join(names) + "\n")
    done = experiment.bat("ledger", "select", "--name", "half", "--ids", "ids.txt", "--out", out)
    assert done.returncode == 0, done.stderr
    only = YAML(typ="safe", pure=True).load(done.stdout.splitlines()[1])["only"]
    return only | {"parts": ["meeting-4"]}


def test_the_table_names_the_comparison_set_and_its_n(copy):
    usable, unusable = half_of(copy, "meeting-4")
    params = params_of(copy)
    params["tasks"]["mixture"]["only"] = select(copy, [*usable, *unusable], "sets/half.parquet")
    write_params(copy.folder, params)
    copy.build(MAIN)
    manifest, _ = read_manifest(copy.folder / "data/manifest/mixture/manifest.parquet")
    heard = set(manifest.filter(part="meeting-4")["group"].explode())
    assert heard and heard <= set(usable)
    long = pl.read_csv(copy.folder / "results/tables/main_long.csv")
    of_mixture = long.filter(task="mixture")
    assert of_mixture["comparison_set"].unique().to_list() == ["half (meeting-4)"]
    assert of_mixture["n_clips"].unique().to_list() == [manifest.height]
    assert manifest.height < 120
    assert long.filter(task="speaker")["comparison_set"].null_count() == len(
        long.filter(task="speaker")
    )
    text = copy.read("results/tables/main.md").decode()
    assert f"- mixture: {manifest.height} test clips in 5 folds, of the comparison set half" in text
    assert "- speaker: 120 test clips in 5 folds\n" in text
    header = copy.read(MAIN).decode().splitlines()[0].split(",")
    assert "mixture mAP comparison_set" in header
    assert "speaker mAP comparison_set" not in header
    log = copy.read("logs/prepare/mixture.log").decode()
    named, lost = len(usable) + len(unusable), len(unusable)
    said = f"of {named} recordings {len(usable)} are usable, {lost} are not, 0 are of other parts"
    assert f"comparison set half (meeting-4): {said}" in log
    applied = measured(copy, "bat-mini/mixture/protobin")["comparison_set"]
    assert (applied["usable"], applied["unusable"]) == (len(usable), len(unusable))
    traced = copy.bat("audit", "trace", "bat-mini,protobin,mixture,mAP", "--verify")
    assert f"{manifest.height} clips of half (meeting-4), 5 folds" in traced.stdout
    scored = copy.bat(
        "score", "--heads", "results/probe/bat-mini/mixture/protobin/all/heads.safetensors",
        "--manifest", "data/manifest/mixture/manifest.parquet",
        "--tokens", "data/tokens/bat-mini/early/mixture/tokens.safetensors",
    )  # fmt: skip
    clips = manifest.filter(part="meeting-4").height
    of_set = f"(n = {clips} clips of meeting-4, comparison set half in meeting-4)"
    assert of_set in scored.stdout, scored.stderr
    whole = manifest.filter(part="meeting-3").height
    assert f"(n = {whole} clips of meeting-3, no comparison set)" in scored.stdout


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sha256": "0" * 64}, "expected the comparison set of sha256 0000"),
        ({"name": "other"}, "sets/half.parquet: expected the set other, found half"),
        ("unlisted", "half: 1 of 3 recordings are not in the data set's list, the first is nobody"),
    ],
    ids=str,
)
def test_a_comparison_set_that_does_not_fit_stops_the_preparation(
    finished, tmp_path, change, expected
):
    for name in ("params.yaml", "data/pcm"):
        target = tmp_path / "here" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = finished.folder / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    here = type(finished)(tmp_path / "here")
    names = half_of(finished, "meeting-4")[0][:2] + (["nobody"] if change == "unlisted" else [])
    only = select(here, names, "sets/half.parquet")
    params = params_of(here)
    params["tasks"]["mixture"]["only"] = only | (change if isinstance(change, dict) else {})
    write_params(here.folder, params)
    done = here.bat(
        "prepare", "--task", "mixture", "--ledger", "data/pcm/meetings/ledger.parquet",
        "--pcm", "data/pcm/meetings/pcm.npy", "--pcm", "data/pcm/meetings/index.parquet",
        "--out", "data/manifest/mixture",
    )  # fmt: skip
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
