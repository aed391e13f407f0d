"""The crate of a run: valid, complete, from the records, and enough to do jobs again."""

import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest

from audit.patched import run_bat, tree
from audit.rocrate import validate, warm_cache
from bat.audit.crate import verify_crate
from bat.errors import BatError
from bat.provenance.hashing import sha256_of_file
from bat.provenance.recipe import RECIPE, read_recipe
from pipeline.test_tampering import flip_a_byte

pytestmark = [pytest.mark.pipeline]

CELL = "log-mel,logistic-regression,speaker,accuracy"
RESULT = Path("results/baseline/speaker")
METADATA = "ro-crate-metadata.json"


@pytest.fixture(scope="module")
def crate(undisturbed, tmp_path_factory):
    """A crate of the whole run, with its data."""
    out = tmp_path_factory.mktemp("crate") / "crate"
    options = ["--out", out, "--with-data", "--agent", "A. Researcher"]
    done = run_bat(undisturbed.folder, "audit", "crate", *options)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def copy(crate, tmp_path):
    return Path(shutil.copytree(crate, tmp_path / "crate"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return warm_cache(tmp_path_factory.mktemp("cache"))


def graph(crate):
    entities = json.loads((crate / METADATA).read_text())["@graph"]
    assert len({entity["@id"] for entity in entities}) == len(entities)
    return {entity["@id"]: entity for entity in entities}


def of_type(entities, kind):
    return [entity for entity in entities.values() if kind in aslist(entity["@type"])]


def aslist(value):
    return value if isinstance(value, list) else [value]


def ids(value):
    return [one["@id"] for one in aslist(value)]


def test_the_validator_finds_all_that_the_profile_requires(crate, cache):
    done = validate(crate, cache)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    report = json.loads(done.stdout)
    assert report["passed"] is True
    assert report["issues"] == []


@pytest.mark.mutants
def test_the_validator_is_not_content_with_anything(copy, cache):
    content = json.loads((copy / METADATA).read_text())
    job = next(one for one in content["@graph"] if one["@type"] == "CreateAction")
    del job["instrument"]
    (copy / METADATA).write_text(json.dumps(content))
    assert validate(copy, cache).returncode != 0


def test_every_job_is_an_action_as_its_records_say(undisturbed, crate):
    entities = graph(crate)
    recipes = [path.parent for path in undisturbed.folder.rglob(RECIPE)]
    actions = {one["identifier"]: one for one in of_type(entities, "CreateAction")
               if "identifier" in one}  # fmt: skip
    assert len(actions) == len(recipes)
    for folder in recipes:
        recipe, log = read_recipe(folder), json.loads((folder / "run.json").read_text())
        action = actions[recipe.id]
        assert (action["startTime"], action["endTime"]) == (log["started"], log["finished"])
        results = {entities[i]["name"]: entities[i]["sha256"] for i in ids(action["result"])}
        where = folder.relative_to(undisturbed.folder)
        assert results == {f"{where}/{o.name}": o.sha256 for o in recipe.outputs}
        objects = [entities[i] for i in ids(action["object"])]
        files = {one["name"]: one["sha256"] for one in objects if one["@type"] == "File"}
        assert files == {known.path: known.sha256 for known in recipe.inputs}
        settings = {o["name"]: o["value"] for o in objects if o["@type"] == "PropertyValue"}
        assert settings.keys() >= recipe.settings.keys()
        tool = entities[action["instrument"]["@id"]]
        assert tool["name"] == f"bat {recipe.stage}"
        assert log["git"]["commit"] in tool["softwareVersion"]
    assert len(of_type(entities, "ControlAction")) == len(recipes)
    (organised,) = of_type(entities, "OrganizeAction")
    assert len(ids(organised["object"])) == len(recipes)


def test_every_file_in_it_is_described_by_hash_and_size_and_nothing_else_lies_there(crate):
    entities = graph(crate)
    described = {unquote(one["@id"]): one for one in of_type(entities, "File")}
    there = {str(p.relative_to(crate)) for p in crate.rglob("*") if p.is_file()} - {METADATA}
    assert set(described) == there
    for name, entity in described.items():
        assert entity["sha256"] == sha256_of_file(crate / name)
        assert entity["contentSize"] == str((crate / name).stat().st_size)


def test_names_are_encoded(crate):
    assert "results/probe/bat-mini/speaker/lp%40block%3D-2/all/metrics.json" in graph(crate)


def test_two_crates_of_a_run_are_the_same(undisturbed, crate, tmp_path):
    out = tmp_path / "again"
    options = ["--out", out, "--with-data", "--agent", "A. Researcher"]
    assert run_bat(undisturbed.folder, "audit", "crate", *options).returncode == 0
    assert (out / METADATA).read_bytes() == (crate / METADATA).read_bytes()


def test_a_crate_is_written_to_a_new_folder_only(undisturbed, crate):
    done = run_bat(undisturbed.folder, "audit", "crate", "--out", crate)
    assert done.returncode == 1
    assert "is not empty" in done.stderr


def test_a_job_is_done_again_from_the_crate_alone(crate, tmp_path):
    before = tree(crate)
    options = ["--cells", CELL, "--out", "outcome.json"]
    done = run_bat(tmp_path, "audit", "rerun-crate", crate, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree(crate) == before
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    (record,) = outcome["records"]
    assert (record["folder"], record["result"]) == (RESULT.as_posix(), "identical")
    assert record["record"] in {
        one.get("identifier") for one in of_type(graph(crate), "CreateAction")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_a_crate_without_data_names_them_by_hash_and_is_rerun_from_the_source(
    undisturbed, cache, tmp_path
):
    out = tmp_path / "crate"
    assert (
        run_bat(undisturbed.folder, "audit", "crate", "--out", out, "--cells", CELL).returncode == 0
    )
    assert validate(out, cache).returncode == 0
    entities = graph(out)
    (pcm,) = [one for one in entities.values() if one.get("name") == "data/pcm/meetings/pcm.npy"]
    assert pcm["@id"].startswith("ni:///sha-256;")
    assert not (out / "data/pcm/meetings/pcm.npy").exists()
    refused = run_bat(tmp_path, "audit", "rerun-crate", out)
    assert refused.returncode == 1
    assert "manifest.parquet: is missing; expected sha256" in refused.stderr
    done = run_bat(tmp_path, "audit", "rerun-crate", out, "--chain", "--fetch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data/source/meetings: identical" in done.stdout
    assert f"{RESULT}: identical" in done.stdout


# Planted faults: each must be found.


@pytest.mark.mutants
@pytest.mark.parametrize(
    "name",
    [
        f"{RESULT}/predictions.parquet",
        f"{RESULT}/run.json",
        "data/pcm/meetings/pcm.npy",
        "Snakefile",
    ],
)
def test_an_altered_file_of_a_crate_is_found(copy, name):
    flip_a_byte(copy / name)
    with pytest.raises(BatError, match=f"{name}: altered: expected sha256"):
        verify_crate(copy)


@pytest.mark.mutants
def test_a_missing_file_of_a_crate_is_found(copy):
    (copy / RESULT / "run.json").unlink()
    with pytest.raises(BatError, match="is missing from the crate"):
        verify_crate(copy)


@pytest.mark.mutants
@pytest.mark.parametrize("path", ["..%2Foutside", "/etc/hostname", "data/../../outside"])
def test_a_path_that_leads_out_of_a_crate_is_refused(copy, path):
    content = json.loads((copy / METADATA).read_text())
    content["@graph"].append({"@id": path, "@type": "File", "sha256": "0" * 64})
    (copy / METADATA).write_text(json.dumps(content))
    with pytest.raises(BatError, match="leads out of the crate"):
        verify_crate(copy)


@pytest.mark.mutants
def test_nothing_is_done_again_from_an_altered_crate(copy, tmp_path):
    flip_a_byte(copy / RESULT / "predictions.parquet")
    done = run_bat(tmp_path, "audit", "rerun-crate", copy, "--cells", CELL)
    assert done.returncode == 1
    assert f"{RESULT}/predictions.parquet: altered: expected sha256" in done.stderr


@pytest.mark.mutants
def test_a_record_that_does_not_stand_in_the_metadata_is_refused(copy, tmp_path):
    content = json.loads((copy / METADATA).read_text())
    name = f"{RESULT}/{RECIPE}"
    content["@graph"] = [one for one in content["@graph"] if one["@id"] != name]
    (copy / METADATA).write_text(json.dumps(content))
    done = run_bat(tmp_path, "audit", "rerun-crate", copy, "--cells", CELL)
    assert done.returncode == 1
    assert f"{RESULT}/{RECIPE}: does not stand in the crate's metadata" in done.stderr


@pytest.mark.mutants
def test_no_crate_is_made_of_altered_results(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path / "run").folder
    flip_a_byte(run / RESULT / "predictions.parquet")
    done = run_bat(run, "audit", "crate", "--out", tmp_path / "crate")
    assert done.returncode == 1
    assert f"error: {RESULT}/predictions.parquet: changed after stage baseline" in done.stderr
    assert not (tmp_path / "crate" / METADATA).exists()
