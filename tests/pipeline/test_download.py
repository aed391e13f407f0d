"""Sources of data sets: archives with a hash, folders with an inventory."""

import json

import pytest

from bat.provenance.hashing import sha256_of_file
from fixtures.layouts import make_librispeech, sound, write_audio
from pipeline.conftest import new_experiment
from pipeline.every_task import every_task_params
from pipeline.tiny import FIXTURE, tinier_params

pytestmark = pytest.mark.pipeline
DOWNLOAD = ("download", "--dataset", "meetings", "--out", "data/source/meetings")


def params_with_source(source):
    params = tinier_params()
    params["datasets"]["meetings"]["source"] |= source
    return params


def test_an_archive_with_another_hash_is_refused(tmp_path):
    experiment = new_experiment(tmp_path, params_with_source({"sha256": "0" * 64}))
    done = experiment.bat(*DOWNLOAD)
    assert done.returncode == 1
    assert "expected sha256 " + "0" * 64 in done.stderr
    assert sha256_of_file(FIXTURE) in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("data/source/meetings/*"))


def test_a_package_with_another_hash_is_refused(tmp_path):
    params = tinier_params()
    params["datasets"]["meetings"]["source"] = {
        "kind": "package-index",
        "package": "six",
        "version": "1.17.0",
        "sha256": "0" * 64,
        "licence": "MIT",
    }
    experiment = new_experiment(tmp_path, params)
    done = experiment.bat(*DOWNLOAD)
    assert done.returncode == 1
    assert "expected sha256 " + "0" * 64 in done.stderr
    assert "found 4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("data/source/meetings/*"))


def test_a_missing_archive_is_named(tmp_path):
    experiment = new_experiment(tmp_path, params_with_source({"path": "nowhere.zip"}))
    done = experiment.bat(*DOWNLOAD)
    assert done.returncode == 1
    assert "nowhere.zip: the source archive is not there" in done.stderr


def test_a_bad_parameter_stops_the_workflow_with_one_clear_line(tmp_path):
    params = tinier_params()
    params["probes"]["cgp"]["prototypes"] = "many"
    done = new_experiment(tmp_path, params).snakemake("--dry-run")
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "prototypes" in line]
    assert len(lines) == 1
    assert "probes.cgp.prototypes: should be a valid integer; found 'many'" in lines[0]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("download", "librispeech: a folder is not downloaded; see bat inventory"),
        ("inventory", "raw/librispeech: expected a folder"),
    ],
)
def test_a_folder_is_taken_stock_of_where_it_lies(tmp_path, stage, message):
    experiment = new_experiment(tmp_path, every_task_params())
    done = experiment.bat(stage, "--dataset", "librispeech", "--out", "data/source/librispeech")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_changes_after_the_inventory_is_named_and_a_new_inventory_heals(tmp_path):
    experiment = new_experiment(tmp_path, every_task_params())
    make_librispeech(tmp_path / "raw/librispeech")
    inventory = "data/source/librispeech/inventory.parquet"
    ledger = "data/pcm/librispeech/ledger.parquet"
    experiment.build(inventory)
    changed = sorted((tmp_path / "raw").rglob("*.flac"))[2]
    expected = sha256_of_file(changed)
    write_audio(changed, sound(1, seconds=1, rate_hz=16_000, seed=1), 16_000)

    done = experiment.snakemake(ledger)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert f"{changed.relative_to(tmp_path / 'raw/librispeech').as_posix()!r} changed" in output
    assert expected in output
    assert sha256_of_file(changed) in output
    assert "Traceback" not in output

    experiment.build("--forcerun", inventory, "--", ledger)
    recipe = json.loads(experiment.read("data/pcm/librispeech/recipe.json"))
    (source,) = recipe["inputs"]
    assert source["path"] == inventory
