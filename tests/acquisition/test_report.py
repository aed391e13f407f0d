import json
import logging
import subprocess
import sys
from functools import partial
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from acquisition.hub import catalogue_for, fake_internet, one_file_each, page_of
from acquisition.server import OK, Fault, FaultServer, _Handler, redirect, status
from bat.acquisition.catalogue import CATALOGUE_FILE, read_catalogue
from bat.acquisition.report import print_sources
from bat.cli import main
from bat.progress import readable_bytes

CATALOGUE = read_catalogue()
CONTENTS = {key: made for entry in CATALOGUE.entries for key, made in one_file_each(entry).items()}
FITTING = catalogue_for(CATALOGUE, CONTENTS)
PAGES = fake_internet(FITTING, CONTENTS)
SPEECH = "download.tensorflow.org/data/speech_commands_v0.02.tar.gz"


class HeadServer(FaultServer):
    """A server that answers HEAD with the faults of `heads`, by "HOST/PATH"."""

    def __init__(self, files):
        super().__init__(files)
        self.heads = {}
        self._server.RequestHandlerClass = partial(_HeadHandler, self)


class _HeadHandler(_Handler):
    def do_HEAD(self):  # noqa: N802 (http.server wants this name)
        self._answer(self.owner.heads.get(self._path(), OK))


@pytest.fixture
def site():
    with HeadServer(PAGES) as running:
        yield running


@pytest.fixture
def bat(tmp_path, monkeypatch, capsys):
    """Run the command line against a catalogue of made bytes."""
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(FITTING.model_dump_json())
    monkeypatch.setenv(CATALOGUE_FILE, str(catalogue))
    monkeypatch.setattr(logging.getLogger("bat"), "handlers", [])  # of jobs that ran before

    def run(*words, mirror=None, **variables):
        for name, value in ({"BAT_MIRROR": mirror or ""} | variables).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["bat", *words])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=left.value.code, stdout=printed.out, stderr=printed.err)

    return run


def test_sources_prints_one_line_for_each_entry(bat):
    done = bat("sources")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["name", *(entry.name for entry in CATALOGUE.entries)]
    (audioset,) = (line for line in done.stdout.splitlines() if line.startswith("audioset"))
    for text in ("confit-full, confit-16khz, agkphysics", "1.2 TB", "CC BY 4.0", "eval 20,371"):
        assert text in audioset
    assert (done.code, "\x1b" in done.stdout) == (0, False)


def test_the_installed_command_prints_whole_lines_into_a_pipe():
    command = [sys.executable, "-m", "bat", "sources", "esc50"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert CATALOGUE.dataset("esc50").mirror().files[0].urls[0] in done.stdout
    assert CATALOGUE.dataset("esc50").notes in done.stdout


def test_sources_of_one_entry_prints_everything_about_it():
    for entry in CATALOGUE.entries:
        console = Console(file=StringIO(), width=10_000)
        print_sources(CATALOGUE, entry.name, console=console)
        text = console.file.getvalue()
        for value in values_of(entry.model_dump(mode="json", exclude={"counts"})):
            assert value in text, (entry.name, value)


def values_of(node):
    """Texts of an entry that are addresses, checksums, commits, citations, notes and the like."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("kind", "repo_type", "part", "counts"):
                yield from values_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(value)
    elif isinstance(node, str):
        yield node


def test_sources_prints_json_for_programs(bat):
    assert json.loads(bat("sources", "--json").stdout) == FITTING.model_dump(mode="json")
    one = json.loads(bat("sources", "esc50", "--json").stdout)
    assert one["members"][0]["md5"] == "54a0d0055a10bb7df84ad340a148722e"


def test_an_unknown_name_lists_the_known_ones_and_fails(bat):
    for words in (["sources", "imagenet"], ["sources", "imagenet", "--check"]):
        done = bat(*words)
        assert done.code == 1
        assert done.stderr.startswith("error: 'imagenet': no such data set or weights; known are ")
        assert done.stderr.count("\n") == 1


def test_check_asks_every_address_for_its_headers_and_nothing_more(bat, site):
    done = bat("sources", "--check", mirror=site.url)
    assert (done.code, done.stderr) == (0, "")
    header, *lines = done.stdout.splitlines()
    assert "address" in header and all(line.startswith("ok") for line in lines)
    for page in PAGES:
        if "huggingface.co" not in page:
            assert f"{site.url}/{page}" in done.stdout
    fetched = [request.path for request in site.log if request.method == "GET"]
    assert fetched and all("/api/" in path for path in fetched)
    (speech,) = (line for line in lines if f"/{SPEECH}" in line and "storage." not in line)
    assert "200" in speech and "as expected" in speech and speech.rstrip().endswith("yes")


def test_check_tells_what_is_gone_what_has_changed_and_fails(bat, site):
    audioset = CATALOGUE.dataset("audioset")
    eval_list = page_of(audioset.lists[3].urls[0])
    del site.files[eval_list]
    site.files[SPEECH] += b" and more"
    revision = audioset.mirror("agkphysics").revision
    page = f"huggingface.co/api/datasets/agkphysics/AudioSet/revision/{revision}"
    site.always[page] = Fault(status=403, headers={"X-Error-Code": "GatedRepo"}, body=b"")
    done = bat("sources", "--check", mirror=site.url)
    assert done.code == 1
    bad = [line for line in done.stdout.splitlines() if line.startswith("BAD")]
    assert [line.split()[1] for line in bad] == ["audioset", "audioset", "speech-commands"]
    assert "404" in bad[0] and eval_list in bad[0]
    assert "its owners ask for consent" in bad[1]
    size = len(site.files[SPEECH])
    assert f"{size}, expected {size - 9}" in bad[2]
    assert done.stderr.startswith("error: 3 of ") and "eval_segments.csv of audioset" in done.stderr


def test_check_of_one_entry_asks_for_that_alone_and_prints_json(bat, site):
    site.heads[SPEECH] = Fault(ranges=False, headers={"Accept-Ranges": "none"})
    done = bat("sources", "speech-commands", "--check", "--json", mirror=site.url)
    answers = json.loads(done.stdout)
    assert [answer["ranges"] for answer in answers] == [False, True]
    assert [answer["good"] for answer in answers] == [True, True]
    assert {request.path for request in site.log} == {
        SPEECH,
        "storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    }


def test_check_follows_redirects_and_asks_otherwise_where_head_is_not_offered(bat, site):
    esc50 = [page_of(url) for url in CATALOGUE.dataset("esc50").mirror().files[0].urls]
    site.heads[esc50[0]] = redirect(f"{site.url}/{esc50[1]}")
    site.heads[SPEECH] = status(405)
    for name in ("esc50", "speech-commands"):
        answers = json.loads(bat("sources", name, "--check", "--json", mirror=site.url).stdout)
        assert [answer["status"] for answer in answers] == ["200", "200"]
    assert [request.method for request in site.asked(SPEECH)] == ["HEAD", "GET"]


def test_check_without_a_network_fails_soon_with_a_line_per_address(bat, site):
    nowhere = site.url.replace("127.0.0.1", "127.0.0.2").rsplit(":", 1)[0] + ":9"
    done = bat("sources", "--check", mirror=nowhere)
    lines = done.stdout.splitlines()[1:]
    assert done.code == 1 and lines and all(line.startswith("BAD") for line in lines)
    assert (
        "no answer (ConnectionError)" in done.stdout and "no answer (ConnectError)" in done.stdout
    )
    assert "Traceback" not in done.stderr


def test_check_offline_looks_into_a_folder(bat, tmp_path):
    page = tmp_path / "mirror" / SPEECH
    page.parent.mkdir(parents=True)
    page.write_bytes(PAGES[SPEECH])
    done = bat(
        *("sources", "speech-commands", "--check", "--json"),
        mirror=str(tmp_path / "mirror"),
        BAT_OFFLINE="1",
    )
    here, absent = json.loads(done.stdout)
    assert (here["status"], here["size_agrees"], here["good"]) == ("here", True, True)
    assert (absent["status"], absent["good"]) == ("no such file", False)
    assert done.code == 1


def test_a_password_in_the_mirror_s_address_is_not_printed(bat, site):
    site.files.clear()
    mirror = site.url.replace("//", "//user:secret@")
    for words in (["--check"], ["--check", "--json"]):
        done = bat("sources", *words, mirror=mirror, HF_TOKEN="hf_secret")
        assert done.code == 1 and "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "not known"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (2_428_923_189, "2.43 GB"),
        (1_200_000_000_000, "1.2 TB"),
        (5_000_000_000_000_000, "5e+03 TB"),
    ],
)
def test_sizes_are_written_in_decimal_units(size, text):
    assert readable_bytes(size) == text
