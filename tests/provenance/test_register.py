"""Every job that publishes is an entry in the register, whoever else writes to it meanwhile."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bat.audit.chain import Chain
from bat.audit.register import verify_register
from bat.errors import BatError
from bat.provenance.hashing import sha256_of_file
from bat.provenance.recipe import RECIPE, RUN_LOG, read_recipe
from bat.provenance.register import (
    ORIGIN,
    REGISTER,
    Entry,
    Record,
    draft_entry,
    entry_name,
    entry_number,
    folder_in_register,
    is_draft,
)
from pipeline.tiny import tinier_params, write_params
from provenance.chains import build_chain
from provenance.conftest import job, make

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

# Adds so many entries, and says so of each.
APPEND = """
import sys, uuid
from datetime import UTC, datetime
from hashlib import sha256
from bat.provenance.register import Record, draft_entry
times, who = int(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
input()
for number in range(times):
    unique = sha256(uuid.uuid4().bytes).hexdigest()
    record = Record(folder=f"results/{who}", stage="made", recipe=unique, run_log=unique)
    with draft_entry(record, finished=datetime(2020, 1, 1, tzinfo=UTC)) as draft:
        print(draft.append().number, flush=True)
"""

# Runs jobs, some of which others have read from, until it is killed.
WORK = """
from pathlib import Path
from provenance.chains import SOURCE, outputs_of
from provenance.conftest import make
while True:
    make(Path("results/busy"), {"a.bin": b"a"})
    make(SOURCE, outputs_of(SOURCE), stage="source")
"""


def append(folder="results/one", run_log="1" * 64, finished=LONG_AGO):
    record = Record(folder=folder, stage="made", recipe="0" * 64, run_log=run_log)
    with draft_entry(record, finished=finished) as draft:
        return draft.append()


def entry(number):
    return Entry.parse((REGISTER / entry_name(number)).read_bytes())


def register_names():
    return sorted(path.name for path in REGISTER.iterdir())


@pytest.fixture
def appenders():
    """Starts processes that add entries, all at once."""
    started = []

    def start(count, times):
        command = [sys.executable, "-c", APPEND, str(times)]
        processes = [
            subprocess.Popen(
                [*command, str(who)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for who in range(count)
        ]
        started.extend(processes)
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        return processes

    yield start
    for process in started:
        process.kill()
        process.wait()


# --- entries ----------------------------------------------------------------------------------


def test_the_bytes_of_an_entry_are_what_they_always_were():
    # every hash that was ever published depends on these bytes
    known = Entry(
        number=1,
        previous=ORIGIN,
        folder="results/probe/ä",
        stage="probe",
        recipe="1" * 64,
        run_log="2" * 64,
        recorded=datetime(2026, 11, 25, 17, 50, 34, tzinfo=UTC),
    )
    assert known.text() == (
        '{\n "folder": "results/probe/ä",\n "format": 1,\n "number": 1,\n'
        ' "previous": "c431668f5eb12a320fd8d4ba3933cce356e7290fc8aed5bf5f225739f874a7ef",\n'
        f' "recipe": "{"1" * 64}",\n "recorded": "2026-11-25T17:50:34Z",\n'
        f' "run_log": "{"2" * 64}",\n "stage": "probe"\n}}\n'
    )
    assert Entry.parse(known.text().encode()) == known


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("000001.json", 1), ("000730.json", 730), ("999999.json", 999_999),
        ("1000000.json", 1_000_000), ("0000001.json", None), ("1.json", None),
        ("000000.json", None), ("000001.json~", None), ("recipe.json", None), ("000001", None),
    ],
)  # fmt: skip
def test_an_entry_has_one_name(name, number):
    assert entry_number(name) == number
    if number:
        assert entry_name(number) == name


def test_each_entry_names_the_bytes_of_the_one_before(here):
    for number in range(1, 4):
        assert append(run_log=str(number) * 64) == entry(number)
    assert [entry(n).number for n in (1, 2, 3)] == [1, 2, 3]
    assert entry(1).previous == ORIGIN
    for number in (1, 2):
        assert entry(number + 1).previous == sha256_of_file(REGISTER / entry_name(number))
    assert register_names() == ["000001.json", "000002.json", "000003.json"]


def test_no_entry_is_earlier_than_the_one_before_or_than_its_job(here):
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    assert append().recorded < ahead
    assert append(run_log="2" * 64, finished=ahead).recorded == ahead  # a clock that is ahead
    assert append(run_log="3" * 64).recorded == ahead  # one that is right
    assert append(run_log="4" * 64, finished=ahead + timedelta(hours=1)).recorded > ahead


def test_a_link_that_was_made_although_the_server_complained_counts_once(here, monkeypatch):
    append()
    real = os.link

    def asked_twice(source, target):
        real(source, target)
        raise FileExistsError(17, "File exists", os.fspath(target))

    with monkeypatch.context() as network:
        network.setattr(os, "link", asked_twice)
        append(run_log="2" * 64)
    append(run_log="3" * 64)
    assert register_names() == ["000001.json", "000002.json", "000003.json"]
    assert Chain.read().problems() == []


def test_entries_follow_a_damaged_one_so_that_no_work_is_lost(here):
    append()
    append(run_log="2" * 64)
    (REGISTER / entry_name(2)).write_bytes(b"\xff")
    assert append(run_log="3" * 64).previous == sha256_of_file(REGISTER / entry_name(2))
    assert [problem.entry for problem in Chain.read().problems()] == [2]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("results/probe", "results/probe"), ("./results//probe/", "results/probe"),
        ("results/../data", "data"), ("..", None), ("../elsewhere", None), ("/", None),
    ],
)  # fmt: skip
def test_folders_are_named_from_the_working_folder(here, folder, expected):
    assert folder_in_register(Path(folder)) == expected
    if expected:
        assert folder_in_register(here / folder) == expected


# --- jobs -------------------------------------------------------------------------------------


def test_a_job_registers_what_it_publishes(here):
    make(here / "results" / "one", {"a.bin": b"a"}, stage="download")
    made = entry(1)
    assert made.folder == "results/one"
    assert made.stage == "download"
    assert made.recipe == read_recipe(Path("results/one")).id
    assert made.run_log == sha256_of_file(Path("results/one") / RUN_LOG)
    run = json.loads((Path("results/one") / RUN_LOG).read_text())
    assert datetime.fromisoformat(run["finished"]) <= made.recorded <= datetime.now(UTC)
    assert register_names() == ["000001.json"]


def test_an_entry_says_nothing_of_who_and_where(here):
    make(Path("results/one"), {"a.bin": b"a"})
    text = (REGISTER / entry_name(1)).read_text()
    for private in (os.uname().nodename, str(here), str(Path.home()), f'"{os.getpid()}"'):
        assert private not in text


def test_a_rebuild_is_an_entry_of_its_own(here):
    make(Path("results/one"), {"a.bin": b"a"})
    make(Path("results/one"), {"a.bin": b"a"})
    assert entry(1).recipe == entry(2).recipe
    assert entry(2).run_log == sha256_of_file(Path("results/one") / RUN_LOG)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_job_that_fails_is_no_entry(here, error):
    with pytest.raises(error), job(Path("results/one")) as running:
        running.output("a.bin").write_bytes(b"half")
        raise error
    assert not REGISTER.exists()


def test_work_that_is_thrown_away_is_no_entry(here):
    answers = iter(["then", "now"])
    with pytest.raises(BatError, match="changed while this job ran"):
        make(Path("results/one"), {"a.bin": b"stale"}, wanted=lambda: next(answers))
    assert register_names() == []


def test_a_folder_elsewhere_is_none_of_the_working_folders_records(here, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    make(elsewhere / "one", {"a.bin": b"a"})
    assert read_recipe(elsewhere / "one")
    assert not REGISTER.exists()


@pytest.mark.parametrize("moved", range(3))
def test_a_recipe_in_place_always_has_its_entry(here, monkeypatch, moved):
    """Wherever publishing ends, what lies on the disk is in the register, or has no recipe."""
    make(Path("results/one"), {"a.bin": b"old"})
    real, calls = os.replace, []

    def crash(source, target):
        calls.append(target)
        if len(calls) > moved:
            raise OSError(5, "Input/output error", os.fspath(target))
        real(source, target)

    with monkeypatch.context() as disk, pytest.raises(OSError, match="Input/output"):
        disk.setattr(os, "replace", crash)
        make(Path("results/one"), {"a.bin": b"new"})
    assert not (Path("results/one") / RECIPE).exists()
    assert register_names() == ["000001.json", "000002.json"][: 1 + (moved == 2)]
    assert verify_register().problems == []


def test_the_entry_comes_before_the_recipe_and_after_all_else(here, monkeypatch):
    done, replace, link = [], os.replace, os.link

    def noting(act):
        def acts(source, target):
            done.append(Path(target).name)
            act(source, target)

        return acts

    with monkeypatch.context() as disk:
        disk.setattr(os, "replace", noting(replace))
        disk.setattr(os, "link", noting(link))
        make(Path("results/one"), {"a.bin": b"a"})
    assert done[-4:] == ["a.bin", RUN_LOG, entry_name(1), RECIPE]


# --- many at once, and killed -----------------------------------------------------------------


def test_eight_processes_at_once_make_one_chain_without_gaps(here, appenders):
    processes = appenders(8, times=25)
    numbers = [int(n) for process in processes for n in process.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 201))
    assert register_names() == [entry_name(number) for number in range(1, 201)]
    chain = Chain.read()
    assert chain.problems() == []
    for who in range(8):
        assert sum(found.folder == f"results/{who}" for found in chain.entries.values()) == 25
    assert len({found.recipe for found in chain.entries.values()}) == 200


def test_processes_killed_at_random_moments_leave_a_whole_chain(here, appenders):
    moments = random.Random(20261125)
    promised = set()
    for _ in range(6):
        processes = appenders(3, times=10_000)
        time.sleep(moments.uniform(0.0, 0.3))
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
            promised |= {int(line) for line in process.communicate()[0].split("\n")[:-1] if line}
    chain = Chain.read()
    assert chain.problems() == []
    # what was said to be appended is there, and at most one entry a process besides
    assert promised <= set(chain.contents)
    assert len(promised) <= len(chain.contents) <= len(promised) + 18
    assert len(promised) > 18
    drafts = [name for name in register_names() if is_draft(name)]
    assert len(drafts) <= 18
    assert append().number == chain.newest + 1


def test_verification_during_the_work_of_jobs_finds_nothing(here):
    build_chain()
    worker = subprocess.Popen(
        [sys.executable, "-c", WORK],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        looks = 0
        while Chain.read().newest < 20 or looks < 10:
            assert worker.poll() is None, worker.stderr.read()
            assert verify_register().problems == []
            looks += 1
    finally:
        worker.kill()
        worker.communicate()
    assert verify_register().problems == []


def test_an_entry_that_a_listing_missed_while_it_was_added_is_no_gap(here, monkeypatch):
    """Now and then a listing has an entry but not the one before; here each time."""
    for number in range(6):
        append(run_log=str(number) * 64)
    real = Path.iterdir
    missed = iter([{3, 5, 6}, {5}])

    def listing(folder):
        hidden = {entry_name(number) for number in next(missed)}
        return (path for path in real(folder) if path.name not in hidden)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "iterdir", listing)
        chain = Chain.read()
    assert list(chain.contents) == [1, 2, 3, 4]
    assert chain.problems() == []


# --- a full disk ------------------------------------------------------------------------------


def test_a_full_disk_is_found_out_about_before_anything_is_touched(tmp_path):
    """A real full disk under the register, in a mount namespace of the test's own."""
    write_params(tmp_path, tinier_params())
    (tmp_path / REGISTER).mkdir(parents=True)
    download = f"'{sys.executable}' -m bat download --dataset meetings --out data/source"
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {REGISTER} && {download} 2> first.log && "
        "cat data/source/* > before && "
        f"{{ cat /dev/zero > {REGISTER}/.draft-filler 2> filled || true; }} && "
        f"{download}; status=$?; "
        f"cat data/source/* | cmp - before && ls -A data/source {REGISTER}; exit $status"
    )
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        namespace = ["unshare", "--mount", "sh", "-c"]
    done = subprocess.run(
        [*namespace, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "mount" in done.stderr and "permitted" in done.stderr:
        pytest.skip("this system lets a test neither make a namespace nor mount a tmpfs")
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert "the disk is full; free some space and run the same command again" in line
    assert done.stdout.split() == [
        "data/source:", "archive", RECIPE, RUN_LOG, f"{REGISTER}:", ".draft-filler", "000001.json",
    ]  # fmt: skip
