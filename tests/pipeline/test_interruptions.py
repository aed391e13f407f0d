"""Runs that are killed, interrupted or starved of disk."""

import os
import random
import signal
import subprocess
import time

import psutil
import pytest

from pipeline.conftest import BIN, MAIN, new_experiment
from pipeline.tiny import FIXTURE, tinier_params

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("default")]


def start(experiment):
    with (experiment.folder / "output.log").open("ab") as log:
        return subprocess.Popen(
            experiment.command(MAIN),
            cwd=experiment.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def stages_in(folder):
    """Processes of this project whose working directory is the experiment's."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if process.info["cwd"] == str(folder) and "bat" in command:
            found.append(command)
    return found


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def finished_jobs(folder):
    """Folders with a recipe; asked for while jobs come and go, which os.walk takes calmly."""
    return [
        parent
        for parent, _, files in os.walk(folder)
        if "recipe.json" in files and ".partial-" not in parent
    ]


def partial_outputs(folder):
    return [parent for parent, _, _ in os.walk(folder) if ".partial-" in parent]


def assert_what_looks_finished_is_whole(experiment):
    if experiment.recipes():
        audit = experiment.bat("audit", "verify", "data", "results")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert f"{len(experiment.recipes())} records" in audit.stdout


def test_killed_at_five_random_moments_it_finishes_with_the_same_bytes(undisturbed, tmp_path):
    experiment = new_experiment(tmp_path / "run", tinier_params())
    random_moments = random.Random(20260218)
    jobs = len(undisturbed.recipes())
    # so many jobs are done, and a moment later: as early and as late on a fast machine as on a slow
    for done in sorted(random_moments.sample(range(jobs - 4), 5)):
        process = start(experiment)
        assert wait_until(lambda: len(finished_jobs(experiment.folder)) >= done, 300)  # noqa: B023
        time.sleep(random_moments.uniform(0.0, 2.0))
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert wait_until(lambda: not stages_in(experiment.folder), 10), "orphans"
        assert_what_looks_finished_is_whole(experiment)
    experiment.build(MAIN)
    assert experiment.read(MAIN) == undisturbed.read(MAIN)
    assert experiment.recipes() == undisturbed.recipes()


def test_ctrl_c_leaves_no_half_written_output_and_no_process(tmp_path):
    experiment = new_experiment(tmp_path / "run", tinier_params())
    process = start(experiment)
    assert wait_until(lambda: partial_outputs(experiment.folder), 60)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    assert wait_until(lambda: not stages_in(experiment.folder), 10)
    assert not partial_outputs(experiment.folder)
    assert_what_looks_finished_is_whole(experiment)


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path):
    """A real full disk: a 2 MiB file system, in a mount namespace of the test's own."""
    experiment = new_experiment(tmp_path / "run", tinier_params())
    target = experiment.folder / "small"
    target.mkdir()
    script = (
        "mount -t tmpfs -o size=2m tmpfs small && "
        f"'{BIN}/bat' download --dataset meetings --out small/source; status=$?; "
        "find small -type f; exit $status"
    )
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        namespace = ["unshare", "--mount", "sh", "-c"]
    assert FIXTURE.stat().st_size > 2 * 2**20
    done = subprocess.run(
        [*namespace, script], cwd=experiment.folder, capture_output=True, text=True, check=False
    )
    if "mount" in done.stderr and "permitted" in done.stderr:
        pytest.skip("this system lets a test neither make a namespace nor mount a tmpfs")
    assert done.returncode == 1, done.stderr
    assert "the disk is full" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line]) == 1
    assert done.stdout == ""
