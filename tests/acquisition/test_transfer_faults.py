"""One file from a server that breaks down in every way that servers do."""

import hashlib
import json
import logging
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from acquisition.server import (
    OK,
    Fault,
    FaultServer,
    changed,
    cut,
    hang,
    malformed_chunks,
    no_ranges,
    no_validators,
    redirect,
    silence,
    status,
    truncated,
    wrong_bytes,
    wrong_length,
)
from bat.acquisition import transfer
from bat.acquisition.network import Network
from bat.acquisition.remote import RemoteFile
from bat.acquisition.transfer import fetch
from bat.errors import BatError

PATH = "host.org/data/a.bin"
URL = f"https://{PATH}"
OTHER_PATH = "archive.org/a.bin"
CONTENT = random.Random(1).randbytes(200_000)
NEW = random.Random(2).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with FaultServer({PATH: CONTENT}) as server:
        yield server


@pytest.fixture
def network(server):
    return Network(mirror=server.url, timeout_s=0.3, tries=8, backoff_s=0.002, maximum_wait_s=0.01)


def a_file(**known):
    return RemoteFile(name="a.bin", urls=(URL,), **known)


def proven():
    return a_file(sha256=SHA256, bytes=len(CONTENT))


def ranges(server):
    return [request.range for request in server.log]


# --- survived, with the same bytes ------------------------------------------------------------


@pytest.mark.parametrize("known", [{}, {"sha256": SHA256}], ids=["unproven", "proven"])
@pytest.mark.parametrize("end", ["reset", "close"])
def test_a_connection_that_is_cut_a_hundred_times(server, network, tmp_path, end, known):
    offsets = random.Random(20260218).choices(range(1, 2_000), k=100)
    server.faults[PATH] = [cut(offset, end=end) for offset in offsets]
    counted = []
    fetched = fetch(a_file(**known), tmp_path, network, on_bytes=counted.append)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.attempts == len(server.log) == 101
    assert sum(counted) == len(CONTENT)
    starts = [int(wanted[6:-1]) for wanted in ranges(server)[1:]]
    assert starts == [sum(offsets[: count + 1]) for count in range(100)]


BEGINNING = Fault(
    status=206,
    headers={"Content-Range": "bytes 0-109999/200000"},
    body=CONTENT[:110_000],
    ranges=False,
)
FAULTS = {
    "500s": [status(500)] * 7,
    "502, 503, 504, 408": [status(502), status(503), status(504), status(408)],
    "truncated": [truncated(70_000)],
    "truncated at once": [truncated(0)],
    "too great a length": [wrong_length(1000)],
    "too small a length": [wrong_length(-1000)],
    "wrong bytes": [wrong_bytes(CONTENT)],
    "wrong bytes, in parts": [cut(100), cut(100), wrong_bytes(CONTENT)],
    "no ranges": [no_ranges(after=90_000), no_ranges(after=60_000), no_ranges()],
    "ranges no more": [cut(90_000), status(416), OK],
    "a range elsewhere": [cut(90_000), BEGINNING, OK],
    "a part unasked": [BEGINNING, OK],
    "redirect": [redirect(f"/{PATH}", code=code) for code in (301, 302, 303, 307, 308)],
    "silence": [silence(), silence()],
    "hang": [hang(100), hang(100_000)],
    "bad chunks": [malformed_chunks(50_000), malformed_chunks(0)],
    "chunks": [Fault(chunked=True)],
    "no validators": [no_validators(after=100), no_validators()],
    "changed between": [changed(NEW, after=1000), OK],
    "changed, If-Range ignored": [changed(NEW, after=1000), Fault(if_range=False), OK],
    "changed and longer": [changed(NEW * 2, after=1000), Fault(if_range=False)],
    "changed, no validators": [changed(NEW, after=1000, etag="", if_range=False), no_validators()],
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_survived(server, network, tmp_path, name):
    server.faults[PATH] = list(FAULTS[name])
    fetched = fetch(proven(), tmp_path, network)
    assert fetched.path.read_bytes() == CONTENT
    assert (fetched.sha256, fetched.bytes, fetched.url) == (SHA256, len(CONTENT), URL)
    assert server.faults[PATH] == []
    assert not list(tmp_path.glob("*.part*"))


UNPROVEN = [name for name in FAULTS if "wrong bytes" not in name and "small" not in name]


@pytest.mark.parametrize("name", UNPROVEN)
def test_a_fault_is_survived_also_by_a_file_of_which_nothing_is_known(
    server, network, tmp_path, name
):
    server.faults[PATH] = list(FAULTS[name])
    assert fetch(a_file(), tmp_path, network).path.read_bytes() == CONTENT


@pytest.mark.parametrize("seed", range(25))
def test_faults_of_all_kinds_one_after_the_other_are_survived(server, network, tmp_path, seed):
    chance = random.Random(seed)
    menu = [fault for faults in FAULTS.values() for fault in faults if not fault.hang_s]
    menu = [fault for fault in menu if not fault.silent_s and fault.body is None]
    menu += [cut(chance.randrange(len(CONTENT))) for _ in range(len(menu))]
    server.faults[PATH] = chance.choices(menu, k=6)
    assert fetch(proven(), tmp_path, network).path.read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.part*"))


def test_a_change_between_parts_is_said(server, network, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    server.faults[PATH] = [changed(NEW, after=1000), OK]
    fetch(a_file(), tmp_path, network)
    assert ranges(server) == [None, "bytes=1000-"]
    assert "a.bin: the file changed on the server; starting anew" in caplog.text


def test_after_a_late_change_it_is_as_patient_as_before(server, network, tmp_path):
    cuts = [cut(offset, end="close") for offset in [1000] * 30]
    server.faults[PATH] = [changed(NEW, after=190_000), *cuts]
    assert fetch(a_file(), tmp_path, network).path.read_bytes() == CONTENT


def test_another_length_is_a_change_even_where_a_checksum_would_tell(server, network, tmp_path):
    weak = {"etag": 'W/"1"', "if_range": False}
    server.faults[PATH] = [changed(NEW * 2, after=1000, etag='W/"1"'), Fault(**weak)]
    assert fetch(a_file(sha256=SHA256), tmp_path, network).path.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-", None]
    assert not list(tmp_path.glob("*.bad-*"))


def test_wrong_bytes_are_kept_under_a_name_that_says_so(server, network, tmp_path, caplog):
    wrong = wrong_bytes(CONTENT)
    server.faults[PATH] = [wrong]
    fetch(proven(), tmp_path, network)
    found = hashlib.sha256(wrong.body).hexdigest()
    aside = tmp_path / f"a.bin.bad-{found[:12]}"
    assert aside.read_bytes() == wrong.body
    assert f"expected sha256 {SHA256}, found {found}; kept as {aside}" in caplog.text


# --- waiting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "kind"), [(429, "seconds"), (503, "seconds"), (429, "date")])
def test_a_server_says_how_long_to_wait(server, tmp_path, code, kind):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.faults[PATH] = [status(code, Retry_After="1" if kind == "seconds" else until)]
    network = Network(mirror=server.url, backoff_s=0.0, maximum_wait_s=5.0)
    started = time.monotonic()
    fetch(proven(), tmp_path, network)
    assert 0.9 < time.monotonic() - started < 4.0


@pytest.mark.parametrize(
    "asked", ["86400", "Fri, 18 Feb 2050 12:00:00 GMT", "Fri, 18 Feb 2050 12:00:00 -0000"]
)
def test_no_server_makes_it_wait_for_ever(server, network, tmp_path, asked, caplog):
    caplog.set_level(logging.INFO)
    server.faults[PATH] = [status(429, Retry_After=asked)] * 3
    fetch(proven(), tmp_path, network)
    assert caplog.text.count("429 Too Many Requests; again in 0.0 s") == 3


@pytest.mark.parametrize("asked", ["", "-1", "soon", "Fri, 99 Feb 2050", "1e9", "9" * 30])
def test_nonsense_is_no_time_to_wait(server, network, tmp_path, asked):
    server.faults[PATH] = [status(503, Retry_After=asked)]
    assert fetch(proven(), tmp_path, network).attempts == 2


def test_waits_grow_to_a_bound(server, network, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(transfer._Transfer, "_pause", lambda _, seconds: waits.append(seconds))
    monkeypatch.setattr(transfer.random, "uniform", lambda _, high: high)
    server.always[PATH] = status(500)
    with pytest.raises(BatError):
        fetch(a_file(), tmp_path, network)
    assert waits == pytest.approx([0.002, 0.004, 0.008, 0.01, 0.01, 0.01, 0.01])


# --- given up ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(500), "500 Internal Server Error"),
        (status(599), "status 599"),
        (status(429), "429 Too Many Requests"),
        (truncated(0), "the body ended too early"),
        (cut(0), "the connection was cut (Connection reset by peer)"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_address_that_brings_nothing_is_given_up_for_the_next(
    server, network, tmp_path, fault, said, caplog
):
    server.always[PATH] = fault
    server.files[OTHER_PATH] = CONTENT
    file = RemoteFile(name="a.bin", urls=(URL, f"https://{OTHER_PATH}"), sha256=SHA256)
    fetched = fetch(file, tmp_path, network)
    assert len(server.asked(PATH)) == network.tries
    assert (fetched.url, fetched.attempts) == (f"https://{OTHER_PATH}", network.tries + 1)
    assert f"{URL}: {said}" in caplog.text


def test_a_size_other_than_published_is_given_up(server, network, tmp_path):
    with pytest.raises(BatError) as error:
        fetch(a_file(bytes=7), tmp_path, network)
    expected = f"{tmp_path}/a.bin: not fetched; {URL}: expected 7 bytes, found 200000"
    assert str(error.value) == expected
    assert len(server.log) == network.tries
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("size", "said"), [(7, "found more"), (300_000, "200000 of 300000")])
def test_a_size_other_than_published_that_shows_late_is_given_up(
    server, network, tmp_path, size, said
):
    server.always[PATH] = Fault(chunked=True)
    with pytest.raises(BatError, match=said):
        fetch(a_file(bytes=size), tmp_path, network)


def test_a_length_that_is_always_wrong_is_given_up(server, network, tmp_path):
    server.always[PATH] = wrong_length(10)
    with pytest.raises(BatError, match=r"not fetched; https://host\.org/data/a\.bin: "):
        fetch(a_file(), tmp_path, network)
    assert len(server.log) < 60


def test_bytes_that_are_always_wrong_are_fetched_twice_and_then_elsewhere(
    server, network, tmp_path
):
    wrong = wrong_bytes(CONTENT)
    server.always[PATH] = wrong
    file = RemoteFile(name="a.bin", urls=(URL, f"https://{OTHER_PATH}"), sha256=SHA256)
    with pytest.raises(BatError) as error:
        fetch(file, tmp_path, network)
    found = hashlib.sha256(wrong.body).hexdigest()
    kept = tmp_path / f"a.bin.bad-{found[:12]}"
    assert f"{URL}: expected sha256 {SHA256}, found {found}; kept as {kept}" in str(error.value)
    assert f"https://{OTHER_PATH}: 404 Not Found" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    assert len(server.asked(PATH)) == 2
    server.files[OTHER_PATH] = CONTENT
    assert fetch(file, tmp_path, network).path.read_bytes() == CONTENT


def test_a_connection_that_is_cut_for_ever_is_given_up(server, network, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "_INTERRUPTIONS_AT_MOST", 30)
    server.always[PATH] = cut(10, end="close")
    with pytest.raises(BatError, match="the body ended too early, for the 30th time"):
        fetch(a_file(), tmp_path, network)
    assert (tmp_path / "a.bin.part").read_bytes() == CONTENT[:300]


# --- a full disk --------------------------------------------------------------------------------

FULL_DISK = """
import json, shutil, sys
from pathlib import Path
from bat.acquisition.network import Network
from bat.acquisition.remote import RemoteFile
from bat.acquisition.transfer import fetch
from bat.errors import BatError

disk, mirror = Path("small"), sys.argv[1]

def attempt(name, on_bytes=lambda count: None):
    file = RemoteFile(name=name, urls=(f"https://host.org/{name}",))
    try:
        done = fetch(file, disk, Network(mirror=mirror), on_bytes=on_bytes).sha256
    except BatError as error:
        done = str(error)
    part = disk / f"{name}.part"
    size = part.stat().st_size if part.exists() else None
    print(json.dumps([done, size, shutil.disk_usage(disk).free]), flush=True)

def fill(count):
    filler = disk / "filler"
    if count > 0 and not filler.exists():
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 300_000))

attempt("larger")           # known beforehand
attempt("chunked")          # not known beforehand
(disk / "chunked.part").unlink()
attempt("smaller", fill)    # somebody else fills the disk
(disk / "filler").unlink()
attempt("smaller")
"""


def test_a_full_disk_says_how_much_is_missing_and_keeps_what_came(tmp_path):
    """A real full disk: a 2 MiB file system, in a mount namespace of the test's own."""
    files = {name: random.Random(name).randbytes(3_000_000) for name in ("larger", "chunked")}
    files["smaller"] = files["larger"][:1_500_000]
    (tmp_path / "small").mkdir()
    (tmp_path / "client.py").write_text(FULL_DISK)
    with FaultServer({f"host.org/{name}": content for name, content in files.items()}) as server:
        server.always["host.org/chunked"] = Fault(chunked=True)
        done = in_small_disk(tmp_path, f"'{sys.executable}' client.py {server.url}")
    if "mount" in done.stderr and "permitted" in done.stderr:
        pytest.skip("this system lets a test neither make a namespace nor mount a tmpfs")
    assert done.returncode == 0, done.stderr
    larger, chunked, filled, finished = (json.loads(line) for line in done.stdout.splitlines())
    kept = "more bytes are needed; what came so far is kept"

    said, part, free = larger
    # the part's note and directory entry take a page or two
    assert said.startswith("small/larger: the disk is full; ")
    assert 0 <= 3_000_000 - free - int(said.split()[5]) + 2 * 4096 <= 4 * 4096
    assert part is None

    said, part, free = chunked
    assert said.startswith("small/chunked: the disk is full; at least ") and said.endswith(kept)
    assert part > 1_500_000

    said, part, free = filled
    assert said.startswith("small/smaller: the disk is full; ") and said.endswith(kept)
    assert int(said.split()[5]) == 1_500_000 - part - free or free < 2**18
    assert part > 0

    assert finished[:2] == [hashlib.sha256(files["smaller"]).hexdigest(), None]
    assert server.log[-1].range == f"bytes={part}-"


def in_small_disk(folder, command):
    script = f"mount -t tmpfs -o size=2m tmpfs small && {command}"
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        namespace = ["unshare", "--mount", "sh", "-c"]
    return subprocess.run(
        [*namespace, script], cwd=folder, capture_output=True, text=True, check=False
    )


# --- secrets ------------------------------------------------------------------------------------


def test_no_credential_is_ever_written(tmp_path, monkeypatch):
    """A secret in every place that may hold one; then every file and the whole log is searched."""
    monkeypatch.setenv("HF_TOKEN", "hf_SECRET")
    folder, log = tmp_path / "downloads", tmp_path / "log.txt"
    handler = logging.FileHandler(log)
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    logging.getLogger().addHandler(handler)
    said = []
    with FaultServer() as server:
        said += run_with_secrets(server, folder)
        authorised = {request.path for request in server.log if request.authorization}
    logging.getLogger().removeHandler(handler)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 6
    assert log.stat().st_size > 1000
    for path in written:
        assert b"SECRET" not in path.read_bytes(), path
        assert "SECRET" not in path.name
    assert len(said) == 7
    assert "SECRET" not in "".join(said)
    assert any(path.startswith("huggingface.co/") for path in authorised)
    assert not any(path.startswith("cdn.org/") for path in authorised)


def run_with_secrets(server, folder):
    """Fetch with secrets in tokens, passwords, queries, redirects and reasons; return messages."""
    signed = f"http://localhost:{server.port}/cdn.org/x?X-Amz-Signature=SECRET"
    end = [
        (OK, OK),
        (status(403, reason="SECRET"), OK),
        (status(404), OK),
        (status(500, reason="SECRET"), OK),
        (redirect("http://[SECRET/"), OK),
        (redirect("http://user:SECRET@localhost:1/x?key=SECRET"), OK),
        (redirect(signed), status(500)),
        (redirect(signed), wrong_bytes(CONTENT)),
        (redirect(signed), cut(1000)),
    ]
    messages = []
    for number, (first, second) in enumerate(end):
        name = f"resolve/{number}"
        path = f"huggingface.co/owner/name/{name}"
        server.files |= {path: CONTENT, "cdn.org/x": CONTENT}
        server.always |= {path: first, "cdn.org/x": second}
        url = f"https://user:SECRET@{path}?token=SECRET"
        network = Network(
            mirror=f"http://me:SECRET@127.0.0.1:{server.port}" if number % 2 else server.url,
            timeout_s=0.3,
            tries=2,
            backoff_s=0.0,
        )
        file = RemoteFile(name=str(number), urls=(url,), sha256=SHA256)
        try:
            fetch(file, folder, network)
        except BatError as error:
            messages.append(str(error))
    return messages
