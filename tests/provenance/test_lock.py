"""One writer of a folder at a time; a dead one does not keep others out."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import pytest

from bat.errors import BatError
from bat.provenance import lock as module
from bat.provenance.lock import LOCK, FolderLock, Holder
from provenance.conftest import job, make

HOLD = """
import sys
from pathlib import Path
from bat.provenance.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


def holder_of(folder):
    return Holder(**json.loads((folder / LOCK).read_text()))


def leave_a_lock(folder, **changes):
    """A lock of a process that is no more, on this machine or elsewhere."""
    with FolderLock(folder):
        left = asdict(holder_of(folder)) | {"token": "left", "started_s": 1.0} | changes
    (folder / LOCK).write_text(json.dumps(left))


@pytest.fixture
def elsewhere():
    """A process that holds the folder's lock."""
    started = []

    def start(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_lock_is_there_while_held_and_gone_after(tmp_path):
    with FolderLock(tmp_path) as lock:
        assert lock.held()
        assert holder_of(tmp_path).process == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_it_is_left_when_the_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_another_waits_until_the_holder_leaves(tmp_path, elsewhere):
    process = elsewhere(tmp_path)
    threading.Timer(1.5, lambda: process.stdin.write("\n") and process.stdin.flush()).start()
    started = time.monotonic()
    with FolderLock(tmp_path):
        assert time.monotonic() - started > 1.4
        assert holder_of(tmp_path).process == os.getpid()


def test_of_many_at_once_one_works_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.01)
    inside, most = [], []

    def work():
        with FolderLock(tmp_path):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 8


def test_a_killed_holder_of_this_machine_is_taken_over_from_at_once(tmp_path, elsewhere):
    process = elsewhere(tmp_path)
    process.kill()
    process.wait()
    started = time.monotonic()
    with FolderLock(tmp_path) as lock:
        assert lock.held()
    assert time.monotonic() - started < 1.0


def test_a_job_that_slurm_started_again_takes_over_from_itself(tmp_path, monkeypatch):
    leave_a_lock(tmp_path, machine="node1", slurm_job="7", slurm_restarts=0)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("BAT_SLURM_RESTARTS", "1")
    with FolderLock(tmp_path) as lock:
        assert lock.held()


def squeue(folder, monkeypatch, *lines):
    """A queue that says these lines."""
    folder.mkdir()
    script = folder / "squeue"
    script.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_job_that_left_the_queue_is_gone(tmp_path, monkeypatch):
    squeue(tmp_path / "bin", monkeypatch, "8|RUNNING|bat_x|1:00|rule_a|/somewhere")
    leave_a_lock(tmp_path, machine="node1", slurm_job="7")
    with FolderLock(tmp_path) as lock:
        assert lock.held()


def test_a_job_that_runs_elsewhere_is_waited_for_until_it_stops_touching(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GONE_AFTER_S", 2.0)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.1)
    squeue(tmp_path / "bin", monkeypatch, "7|RUNNING|bat_x|1:00|rule_a|/somewhere")
    leave_a_lock(tmp_path, machine="node1", slurm_job="7")
    alive = threading.Event()

    def touch():
        for _ in range(6):
            time.sleep(0.5)
            os.utime(tmp_path / LOCK)
        alive.set()

    threading.Thread(target=touch, daemon=True).start()
    with FolderLock(tmp_path):
        assert alive.is_set()


def test_a_job_that_lost_its_lock_publishes_nothing(here):
    with pytest.raises(BatError, match="took over"), job(here / "out") as running:
        running.output("a.bin").write_bytes(b"late")
        other = asdict(holder_of(here / "out")) | {"token": "other"}
        (here / "out" / LOCK).write_text(json.dumps(other))
    assert [path.name for path in (here / "out").iterdir()] == [LOCK]


def test_a_job_leaves_no_lock(here):
    make(here / "out", {"a.bin": b"a"})
    assert not list((here / "out").glob(LOCK + "*"))
