"""A client that is killed at any moment goes on where it was, and ends with the same bytes."""

import itertools
import json
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from acquisition.client import CRASHED
from acquisition.server import FaultServer, changed, cut, status

FILES = {f"host.org/{name}": random.Random(name).randbytes(120_000) for name in "abcd"}
NEVER = 10**6


@contextmanager
def client(server, folder):
    """Yield a function that gives the client an order and returns how its process ended."""
    listing = json.dumps([(path[-1], [f"https://{path}"]) for path in FILES])
    command = [sys.executable, str(Path(__file__).with_name("client.py"))]
    with subprocess.Popen(
        [*command, server.url, str(folder), listing],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def order(text):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield order
        process.stdin.close()


def assert_whole_or_absent(folder):
    for path, content in FILES.items():
        target = folder / path[-1]
        assert not target.exists() or target.read_bytes() == content


def test_killed_at_twenty_random_moments_it_finishes_with_the_same_bytes(tmp_path):
    moments = random.Random(20260218)
    killed = resumed = 0
    with FaultServer(FILES, pace=1_000_000) as server, client(server, tmp_path) as order:
        while killed < 20:
            end = order(f"kill {moments.uniform(0.0, 0.2)}")
            assert_whole_or_absent(tmp_path)
            if end == -signal.SIGKILL:
                killed += 1
            else:
                # Done before it could be killed: the next moments are for another download.
                assert end == 0
                assert_the_same_bytes(tmp_path)
                for path in tmp_path.iterdir():
                    path.unlink()
        assert order("all") == 0
        resumed = sum(request.range is not None for request in server.log)
    assert resumed >= 3
    assert_the_same_bytes(tmp_path)


def assert_the_same_bytes(folder):
    for path, content in FILES.items():
        assert (folder / path[-1]).read_bytes() == content
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([*"abcd", *(f"{name}.receipt.json" for name in "abcd")])


def test_ended_before_any_step_on_the_disk_it_finishes_with_the_same_bytes(tmp_path):
    content, before = FILES["host.org/a"], FILES["host.org/b"]
    with FaultServer(FILES) as server, client(server, tmp_path) as order:
        for step in itertools.count():
            server.faults["host.org/a"] = [changed(before, after=50_000), cut(60_000), status(500)]
            end = order(f"step {step} {step}")
            if end == 0:
                break
            assert end == CRASHED
            folder = tmp_path / str(step)
            assert_whole_or_absent(folder)
            server.faults.clear()
            assert order(f"step {step} {NEVER}") == 0
            assert (folder / "a").read_bytes() == content
            assert {path.name for path in folder.iterdir()} == {"a", "a.receipt.json"}
    assert step >= 10
