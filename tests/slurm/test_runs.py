"""Who may write to a working folder: one run, and only its own jobs. No SLURM is needed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bat.errors import BatError
from bat.processes import started_s
from bat.slurm.runs import SIGNATURE, TOKEN, begin_run, stop_if_superseded, superseded
from slurm.cluster import python

BEGIN = "from bat.slurm.runs import begin_run; begin_run(); print('mine', flush=True); input()"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder on a machine without SLURM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(TOKEN, raising=False)
    return tmp_path


def other_run(folder):
    process = python(BEGIN, folder)
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_process_of_no_run_is_never_superseded(here):
    with other_run(here) as other:
        assert not superseded()
        other.communicate("\n")


def test_a_job_is_superseded_once_another_run_has_begun(here, monkeypatch):
    monkeypatch.setenv(TOKEN, "of an earlier run")
    assert not superseded()
    with other_run(here) as other:
        assert superseded()
        with pytest.raises(BatError, match="another has taken over"):
            stop_if_superseded()
        other.communicate("\n")


def test_a_run_that_ends_takes_its_signature_along(here):
    with other_run(here) as other:
        assert (here / SIGNATURE).exists()
        other.communicate("\n")
    assert not (here / SIGNATURE).exists()


def test_a_second_run_beside_a_living_one_is_refused_and_told_which(here):
    with other_run(here) as other:
        with pytest.raises(BatError, match=f"process {other.pid} on .* runs jobs of this folder"):
            begin_run()
        other.communicate("\n")


def test_a_run_that_was_killed_is_taken_over_from(here):
    with other_run(here) as other:
        other.kill()
        other.wait()
    begin_run()
    assert json.loads((here / SIGNATURE).read_text())["process"] == os.getpid()


def test_a_run_on_another_machine_is_not_taken_for_dead(here):
    with other_run(here) as other:
        other.kill()
    content = json.loads((here / SIGNATURE).read_text())
    (here / SIGNATURE).write_text(json.dumps(content | {"machine": "login2", "host": "login2"}))
    with pytest.raises(BatError, match=r"on login2\) may still run .* delete .*bat-run.json"):
        begin_run()


def test_a_signature_that_is_none_is_named(here):
    (here / SIGNATURE).parent.mkdir()
    (here / SIGNATURE).write_text("{}")
    with pytest.raises(BatError, match="delete it"):
        begin_run()


def test_a_running_stage_ends_when_another_run_takes_over(here):
    script = (
        "import time; from bat.runtime import end_cleanly; from bat.slurm import runs; "
        "runs._SECONDS_BETWEEN_LOOKS = 0.1; end_cleanly(); runs.end_when_superseded(); "
        "print('works', flush=True); time.sleep(60)"
    )
    with python(script, here, **{TOKEN: "of an earlier run"}) as stage:
        assert stage.stdout.readline() == "works\n"
        with other_run(here) as other:
            assert stage.wait(timeout=20) == 128 + signal.SIGTERM
            other.communicate("\n")


def test_a_process_is_told_from_a_later_one_of_the_same_number():
    from bat.processes import lives

    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = started_s(process.pid)
    assert lives(process.pid, since)
    assert not lives(process.pid, since - 60)
    process.communicate(b"\n")
    time.sleep(0.1)
    assert not lives(process.pid, since)
