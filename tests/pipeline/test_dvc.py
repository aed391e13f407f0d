"""The second engine: DVC versions what Snakemake makes, and neither misleads the other."""

import os
import shutil
import subprocess

import pytest

from pipeline.conftest import BIN, MAIN
from pipeline.tiny import REPOSITORY, tinier_params, write_params

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("default")]
PROJECT = ["Snakefile", "workflow", "profiles", "src", "dvc.yaml", ".dvcignore"]


def run(folder, *command):
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def run_logs(experiment):
    """What each job wrote about its run: changes exactly where real work was done."""
    return {
        str(path.parent.relative_to(experiment.folder)): path.read_text()
        for path in experiment.folder.rglob("run.json")
    }


@pytest.fixture
def project(undisturbed, tmp_path):
    """A repository with the project's files, in which Snakemake has already built everything."""
    copy = undisturbed.copy_to(tmp_path / "project")
    for name in PROJECT:
        source = REPOSITORY / name
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if source.is_dir():
            shutil.copytree(source, copy.folder / name, ignore=ignored)
        else:
            shutil.copy(source, copy.folder / name)
    (copy.folder / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc/config", copy.folder / ".dvc/config")
    shutil.copy(REPOSITORY / ".gitignore", copy.folder / ".gitignore")
    run(copy.folder, "git", "init", "--quiet")
    return copy


def test_dvc_adopts_what_snakemake_built_and_reruns_only_what_changed(project):
    before = run_logs(project)
    table = project.read(MAIN)
    run(project.folder, "dvc", "repro")
    assert run_logs(project) == before, "real work was done again"
    assert "up to date" in run(project.folder, "dvc", "status")

    params = tinier_params()
    params["baseline"]["inverse_regularisation"] = 0.01
    write_params(project.folder, params)
    assert "baseline" in run(project.folder, "dvc", "status")
    run(project.folder, "dvc", "repro")
    after = run_logs(project)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"results/baseline/speaker", "results/audit", "results/tables"}
    assert project.read(MAIN) != table
    assert project.planned() == {}, "Snakemake sees what DVC's run did"

    write_params(project.folder, tinier_params())
    run(project.folder, "dvc", "repro")
    assert project.read(MAIN) == table
    assert "up to date" in run(project.folder, "dvc", "status")


def test_dvc_sends_nothing_home():
    text = (REPOSITORY / ".dvc/config").read_text()
    assert "analytics = false" in text
    assert "check_update = false" in text
