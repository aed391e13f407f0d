"""Whatever is done to the register, or to a record behind its back, verification finds it."""

import json
import shutil
import subprocess
import sys
from contextlib import chdir
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.forgery import edit_recipe_and_outputs, make_anew, path_of, read, rewrite
from bat.audit.head import Head, publish_head, signature_of
from bat.audit.register import print_register_verification, verify_register
from bat.errors import BatError
from bat.provenance.hashing import canonical_json, sha256_of_file
from bat.provenance.lineage import verify_records
from bat.provenance.recipe import RECIPE, RUN_LOG
from bat.provenance.register import ORIGIN, REGISTER
from bat.provenance.signature import Signer
from provenance.chains import LAST, MIDDLE, SOURCE, build_chain, outputs_of
from provenance.conftest import flip, make
from provenance.keys import allow, make_key

OTHER, GONE, HEAD = Path("results/other"), Path("results/gone"), Path("head.json")
# Folders in the order in which their jobs ran; some twice.
RUNS = [SOURCE, MIDDLE, LAST, SOURCE, OTHER, GONE, OTHER, LAST]


@pytest.fixture(scope="module")
def shared_register(tmp_path_factory):
    """A working folder for many trials; each puts back what it changed."""
    folder = tmp_path_factory.mktemp("register")
    with chdir(folder):
        build_chain()
        make(SOURCE, outputs_of(SOURCE), stage="source")
        make(OTHER, {"o.bin": b"early"})
        make(GONE, {"g.bin": b"removed later"})
        make(OTHER, {"o.bin": b"late"})
        make(LAST, outputs_of(LAST), [MIDDLE / "m.bin", SOURCE / "y.bin"], stage="last")
        shutil.rmtree(GONE)
        publish_head(HEAD)
    return folder


@pytest.fixture
def register(shared_register, here):
    """A working folder of one's own."""
    shutil.copytree(shared_register, here, dirs_exist_ok=True)


def problems(head=None):
    """What is found, as text."""
    return [str(problem) for problem in verify_register(head=head).problems]


def entries_named(head=None):
    """Numbers of the entries that problems are found with."""
    return {problem.entry for problem in verify_register(head=head).problems}


def everything():
    return [read(number) for number in range(1, len(RUNS) + 1)]


# --- what is sound passes ---------------------------------------------------------------------


def test_an_untouched_register_passes(register):
    found = verify_register(head=HEAD)
    assert found.problems == []
    assert [read(number).folder for number in range(1, 9)] == [str(folder) for folder in RUNS]
    assert (found.entries, found.records, found.gone) == (8, 4, ["results/gone"])
    assert found.newest == found.head == Head.read(HEAD)


def test_a_register_may_grow_after_its_head_was_published(register):
    make(OTHER, {"o.bin": b"later still"})
    found = verify_register(head=HEAD)
    assert found.problems == []
    assert (found.entries, found.head.number, found.newest.number) == (9, 8, 9)


def test_what_a_killed_job_left_is_no_problem(register):
    (REGISTER / ".draft-0123").write_text("{")
    partial = OTHER / ".partial-17"
    partial.mkdir()
    (partial / RECIPE).write_text("{")
    (LAST / RECIPE).unlink()
    assert problems(HEAD) == []


def test_without_a_register_nothing_is_verified(register):
    shutil.rmtree(REGISTER)
    for call in (verify_register, print_register_verification, lambda: publish_head(HEAD)):
        with pytest.raises(BatError, match="no register of records here, so nothing was verified"):
            call()
    REGISTER.mkdir()
    with pytest.raises(BatError, match="no register of records here"):
        verify_register(head=HEAD)


# --- one change of any kind -------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial(shared_register):
    """Do something to the register, look for problems, and put everything back."""
    with chdir(shared_register):
        before = {path: path.read_bytes() for path in sorted(REGISTER.iterdir())}

    def found(change, head=None):
        with chdir(shared_register):
            try:
                change()
                changed = {path: path.read_bytes() for path in sorted(REGISTER.iterdir())}
                assert changed != before
                return entries_named(head)
            finally:
                shutil.rmtree(REGISTER)
                REGISTER.mkdir()
                for path, content in before.items():
                    path.write_bytes(content)

    return found


numbers = st.integers(1, len(RUNS))


@given(number=numbers, data=st.data())
def test_any_flipped_byte_is_found_with_a_head(trial, shared_register, number, data):
    size = (shared_register / path_of(number)).stat().st_size
    position, mask = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, 255))
    named = trial(lambda: flip(path_of(number), position, mask), HEAD)
    assert named & {number, number + 1}


@given(number=st.integers(1, len(RUNS) - 1), data=st.data())
def test_any_flipped_byte_of_an_entry_that_another_follows_is_found(
    trial, shared_register, number, data
):
    size = (shared_register / path_of(number)).stat().st_size
    position, mask = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, 255))
    assert trial(lambda: flip(path_of(number), position, mask)) & {number, number + 1}


@given(data=st.data())
def test_any_flipped_byte_of_the_last_entry_is_found_by_its_record_but_in_its_time(
    trial, shared_register, data
):
    """A later time than the true one is what only a head can tell."""
    last = len(RUNS)
    content = (shared_register / path_of(last)).read_bytes()
    start = content.index(b'"recorded": "') + len(b'"recorded": "')
    others = [*range(start), *range(content.index(b'"', start), len(content))]
    position, mask = data.draw(st.sampled_from(others)), data.draw(st.integers(1, 255))
    assert trial(lambda: flip(path_of(last), position, mask))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\n", b"\r\n"), (b'"format": 1', b'"format": 1.0'), (b"Z", b"+00:00"), (b"}\n", b"}")],
)
def test_another_spelling_of_an_entry_is_an_edit(register, old, new):
    path = path_of(len(RUNS))
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert "entry 8: edited: not as a job writes an entry" in problems()


@given(number=numbers, data=st.data())
def test_bytes_added_or_taken_away_are_found(trial, shared_register, number, data):
    content = (shared_register / path_of(number)).read_bytes()
    at = data.draw(st.integers(0, len(content)))
    added = data.draw(st.binary(max_size=3) | st.sampled_from([b" ", b"\n", b"\r", b","]))
    left = data.draw(st.integers(0, 3))
    changed = content[:at] + added + content[at + left :]
    if changed != content:
        assert trial(lambda: path_of(number).write_bytes(changed), HEAD) & {number, number + 1}


@given(number=numbers)
def test_a_deleted_entry_is_found(trial, number):
    # of the last, which nothing follows, by its record
    assert trial(lambda: path_of(number).unlink())


@given(keep=st.integers(1, len(RUNS) - 1))
def test_a_register_cut_short_is_found_with_a_head(trial, keep):
    def cut():
        for number in range(keep + 1, len(RUNS) + 1):
            path_of(number).unlink()

    assert len(RUNS) in trial(cut, HEAD)


@given(pair=st.lists(numbers, min_size=2, max_size=2, unique=True))
def test_two_entries_that_changed_places_are_found(trial, pair):
    def swap():
        one, other = (path_of(number).read_bytes() for number in pair)
        path_of(pair[0]).write_bytes(other)
        path_of(pair[1]).write_bytes(one)

    assert set(pair) <= trial(swap)


@given(source=numbers, place=st.integers(1, len(RUNS) + 1), fitted=st.booleans())
def test_an_inserted_copy_is_found(trial, source, place, fitted):
    """As it is, or with a number and a link that fit."""

    def insert():
        content = read(source)
        for number in range(len(RUNS), place - 1, -1):
            path_of(number).rename(path_of(number + 1))
        if fitted:
            previous = sha256_of_file(path_of(place - 1)) if place > 1 else ORIGIN
            content = content.model_copy(update={"number": place, "previous": previous})
        path_of(place).write_text(content.text())

    assert trial(insert)


@given(name=st.sampled_from(["000003b.json", "3.json", "000000.json", "notes.txt", "0000009.json"]))
def test_a_stranger_among_the_entries_is_found(trial, name):
    assert trial(lambda: (REGISTER / name).write_bytes(b"{}"))


@given(number=numbers, days=st.integers(1, 1000))
def test_a_back_dated_entry_is_found(trial, number, days):
    earlier = timedelta(days=days)
    named = trial(lambda: rewrite(number, recorded=read(number).recorded - earlier))
    assert named & {number, number + 1}


# --- what is said of it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda: path_of(3).write_bytes(b"{}"), "entry 3: edited: not as a job writes an entry"),
        (lambda: rewrite(3, stage="else"), "entry 4: does not follow entry 3 as found"),
        (lambda: path_of(3).unlink(), "entry 3: deleted"),
        (lambda: shutil.copy(path_of(2), path_of(3)), "entry 3: entry 2 was put in its place"),
        (lambda: shutil.copy(path_of(2), path_of(9)), "entry 9: a duplicate: records the run of "),
        (
            lambda: rewrite(3, recorded=read(3).recorded - timedelta(days=1)),
            "entry 3: back-dated: earlier than entry 2",
        ),
        (lambda: [path_of(n).unlink() for n in (7, 8)], "entry 8: was published as the head; the "),
        ((REGISTER / "notes.txt").touch, "notes.txt is no entry"),
    ],
)
def test_a_problem_names_the_entry_and_the_kind(register, change, expected):
    change()
    assert any(problem.startswith(expected) for problem in problems(HEAD)), problems(HEAD)


# --- a register made anew ---------------------------------------------------------------------


@pytest.mark.parametrize("dropped", range(len(RUNS)))
def test_a_register_made_anew_without_one_entry_is_found_with_a_head(register, dropped):
    make_anew([entry for place, entry in enumerate(everything()) if place != dropped])
    assert verify_register(head=HEAD).problems
    # and without one, where that entry's record lies on disk, or was read before the next of it
    missed = {1, 3, 6, 7} | {0}
    assert bool(verify_register().problems) == (dropped in missed)


def test_a_register_made_anew_in_another_order_is_found_by_what_its_records_read(register):
    entries = everything()
    make_anew([entries[2], entries[0], entries[1], *entries[3:7], entries[7]])
    assert problems() == []  # nothing on disk is of the entries that were moved
    assert problems(HEAD)
    make_anew([entries[7], *entries[:2], *entries[3:7]])
    assert [p for p in problems() if "reordered: its input data/middle/m.bin was registered" in p]


def test_a_register_made_anew_of_another_time_is_found_by_the_run_logs(register):
    entries = everything()
    make_anew([e.model_copy(update={"recorded": entries[0].recorded}) for e in entries])
    moved = [e.model_copy(update={"recorded": e.recorded - timedelta(days=9)}) for e in entries]
    make_anew(moved)
    assert len([p for p in problems() if "back-dated: recorded at" in p]) == 4


def test_a_stage_that_is_not_the_records_is_found(register):
    entries = everything()
    make_anew([*entries[:7], entries[7].model_copy(update={"stage": "source"})])
    assert problems() == ["results/last: entry 8: is of stage source, its record of stage last"]


def test_a_forged_run_log_is_found_by_what_it_contradicts(register):
    run = json.loads((OTHER / RUN_LOG).read_text())
    entries = everything()
    for changes, expected in [
        ({"started": "2100-01-01T00:00:00+00:00"}, "back-dated"),
        ({"finished": "2100-01-01T00:00:00+00:00"}, "back-dated"),
        ({"recipe": "0" * 64}, "run.json is of another recipe"),
        ({"started": "yesterday"}, "run.json is not a run log"),
        ({"started": "2020-01-01T00:00:00"}, "run.json is not a run log"),
    ]:
        (OTHER / RUN_LOG).write_text(canonical_json(run | changes))
        forged = entries[6].model_copy(update={"run_log": sha256_of_file(OTHER / RUN_LOG)})
        make_anew([*entries[:6], forged, entries[7]])
        (problem,) = problems()
        assert problem.startswith(f"results/other: entry 7: {expected}")


# --- records on disk --------------------------------------------------------------------------


def test_a_result_edited_together_with_its_recipe_and_run_log_is_found(register):
    edit_recipe_and_outputs(LAST, "r.bin", b"a better result")
    assert verify_records([LAST]).problems == []  # all fits together
    (problem,) = problems()
    assert problem.startswith("results/last: entry 8: recipe.json is not the one registered")


def test_an_edited_recipe_is_found_wherever_it_was_edited(register):
    content = (OTHER / RECIPE).read_bytes()
    for position in range(0, len(content), 41):
        flip(OTHER / RECIPE, position, 1)
        assert entries_named() == {7}
        (OTHER / RECIPE).write_bytes(content)
    assert problems() == []


def test_an_edited_or_missing_run_log_is_found(register):
    flip(OTHER / RUN_LOG, 20, 1)
    assert problems() == ["results/other: entry 7: run.json was edited, or is of another run"]
    (OTHER / RUN_LOG).unlink()
    assert problems() == ["results/other: entry 7: run.json is missing"]


def test_an_older_record_that_was_put_back_is_found(register):
    shutil.copytree(OTHER, "kept")
    make(OTHER, {"o.bin": b"newest"})
    shutil.rmtree(OTHER)
    shutil.copytree("kept", OTHER)
    (problem,) = problems()
    assert problem.startswith("results/other: entry 9: the record of entry 7 lies there instead")


def test_a_record_of_another_folder_is_found(register):
    shutil.copytree(OTHER, "results/new")
    (problem,) = problems()
    assert problem.startswith("results/new: its record is not in the register")
    assert "snakemake --cores 2 --forcerun results/new/recipe.json" in problem
    shutil.rmtree("results/new")
    shutil.copytree(OTHER, LAST, dirs_exist_ok=True)
    assert entries_named() == {8}


def test_records_from_before_there_was_a_register_are_named(register):
    shutil.rmtree(REGISTER)
    make(OTHER, {"o.bin": b"first of a new register"})
    assert sorted(problem.split(":")[0] for problem in problems()) == [
        "data/middle", "data/source", "results/last",
    ]  # fmt: skip


# --- the head and its signature ---------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder / "mine"), make_key(folder / "forger")


@pytest.fixture
def me(register, keys):
    return Signer(allowed=allow(Path("signers"), me=keys[0]), identity="me")


def test_a_head_names_the_newest_entry_by_the_hash_of_its_file(register, capsys):
    publish_head(Path("published/head.json"))
    assert json.loads(Path("published/head.json").read_text()) == {
        "format": 1,
        "number": 8,
        "recorded": json.loads(path_of(8).read_text())["recorded"],
        "sha256": sha256_of_file(path_of(8)),
    }
    assert sha256_of_file(path_of(8)) in capsys.readouterr().out
    assert [path.name for path in Path("published").iterdir()] == ["head.json"]


@pytest.mark.parametrize("changes", [{"number": 7}, {"sha256": "0" * 64}, {"number": 9}])
def test_an_edited_head_is_found(register, changes):
    head = json.loads(HEAD.read_text())
    HEAD.write_text(json.dumps(head | changes))
    assert len(problems(HEAD)) == 1


def test_an_edited_time_of_a_head_is_found(register):
    head = json.loads(HEAD.read_text())
    HEAD.write_text(json.dumps(head | {"recorded": "2020-01-01T00:00:00Z"}))
    assert problems(HEAD) == ["entry 8: is of another time than the head says"]


@pytest.mark.parametrize("content", ["", "{}", "8 0000", '{"format": 2}'])
def test_what_is_no_head_is_refused(register, content):
    HEAD.write_text(content)
    with pytest.raises(BatError, match=r"head\.json: not a head"):
        verify_register(head=HEAD)
    with pytest.raises(BatError, match=r"head\.json: not a head"):
        publish_head(HEAD)


def test_a_missing_head_is_no_success(register):
    with pytest.raises(BatError, match=r"never\.json: no such file; make one"):
        verify_register(head=Path("never.json"))


def test_no_head_of_a_damaged_register_is_published(register, keys):
    flip(path_of(5), 30, 1)
    with pytest.raises(BatError, match="a head is published of a whole register only"):
        publish_head(Path("new.json"), key=keys[0])
    assert not list(Path().glob("new*"))


def test_a_head_does_not_replace_one_that_the_register_no_longer_has(register):
    make_anew(everything()[1:])
    before = HEAD.read_bytes()
    with pytest.raises(BatError, match="entry 8: was published as the head"):
        publish_head(HEAD)
    assert HEAD.read_bytes() == before


def test_a_head_is_published_anew_as_the_register_grows(register, me, keys):
    publish_head(HEAD, key=keys[0])
    make(OTHER, {"o.bin": b"more"})
    publish_head(HEAD, key=keys[0])
    found = verify_register(head=HEAD, signer=me)
    assert (found.problems, found.head.number) == ([], 9)
    assert found.signature.startswith('Good "bat-register" signature for me with ED25519 key ')
    publish_head(HEAD)
    assert not signature_of(HEAD).exists()  # it was of another head


def test_a_head_that_cannot_be_signed_is_not_written(register):
    before = HEAD.read_bytes()
    make(OTHER, {"o.bin": b"more"})
    with pytest.raises(BatError, match="absent: no such key"):
        publish_head(HEAD, key=Path("absent"))
    assert HEAD.read_bytes() == before


def test_a_register_made_anew_and_signed_anew_is_found(register, me, keys):
    publish_head(HEAD, key=keys[0])
    assert verify_register(head=HEAD, signer=me).problems == []
    make_anew([entry for entry in everything() if entry.number != 5])
    HEAD.unlink()
    publish_head(HEAD, key=keys[1])
    assert verify_register(head=HEAD).problems == []  # a forger's head fits a forger's register
    (problem,) = verify_register(head=HEAD, signer=me).problems
    assert "head.json.sig: is not a signature by me of what it lies beside" in str(problem)


def test_a_new_head_under_the_old_signature_is_found(register, me, keys):
    publish_head(HEAD, key=keys[0])
    signature = signature_of(HEAD).read_bytes()
    make(OTHER, {"o.bin": b"more"})
    publish_head(HEAD)
    (problem,) = verify_register(head=HEAD, signer=me).problems
    assert "head.json.sig: is missing" in str(problem)
    signature_of(HEAD).write_bytes(signature)
    (problem,) = verify_register(head=HEAD, signer=me).problems
    assert "incorrect signature" in str(problem)


def test_a_signature_without_a_head_is_no_question(register, me):
    with pytest.raises(BatError, match="a signature is one of a published head"):
        verify_register(signer=me)


# --- what the command line prints -------------------------------------------------------------


def bat(*arguments):
    command = [sys.executable, "-m", "bat", "audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_commands_publish_and_verify(register, me, keys):
    done = bat("publish-head", "--out", "new.json", "--key", keys[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert "written to new.json, signed in new.json.sig" in done.stdout
    asked = ("--head", "new.json", "--signers", me.allowed, "--identity", "me")
    done = bat("verify-ledger", *asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'signature: Good "bat-register" signature for me' in done.stdout
    summary = "8 entries, 4 records on disk, 1 registered folders without a record, 0 problems"
    assert done.stdout.splitlines()[-1] == summary
    path_of(3).unlink()
    done = bat("verify-ledger", *asked)
    assert done.returncode == 1
    assert done.stderr == "error: 1 problems, the first: entry 3: deleted\n"
    assert done.stdout.splitlines()[0] == "entry 3: deleted"


def test_json_holds_the_same_and_nothing_else_is_printed(register):
    path_of(3).unlink()
    done = bat("verify-ledger", "--json", "--head", HEAD)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["problems"] == [{"what": "deleted", "entry": 3, "folder": None}]
    assert found["head"] == found["newest"] == json.loads(HEAD.read_text())
    assert (found["entries"], found["records"], found["gone"]) == (7, 4, ["results/gone"])
    assert found["signature"] is None


def test_without_a_head_it_is_said_what_cannot_be_seen(register, capsys):
    print_register_verification()
    assert "cut short or made anew as a whole passes without" in capsys.readouterr().out


def test_half_a_signer_is_refused(register):
    done = bat("verify-ledger", "--head", HEAD, "--identity", "me")
    assert done.returncode == 1
    assert "takes both: --signers FILE --identity NAME" in done.stderr
