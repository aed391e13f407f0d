"""Jobs done again: from their records alone, beside the originals, compared as declared."""

import json
from pathlib import Path

import pytest

from audit.patched import patched, run_bat, tree
from bat.audit.outcome import read_outcomes, store
from bat.audit.rerun import Request, folders_of
from bat.audit.rerun import rerun as run_rerun
from bat.errors import BatError
from bat.provenance.hashing import canonical_json, sha256_of_file
from bat.provenance.recipe import read_recipe
from pipeline.test_tampering import change_a_digit, flip_a_byte

pytestmark = [pytest.mark.pipeline]

CELL = "bat-mini,lp,speaker,accuracy"
PROBE = Path("results/probe/bat-mini/speaker/lp/all")
BASELINE = Path("results/baseline/speaker")
PREPARE = Path("data/manifest/speaker")


@pytest.fixture
def here(undisturbed, tmp_path):
    """A finished run that a test may damage."""
    return undisturbed.copy_to(tmp_path / "run").folder


def rerun(where, *arguments, **options):
    return run_bat(where, "audit", "rerun", *arguments, **options)


def outcome(where):
    (path,) = where.glob("results/audit/reruns/*.json")
    return json.loads(path.read_text())


def edit_json(path, **changes):
    path.write_text(canonical_json(json.loads(path.read_text()) | changes))


def test_a_cell_repeats_itself_and_the_originals_stay_as_they_were(here):
    before = tree(here)
    done = rerun(here, CELL, "--times", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    after = tree(here)
    kept = {name for name in after if name.startswith("results/audit/reruns")}
    assert {name: after[name] for name in after if name not in kept | {"results/audit"}} == {
        name: before[name] for name in before if name != "results/audit"
    }
    assert len(kept) == 2  # the folder and the outcome
    (record,) = outcome(here)["records"]
    assert (record["folder"], record["result"]) == (PROBE.as_posix(), "identical")
    assert record["record"] == read_recipe(here / PROBE).id
    assert (record["compared"], record["environment"]) == ("bytes", {})
    for file in record["files"]:
        assert file["rebuilt"] == [file["sha256"]] * 2
    assert "1 identical" in done.stdout


def test_a_stage_is_rerun_as_a_whole(here):
    done = rerun(here, "audit")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["stage"] for one in outcome(here)["records"]] == ["audit"]
    assert "results/audit: identical" in done.stdout


def test_an_outcome_is_never_overwritten(here, monkeypatch):
    monkeypatch.chdir(here)
    found = run_rerun("nothing", [], Request())
    before = store(found)
    with pytest.raises(BatError, match="is there already; nothing is overwritten"):
        store(found)
    assert [path for path, _ in read_outcomes()] == [before]
    assert not list(before.parent.glob(".*"))


def test_what_fetches_is_not_rerun_unasked(here):
    done = rerun(here, "download")
    assert done.returncode == 0
    assert "not rerun (read what no job made" in done.stdout
    assert outcome(here)["records"][0]["result"] == "not rerun"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("bat-mini,lp,speaker,none", "no such cell"),
        ("convert", "no record of this stage"),
        ("results/probe", r"has no recipe\.json"),
    ],
)
def test_what_is_not_there_is_told(undisturbed, monkeypatch, asked, said):
    monkeypatch.chdir(undisturbed.folder)
    with pytest.raises(BatError, match=said):
        folders_of(asked, Path("results/tables"))


def test_rebuilds_lie_where_they_are_wanted_and_stay_if_wanted(here, tmp_path):
    assert rerun(here, PREPARE, "--scratch", tmp_path / "scratch", "--keep").returncode == 0
    (kept,) = tmp_path.glob("scratch/.rerun-*/0001-prepare/1")
    name = PREPARE / "manifest.parquet"
    assert (kept / name).read_bytes() == (here / name).read_bytes()


def test_a_job_of_other_hardware_is_held_to_the_tolerance_of_its_stage(here):
    edit_json(here / BASELINE / "run.json", cpu="another processor")
    done = rerun(here, BASELINE)
    assert done.returncode == 0, done.stderr
    (record,) = outcome(here)["records"]
    assert record["compared"] == "tolerance"
    assert record["because"].startswith("cpu on record: another processor, here: ")
    assert record["environment"]["cpu"][0] == "another processor"


# Planted faults: each must be found.


@pytest.mark.mutants
def test_other_code_is_named_before_anything_runs(here, tmp_path):
    package = patched(tmp_path / "other", "bat.stages.baseline", '"""Logistic', '"""A logistic')
    refused = rerun(here, BASELINE, package=package)
    assert refused.returncode == 1
    assert f"{BASELINE}: made by other code: bat.stages.baseline" in refused.stderr
    assert "check out commit" in refused.stderr
    allowed = rerun(here, BASELINE, "--with-this-code", package=package)
    assert allowed.returncode == 0, allowed.stderr
    (record,) = outcome(here)["records"]
    assert (record["result"], record["other_code"]) == ("identical", ["bat.stages.baseline"])


# What a stage writes instead of ``value``, and how the comparison says so.
NOISE = {
    "each time anew": (
        "{{**value, 'noise': __import__('os').urandom(8).hex()}}",
        "metrics.json: noise: nothing on record",
    ),
    "from the second time on": (
        "{{**value, 'noise': 7}} if (p := __import__('pathlib').Path({!r})).exists() "
        "else p.touch() or value",
        "metrics.json: rebuild 2 differs from rebuild 1, here on record: noise: nothing on record",
    ),
}


@pytest.mark.mutants
@pytest.mark.parametrize("when", NOISE)
def test_a_stage_that_does_not_repeat_itself_is_found(here, tmp_path, when):
    noise, said = NOISE[when]
    package = patched(
        tmp_path / "other",
        "bat.provenance.job",
        "self.output(name).write_text(canonical_json(value), ",
        f"value = ({noise.format(str(tmp_path / 'seen'))}) if name == 'metrics.json' else value\n"
        "        self.output(name).write_text(canonical_json(value), ",
    )
    done = rerun(here, BASELINE, "--times", "2", "--with-this-code", package=package)
    assert done.returncode == 1
    assert f"{BASELINE} (bitwise-same-hardware): {said}" in done.stderr
    assert outcome(here)["records"][0]["result"] == "different"


@pytest.mark.mutants
def test_a_deviation_is_held_to_the_tolerance_on_other_hardware(here, tmp_path):
    edit_json(here / BASELINE / "run.json", cpu="another processor")
    for number, (deviation, result) in enumerate([(1e-5, "within tolerance"), (0.1, "different")]):
        package = patched(
            tmp_path / f"other-{number}",
            "bat.provenance.job",
            "self.output(name).write_text(canonical_json(value), ",
            f"[one['metrics'].update(accuracy=one['metrics']['accuracy'] + {deviation}) "
            "for one in value.get('runs', [])]\n"
            "        self.output(name).write_text(canonical_json(value), ",
        )
        done = rerun(here, BASELINE, "--with-this-code", package=package)
        assert f"{BASELINE}: {result} (cpu on record" in done.stdout
        assert (done.returncode == 0) == (result == "within tolerance")
    assert "metrics.json: runs[0].metrics.accuracy: " in done.stderr


@pytest.mark.mutants
@pytest.mark.parametrize(
    ("file", "change"),
    [
        (PROBE / "metrics.json", change_a_digit),
        (PROBE / "heads.safetensors", flip_a_byte),
        (PREPARE / "manifest.parquet", flip_a_byte),
        (Path("data/tokens/bat-mini/late/speaker/tokens.safetensors"), flip_a_byte),
    ],
)
def test_nothing_is_rebuilt_from_or_for_an_altered_file(here, file, change):
    change(here / file)
    done = rerun(here, CELL)
    assert done.returncode == 1
    assert f"{file}: changed after stage" in done.stderr
    assert not (here / "results/audit/reruns").exists()


@pytest.mark.mutants
def test_an_input_of_another_version_is_refused(here):
    folder = here / PREPARE
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["wanted"] = "0" * 64
    (folder / "recipe.json").write_text(canonical_json(recipe))
    done = rerun(here, CELL)
    assert done.returncode == 1
    assert f"{PROBE}: was made from another version of {PREPARE}/manifest.parquet" in done.stderr


@pytest.mark.mutants
def test_a_number_that_was_edited_together_with_its_record_is_found(here):
    folder = here / BASELINE
    change_a_digit(folder / "metrics.json")
    recipe = read_recipe(folder)
    for output in (edited := recipe.model_dump(mode="json"))["outputs"]:
        output["sha256"] = sha256_of_file(folder / output["name"])
    (folder / "recipe.json").write_text(canonical_json(edited))
    done = rerun(here, BASELINE)
    assert done.returncode == 1
    assert "metrics.json: runs[0].metrics.accuracy: " in done.stderr


@pytest.mark.mutants
@pytest.mark.parametrize("path", ["../outside/recording.wav", "/etc/hostname"])
def test_a_record_that_leads_out_of_the_working_folder_is_refused(here, path):
    recipe = json.loads((here / BASELINE / "recipe.json").read_text())
    recipe["inputs"][0]["path"] = path
    (here / BASELINE / "recipe.json").write_text(canonical_json(recipe))
    done = rerun(here, BASELINE)
    assert done.returncode == 1
    assert f"{path}: leads out of the working folder" in done.stderr
