"""One file from a server that does what it should, from a folder, or already there."""

import hashlib
import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acquisition.server import Fault, FaultServer, cut, no_validators, redirect, status
from bat.acquisition.network import Network
from bat.acquisition.remote import RemoteFile
from bat.acquisition.transfer import StoppedError, fetch
from bat.errors import BatError

PATH = "host.org/data/a.bin"
URL = f"https://{PATH}"
CONTENT = random.Random(0).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server():
    with FaultServer({PATH: CONTENT}) as server:
        yield server


@pytest.fixture
def network(server):
    return Network(mirror=server.url, timeout_s=0.5, tries=3, backoff_s=0.01, maximum_wait_s=0.05)


def a_file(**known):
    return RemoteFile(name="sub/a.bin", urls=(URL,), **known)


def left_over(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_with_its_checksums_and_a_receipt(server, network, tmp_path):
    counted = []
    fetched = fetch(a_file(), tmp_path, network, on_bytes=counted.append)
    assert fetched.path == tmp_path / "sub/a.bin"
    assert fetched.path.read_bytes() == CONTENT
    assert (fetched.bytes, fetched.sha256, fetched.md5) == (len(CONTENT), SHA256, MD5)
    assert (fetched.url, fetched.attempts) == (URL, 1)
    assert sum(counted) == len(CONTENT)
    assert left_over(tmp_path) == ["a.bin", "a.bin.receipt.json"]
    receipt = json.loads((tmp_path / "sub/a.bin.receipt.json").read_text())
    assert receipt == {"bytes": len(CONTENT), "md5": MD5, "sha256": SHA256, "url": URL}


def test_an_empty_file_is_a_file(server, network, tmp_path):
    server.files[PATH] = b""
    assert fetch(a_file(bytes=0), tmp_path, network).bytes == 0
    assert left_over(tmp_path) == ["a.bin", "a.bin.receipt.json"]


@pytest.mark.parametrize("known", [{}, {"sha256": SHA256}, {"md5": MD5}, {"bytes": len(CONTENT)}])
def test_a_file_that_is_there_is_verified_and_not_asked_for(server, network, tmp_path, known):
    fetch(a_file(**known), tmp_path, network)
    again = fetch(a_file(**known), tmp_path, network)
    assert (again.sha256, again.url, again.attempts) == (SHA256, URL, 0)
    assert len(server.log) == 1


@pytest.mark.parametrize(
    "known", [{}, {"sha256": SHA256}, {"md5": MD5}, {"bytes": len(CONTENT)}], ids=str
)
def test_a_file_that_is_there_but_damaged_is_moved_aside(server, network, tmp_path, known, caplog):
    path = fetch(a_file(**known), tmp_path, network).path
    path.write_bytes(b"damaged")
    assert fetch(a_file(**known), tmp_path, network).sha256 == SHA256
    aside = path.with_name(f"a.bin.bad-{hashlib.sha256(b'damaged').hexdigest()[:12]}")
    assert aside.read_bytes() == b"damaged"
    assert f"kept as {aside.name}" in caplog.text


def test_a_file_put_there_by_hand_counts(server, network, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.bin").write_bytes(CONTENT)
    fetched = fetch(a_file(), tmp_path, network)
    assert (fetched.sha256, fetched.url, server.log) == (SHA256, "", [])


def test_the_test_server_runs_in_a_process_of_its_own(tmp_path):
    (tmp_path / "served" / PATH).parent.mkdir(parents=True)
    (tmp_path / "served" / PATH).write_bytes(CONTENT)
    command = [sys.executable, "-m", "acquisition.server", str(tmp_path / "served")]
    pipe = subprocess.PIPE
    tests = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=tests) as server:
        network = Network(mirror=server.stdout.readline().strip())
        assert fetch(a_file(), tmp_path, network).sha256 == SHA256
        server.stdin.close()
        assert server.wait(10) == 0


def test_discard_leaves_nothing(network, tmp_path):
    fetch(a_file(), tmp_path, network).discard()
    assert left_over(tmp_path) == []


def test_bytes_are_kept_as_they_are_sent(server, network, tmp_path):
    """Some servers call the gzip of a .tar.gz its encoding."""
    server.faults[PATH] = [status(200, Content_Encoding="gzip")]
    assert fetch(a_file(), tmp_path, network).path.read_bytes() == b"this is not the file"


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../b", ""])
def test_a_name_that_leaves_the_folder_is_refused(network, tmp_path, name):
    with pytest.raises(BatError, match="expected a relative path"):
        fetch(RemoteFile(name=name, urls=(URL,)), tmp_path / "in", network)
    assert not list(tmp_path.iterdir())


# --- offline, and from a folder -----------------------------------------------------------------


def test_offline_a_missing_file_is_named(server, tmp_path):
    offline = Network(offline=True, mirror=server.url)
    with pytest.raises(BatError, match=r"sub/a\.bin: missing, and nothing is downloaded offline"):
        fetch(a_file(), tmp_path, offline)
    assert server.log == []


def test_offline_a_file_that_is_there_is_taken_and_a_wrong_one_left_alone(network, tmp_path):
    path = fetch(a_file(), tmp_path, network).path
    offline = Network(offline=True)
    assert fetch(a_file(sha256=SHA256), tmp_path, offline).sha256 == SHA256
    with pytest.raises(BatError, match=f"expected sha256 {'0' * 64}, found {SHA256}"):
        fetch(a_file(sha256="0" * 64), tmp_path, offline)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("offline", [False, True])
def test_a_mirror_may_be_a_folder(tmp_path, offline):
    source = tmp_path / "mirror" / PATH
    source.parent.mkdir(parents=True)
    source.write_bytes(CONTENT)
    network = Network(mirror=str(tmp_path / "mirror"), offline=offline)
    fetched = fetch(a_file(sha256=SHA256, bytes=len(CONTENT)), tmp_path / "here", network)
    assert fetched.path.read_bytes() == CONTENT
    assert (fetched.url, fetched.sha256) == (URL, SHA256)
    fetched.discard()
    assert source.read_bytes() == CONTENT


def test_what_a_folder_lacks_or_has_wrong_is_named(tmp_path):
    network = Network(mirror=str(tmp_path))
    with pytest.raises(BatError, match=rf"not fetched; {URL}: the mirror has no file .*{PATH}"):
        fetch(a_file(), tmp_path / "here", network)
    source = tmp_path / PATH
    source.parent.mkdir(parents=True)
    source.write_bytes(b"other")
    with pytest.raises(BatError, match="expected 7 bytes, found 5"):
        fetch(a_file(bytes=7), tmp_path / "here", network)
    with pytest.raises(BatError, match=f"expected md5 {MD5}, found .*; kept as .*bad-"):
        fetch(a_file(md5=MD5), tmp_path / "here", network)
    assert source.read_bytes() == b"other"


# --- addresses ----------------------------------------------------------------------------------


def test_the_next_address_is_asked_and_named_in_the_record(server, network, tmp_path):
    file = RemoteFile(name="a", urls=("https://gone.org/x?key=SECRET", URL))
    fetched = fetch(file, tmp_path, network)
    assert (fetched.sha256, fetched.url, fetched.attempts) == (SHA256, URL, 2)


def test_if_no_address_has_it_all_are_named(server, network, tmp_path):
    server.faults["two.org/x"] = [status(410)]
    file = RemoteFile(name="a", urls=("https://one.org/x?key=SECRET", "https://two.org/x"))
    with pytest.raises(BatError) as error:
        fetch(file, tmp_path, network)
    assert str(error.value) == (
        f"{tmp_path}/a: not fetched; https://one.org/x: 404 Not Found; https://two.org/x: 410 Gone"
    )
    assert len(server.log) == 2
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("code", [400, 401, 403, 404, 406, 451])
def test_a_refusal_is_not_asked_again(server, network, tmp_path, code):
    server.always[PATH] = status(code, reason="SECRET")
    with pytest.raises(BatError, match=f"{URL}: .*{code}") as error:
        fetch(a_file(), tmp_path, network)
    assert len(server.log) == 1
    assert "SECRET" not in str(error.value)
    assert "HF_TOKEN" not in str(error.value)


@pytest.mark.parametrize("code", [401, 403])
def test_the_hub_says_how_to_be_let_in(server, network, tmp_path, code):
    path = "huggingface.co/datasets/owner/name/resolve/main/x.zip"
    server.always[path] = status(code)
    with pytest.raises(BatError) as error:
        fetch(RemoteFile(name="x", urls=(f"https://{path}",)), tmp_path, network)
    assert f"access is refused ({code} " in str(error.value)
    assert "set HF_TOKEN" in str(error.value)
    assert "the terms at https://huggingface.co/datasets/owner/name," in str(error.value)


def test_a_redirect_is_followed_and_a_resumed_one_again(server, network, tmp_path):
    server.faults[PATH] = [
        redirect(f"http://localhost:{server.port}/cdn.org/x?sign=SECRET"),
        redirect("/cdn.org/x", code=307),
    ]
    server.files["cdn.org/x"] = CONTENT
    server.faults["cdn.org/x"] = [cut(1000)]
    fetched = fetch(a_file(), tmp_path, network)
    assert (fetched.sha256, fetched.url) == (SHA256, URL)
    assert [request.range for request in server.asked("cdn.org/x")] == [None, "bytes=1000-"]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (f"/{PATH}", "leads from address to address without end"),
        ("ftp://host.org/SECRET", "cannot be read"),
        ("http://[SECRET/", "cannot be read"),
    ],
)
def test_a_redirect_to_nowhere_is_named(server, network, tmp_path, to, message):
    server.always[PATH] = redirect(to)
    with pytest.raises(BatError, match=message) as error:
        fetch(a_file(), tmp_path, network)
    assert "SECRET" not in str(error.value)


def test_a_host_that_does_not_answer_is_named(tmp_path):
    with FaultServer() as gone:
        pass
    network = Network(mirror=gone.url, tries=2, backoff_s=0.0)
    with pytest.raises(BatError, match=rf"{URL}: no answer \(Connection refused\)"):
        fetch(a_file(), tmp_path, network)


# --- the part and its note ------------------------------------------------------------------------


def interrupt(network, folder, after, server, **known):
    """Leave the first bytes of the file behind, as a killed process does."""
    stop = threading.Event()
    server.faults[PATH].append(cut(after))
    with pytest.raises(StoppedError):
        fetch(a_file(**known), folder, network, on_bytes=lambda n: n and stop.set(), stop=stop)
    server.log.clear()
    return folder / "sub/a.bin.part"


def test_a_part_is_continued_by_the_next_process(server, network, tmp_path):
    left = interrupt(network, tmp_path, 5000, server)
    size = left.stat().st_size
    assert 0 < size <= 5000
    counted = []
    assert fetch(a_file(), tmp_path, network, on_bytes=counted.append).sha256 == SHA256
    assert server.log[0].range == f"bytes={size}-"
    assert sum(counted) == len(CONTENT)


@pytest.mark.parametrize("note", [None, b"", b"{", b"[1]", b'{"url": 3}', b'{"url": "\xff"}'])
def test_a_part_without_a_good_note_is_not_trusted(server, network, tmp_path, note):
    left = interrupt(network, tmp_path, 5000, server)
    left.write_bytes(b"x" * 100)
    path = left.with_name("a.bin.part.json")
    path.unlink() if note is None else path.write_bytes(note)
    assert fetch(a_file(), tmp_path, network).sha256 == SHA256
    assert [request.range for request in server.log] == [None]


def test_a_part_that_is_already_whole_is_not_asked_for(server, network, tmp_path):
    left = interrupt(network, tmp_path, 5000, server)
    left.write_bytes(CONTENT)
    fetched = fetch(a_file(), tmp_path, network)
    assert (fetched.sha256, fetched.attempts, server.log) == (SHA256, 0, [])


def test_a_part_of_other_bytes_is_found_out_by_the_checksum(server, network, tmp_path):
    left = interrupt(network, tmp_path, 5000, server)
    left.write_bytes(b"x" * 100)
    fetched = fetch(a_file(sha256=SHA256), tmp_path, network)
    assert (fetched.sha256, fetched.attempts) == (SHA256, 2)
    (aside,) = fetched.path.parent.glob("a.bin.bad-*")
    assert aside.read_bytes() == b"x" * 100 + CONTENT[100:]


@pytest.mark.parametrize(
    ("known", "ranges"), [({}, [None]), ({"md5": MD5}, ["bytes=100-"])], ids=["unproven", "proven"]
)
def test_without_a_validator_only_a_checksum_allows_to_resume(
    server, network, tmp_path, known, ranges
):
    server.always[PATH] = no_validators()
    server.faults[PATH] = [no_validators(after=100)]
    assert fetch(a_file(**known), tmp_path, network).sha256 == SHA256
    assert [request.range for request in server.log] == [None, *ranges]
    assert server.log[1].if_range is None


def test_a_weak_etag_is_no_validator(server, network, tmp_path):
    weak = {"etag": 'W/"1"'}
    server.faults[PATH] = [cut_with(100, **weak), cut_with(None, **weak)]
    assert fetch(a_file(), tmp_path, network).sha256 == SHA256
    assert [request.range for request in server.log] == [None, None]


def test_a_date_is_a_validator(server, network, tmp_path):
    server.faults[PATH] = [cut_with(100, etag=""), cut_with(None, etag="")]
    assert fetch(a_file(), tmp_path, network).sha256 == SHA256
    assert server.log[1].range == "bytes=100-"
    assert server.log[1].if_range == "Wed, 18 Feb 2026 12:00:00 GMT"


def cut_with(after, **headers):
    return Fault(after=after, **headers)


def test_an_archive_may_continue_what_the_first_address_began(server, network, tmp_path):
    server.always[PATH] = status(500)
    server.faults[PATH] = [cut(100)]
    server.files["other.org/a"] = CONTENT
    file = RemoteFile(name="a", urls=(URL, "https://other.org/a"), sha256=SHA256)
    assert fetch(file, tmp_path, network).sha256 == SHA256
    (request,) = server.asked("other.org/a")
    assert (request.range, request.if_range) == ("bytes=100-", None)


def test_two_processes_do_not_write_one_part(server, network, tmp_path):
    client = (
        "import sys; from pathlib import Path; from bat.acquisition.part import Part\n"
        "with Part(Path(sys.argv[1])) as part:\n"
        "    part.append(b'x'); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", client, str(tmp_path / "sub/a.bin")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(BatError, match="another process is downloading it"):
            fetch(a_file(), tmp_path, network)
        other.stdin.close()
    assert fetch(a_file(), tmp_path, network).sha256 == SHA256
