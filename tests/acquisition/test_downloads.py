"""Many files: in order, in parallel, within a bound, with an end that is prompt."""

import hashlib
import logging
import os
import pty
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.server import FaultServer, cut, hang, silence, status
from bat import progress
from bat.acquisition import downloads
from bat.acquisition.downloads import fetch_all, peak_scratch_bytes
from bat.acquisition.network import Network
from bat.acquisition.remote import RemoteFile
from bat.errors import BatError

CHANCE = random.Random(20260218)
CONTENTS = [CHANCE.randbytes(CHANCE.randrange(20_000, 40_000)) for _ in range(16)]
FILES = [
    RemoteFile(
        name=f"part/{number:02}.zip",
        urls=(f"https://host.org/{number:02}.zip",),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    for number, content in enumerate(CONTENTS)
]
PATHS = [file.urls[0].removeprefix("https://") for file in FILES]


@pytest.fixture
def server():
    with FaultServer(dict(zip(PATHS, CONTENTS, strict=True))) as server:
        yield server


@pytest.fixture
def network(server):
    return Network(mirror=server.url, timeout_s=0.3, tries=3, backoff_s=0.01, connections=3)


def lying_there(folder):
    """Names of the files that take space, whole or in part; and the space."""
    names, size = set(), 0
    for path in folder.rglob("*"):
        if path.suffix in (".zip", ".part"):
            names.add(path.name.removesuffix(".part"))
            size += path.stat().st_size
    return names, size


class Watch:
    """Looks at a folder all the time, and keeps the most that it saw."""

    def __init__(self, folder):
        self._folder = folder
        self._done = threading.Event()
        self.files = self.bytes = 0

    def look(self):
        try:
            names, size = lying_there(self._folder)
        except FileNotFoundError:  # renamed while it was looked at
            return
        self.files, self.bytes = max(self.files, len(names)), max(self.bytes, size)

    def __enter__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        while not self._done.wait(0.001):
            self.look()

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def test_files_come_in_order_while_several_are_downloaded(server, network, tmp_path):
    server.pace = 400_000
    fetched = list(fetch_all(FILES, tmp_path, network))
    assert [file.path for file in fetched] == [tmp_path / file.name for file in FILES]
    assert [file.path.read_bytes() for file in fetched] == CONTENTS
    assert server.most_running == network.connections


def test_nothing_to_fetch_is_nothing(network, tmp_path):
    assert list(fetch_all([], tmp_path, network)) == []


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_no_more_files_than_agreed_lie_on_the_disk(server, network, tmp_path, ahead):
    server.pace = 1_000_000
    contents = []
    with Watch(tmp_path) as watch:
        for file in fetch_all(FILES, tmp_path, network, ahead=ahead):
            time.sleep(CHANCE.choice([0.0, 0.02]))
            watch.look()
            contents.append(file.path.read_bytes())
            file.discard()
    assert contents == CONTENTS
    assert 1 <= watch.files <= ahead
    assert 0 < watch.bytes <= peak_scratch_bytes(FILES, ahead)
    assert lying_there(tmp_path) == (set(), 0)


def test_faults_of_single_files_do_not_disturb_the_order(server, network, tmp_path):
    for path in PATHS:
        server.faults[path] = CHANCE.choices([cut(500), status(503), silence(0.05)], k=2)
    fetched = fetch_all(FILES, tmp_path, network, ahead=4)
    assert [file.path.read_bytes() for file in fetched] == CONTENTS


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(1, 9))
def test_the_peak_is_what_a_consumer_sees_at_worst(sizes, ahead):
    files = [RemoteFile(name=str(size), urls=(), bytes=size) for size in sizes]
    # While file n is in the consumer's hands, the next ahead - 1 may be there too.
    seen = [sum(sizes[held : held + ahead]) for held in range(len(sizes))]
    assert peak_scratch_bytes(files, ahead) == max(seen, default=0)
    assert peak_scratch_bytes(files) == sum(sizes)


def test_without_a_size_no_peak_is_known():
    files = [RemoteFile(name="a", urls=(), bytes=3), RemoteFile(name="b", urls=())]
    assert peak_scratch_bytes(files, 1) is None


# --- the end ------------------------------------------------------------------------------------


def no_downloads_left():
    return not [t for t in threading.enumerate() if t.name.startswith("download-") and t.is_alive()]


def test_the_first_failure_stops_the_others_and_what_they_have_stays(server, network, tmp_path):
    server.pace = 30_000
    server.faults[PATHS[2]] = [status(503, Retry_After="9")]
    server.always[PATHS[2]] = status(404)
    started = time.monotonic()
    with pytest.raises(BatError, match=r"part/02\.zip: not fetched; .*404 Not Found"):
        list(fetch_all(FILES, tmp_path, replace(network, maximum_wait_s=0.3)))
    assert time.monotonic() - started < 5.0
    assert no_downloads_left()
    parts = {path.name: path.stat().st_size for path in tmp_path.rglob("*.part")}
    assert set(parts) == {"00.zip.part", "01.zip.part"}
    server.pace = 0
    server.always.clear()
    server.log.clear()
    fetched = fetch_all(FILES, tmp_path, network)
    assert [file.path.read_bytes() for file in fetched] == CONTENTS
    assert server.asked(PATHS[0])[0].range == f"bytes={parts['00.zip.part']}-"


def test_a_caller_that_leaves_stops_the_downloads(server, network, tmp_path):
    server.pace = 30_000
    fetched = fetch_all(FILES, tmp_path, network)
    next(fetched)
    fetched.close()
    assert no_downloads_left()
    asked = len(server.log)
    time.sleep(0.1)
    assert len(server.log) == asked


def test_what_nobody_foresaw_does_not_leave_the_caller_waiting(network, tmp_path, monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    monkeypatch.setattr(downloads, "fetch", lambda *_, **__: {}["a mistake"])
    with pytest.raises(RuntimeError, match=r"part/0\d\.zip: the download broke down"):
        list(fetch_all(FILES, tmp_path, network))
    assert reported[0].exc_type is KeyError


CLIENT = """
import sys
from pathlib import Path
from bat.acquisition.downloads import fetch_all
from bat.acquisition.network import Network
from bat.acquisition.remote import RemoteFile
from bat.runtime import end_cleanly

end_cleanly()
files = [RemoteFile(name=n, urls=(f"https://host.org/{n}",), bytes=40_000) for n in sys.argv[2:]]
for file in fetch_all(files, Path("here"), Network(mirror=sys.argv[1])):
    print(file.path, flush=True)
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_ends_it_at_once_although_servers_hang(tmp_path, sent, code):
    files = {f"host.org/{name}": bytes(40_000) for name in "abc"}
    with FaultServer(files) as server:
        server.always = {
            "host.org/b": hang(20_000, seconds=60),
            "host.org/c": silence(60),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, server.url, *"abc"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout.readline() == "here/a\n"
            until = time.monotonic() + 10
            while server.running < 2 and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.1)
            process.send_signal(sent)
            started = time.monotonic()
            errors = process.communicate(timeout=20)[1]
            assert time.monotonic() - started < 5.0
    assert process.returncode == code, errors
    assert "Fatal" not in errors
    assert (tmp_path / "here/b.part").read_bytes() == bytes(20_000)


# --- progress -----------------------------------------------------------------------------------


def test_without_a_terminal_a_line_says_how_far_it_is(
    server, network, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.1)
    monkeypatch.setattr(downloads, "_TICK_S", 0.02)
    server.pace = 200_000
    list(fetch_all(FILES, tmp_path, network))
    lines = [record.message for record in caplog.records if record.name == "bat.progress"]
    form = (
        r"downloading, \d+/16 files: \d\.\d of \d\.\d MB \(\d+%\), \d\.\d MB/s"
        r"(, about \d+ s left)?"
    )
    assert len(lines) >= 2
    assert all(re.fullmatch(form, line) for line in lines), lines


def test_a_size_that_is_not_known_leaves_the_share_out(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress.ByteProgress("downloading", 2, None) as shown:
        shown.add(2_000_000)
        shown.file_done()
        shown.tick()
    assert re.search(r"downloading, 1/2 files: 2\.0 MB, \d+\.\d MB/s$", caplog.text.strip())


@pytest.mark.parametrize("workflow", [False, True])
def test_on_a_terminal_there_is_one_bar_but_none_under_the_workflow(tmp_path, workflow):
    files = {f"host.org/{name}": bytes(40_000) for name in "abc"}
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    environment |= {"BAT_DIE_WITH_PARENT": "1"} if workflow else {}
    ours, theirs = pty.openpty()
    with FaultServer(files, pace=100_000) as server:
        subprocess.run(
            [sys.executable, "-c", CLIENT, server.url, *"abc"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env=environment,
            timeout=30,
            check=True,
        )
    os.write(theirs, b"end")
    shown = os.read(ours, 2**20).decode()
    os.close(ours)
    os.close(theirs)
    assert ("downloading" in shown) is not workflow
    assert bool(re.search(r"120\.0/120\.0 kB.*[0-9.]+ kB/s", shown)) is not workflow
