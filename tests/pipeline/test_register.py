"""The register of a whole run: every job is in it, and no edit of a result escapes it."""

import json
import shutil

import pytest

from audit.forgery import edit_recipe_and_outputs
from pipeline.conftest import MAIN

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("default")]
METRICS = "results/baseline/speaker/metrics.json"


def test_every_record_of_a_run_is_one_entry(undisturbed):
    done = undisturbed.bat("audit", "verify-ledger", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["entries"] == found["records"] == len(undisturbed.recipes())
    assert found["gone"] == found["problems"] == []


def test_a_metric_edited_with_its_recipe_passes_the_hashes_but_not_the_register(
    undisturbed, tmp_path
):
    copy = undisturbed.copy_to(tmp_path / "copy")
    folder = (copy.folder / METRICS).parent
    content = (copy.folder / METRICS).read_bytes()
    edit_recipe_and_outputs(folder, "metrics.json", content.replace(b"0.", b"0.9", 1))
    # the hashes of the folder itself agree; the table was made of another version
    assert f"{METRICS}: changed after" not in copy.bat("audit", "verify").stdout
    done = copy.bat("audit", "verify-ledger")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("results/baseline")]
    assert "recipe.json is not the one registered" in line
    # a real rebuild is registered, and so heals it
    copy.build("--forcerun", METRICS, "--", MAIN)
    done = copy.bat("audit", "verify-ledger")
    assert done.returncode == 0, done.stdout
    assert copy.read(MAIN) == undisturbed.read(MAIN)


def test_results_without_their_register_are_not_verified(undisturbed, tmp_path):
    copy = undisturbed.copy_to(tmp_path / "copy")
    assert copy.bat("audit", "publish-head", "--out", "head.json").returncode == 0
    assert copy.bat("audit", "verify-ledger", "--head", "head.json").returncode == 0
    shutil.rmtree(copy.folder / "results" / "register")
    done = copy.bat("audit", "verify-ledger", "--head", "head.json")
    assert done.returncode == 1
    assert "no register of records here, so nothing was verified" in done.stderr
