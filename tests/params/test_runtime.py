"""How a stage's process starts, reports and ends."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from bat import progress
from bat.progress import track
from bat.runtime import (
    DIE_WITH_PARENT,
    PARAMS_FILE,
    limit_threads,
    serve_stages,
    start_log,
    threads,
)
from params.conftest import REPOSITORY

IN_A_JOB = """
    import sys, time
    from pathlib import Path
    from bat.provenance.job import Job
    from bat.runtime import end_cleanly
    end_cleanly()
    with Job(stage="s", selection={}, settings={}, inputs={}, folder=Path("out"), code={},
             determinism="bitwise", wanted=lambda: "w") as job:
        job.output("a.bin").write_bytes(b"half")
        print("ready", flush=True)
        time.sleep(60)
"""


def start(script, folder, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_terminated_job_cleans_up_and_says_why_it_ended(tmp_path):
    with start(IN_A_JOB, tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors == ""
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_job_leaves_nothing_that_looks_finished(tmp_path):
    with start(IN_A_JOB, tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
    left = sorted(path.name[:9] for path in (tmp_path / "out").iterdir())
    assert left == [".lock", ".partial-"]  # the next job takes the lock over


@pytest.mark.parametrize("served", [True, False])
def test_a_job_of_a_workflow_ends_with_the_workflow_and_another_does_not(tmp_path, served):
    (tmp_path / "job.py").write_text(textwrap.dedent(IN_A_JOB), encoding="utf-8")
    workflow = """
        import subprocess, sys, time
        job = subprocess.Popen([sys.executable, "job.py"], stdout=subprocess.PIPE, text=True)
        assert job.stdout.readline() == "ready\\n"
        print(job.pid, flush=True)
        time.sleep(60)
    """
    environment = {DIE_WITH_PARENT: "1"} if served else {}
    with start(workflow, tmp_path, **environment) as process:
        job = int(process.stdout.readline())
        process.kill()
    try:
        ended = wait_until_gone(job, seconds=20 if served else 1.5)
    finally:
        if not served:
            os.kill(job, signal.SIGKILL)
    assert ended == served
    assert (list((tmp_path / "out").iterdir()) == []) == served


def wait_until_gone(process, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_numerical_libraries_get_the_threads_they_are_given(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "64")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("POLARS_MAX_THREADS", "64")
    limit_threads(3)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        assert os.environ[name] == "3"
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["POLARS_MAX_THREADS"] == "3"
    assert threads() == 3


def test_a_process_that_was_given_no_number_of_threads_has_one(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads() == 1


def test_a_workflow_serves_this_interpreters_bat_and_its_parameters(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/usr/bin")
    for name in (PARAMS_FILE, DIE_WITH_PARENT):
        monkeypatch.setenv(name, "before")
    serve_stages(tmp_path / "other.yaml")
    assert os.environ["PATH"].split(os.pathsep) == [os.path.dirname(sys.executable), "/usr/bin"]  # noqa: PTH120
    assert os.environ[PARAMS_FILE] == str(tmp_path / "other.yaml")
    assert os.environ[DIE_WITH_PARENT] == "1"


@pytest.fixture
def package_log():
    """The package's logger, as it was before."""
    logger = logging.getLogger("bat")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield logger
    for handler in set(logger.handlers) - set(before[2]):
        logger.removeHandler(handler)
        handler.close()
    logger.level, logger.propagate = before[:2]


def test_messages_go_to_the_screen_and_into_the_log(tmp_path, capsys, package_log):
    start_log(tmp_path / "deep" / "job.log")
    logging.getLogger("bat.somewhere").info("hello")
    assert "hello" in capsys.readouterr().err
    assert "hello" in (tmp_path / "deep" / "job.log").read_text("utf-8")


@pytest.mark.parametrize("items", [[], [1], range(50)])
def test_progress_yields_every_item_once(items):
    assert list(track(items, "working")) == list(items)
    assert list(track(iter(items), "working", total=len(items))) == list(items)


def test_progress_says_now_and_then_how_far_it_is(monkeypatch, caplog):
    clock = iter(range(0, 10_000, 6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="bat"):
        assert list(track(range(4), "cutting")) == [0, 1, 2, 3]
        assert list(track(iter("abcd"), "counting")) == ["a", "b", "c", "d"]
    assert [record.getMessage() for record in caplog.records] == [
        "cutting: 2/4 (50%), about 12 s left",
        "cutting: 4/4 (100%), about 0 s left",
        "counting: 2 done",
        "counting: 4 done",
    ]


def test_progress_passes_on_an_error_of_the_work():
    def failing():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(track(failing(), "working"))
