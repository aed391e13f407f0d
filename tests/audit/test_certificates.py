"""Certificates: made on another machine, read here, and worth nothing once anything is off."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from audit.patched import run_bat
from bat.audit.certificates import NAMESPACE, check_certificates
from bat.audit.marks import marks
from bat.audit.trace import todays_cells
from bat.provenance.hashing import canonical_json, sha256_of_file
from bat.provenance.signature import sign

pytestmark = [pytest.mark.pipeline]

CELL = "log-mel,logistic-regression,speaker,accuracy"
OTHER = "bat-mini,cgp,speaker,accuracy"
RESULT = Path("results/baseline/speaker")
WHO = "reviewer@example.org"


def make_key(path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True
    )
    return path


def allow(key, folder):
    public = key.with_suffix(".pub").read_text()
    (folder / "allowed_signers").write_text(f"{WHO} {public}")


def certify(where, out, *options):
    return run_bat(
        where, "audit", "certify", "--cells", CELL, "--out", out, "--name", WHO, *options
    )


def run_on(where, host):
    """Let the record of the cell say that it was run on another machine."""
    path = where / RESULT / "run.json"
    path.write_text(canonical_json(json.loads(path.read_text()) | {"host": host}))


@pytest.fixture(scope="module")
def certified(undisturbed, tmp_path_factory):
    """A run of somebody else's, with a signed certificate of one cell."""
    folder = tmp_path_factory.mktemp("certified")
    run = undisturbed.copy_to(folder / "run").folder
    run_on(run, "the author's machine")
    (run / "certificates").mkdir()
    key = make_key(folder / "key")
    allow(key, run / "certificates")
    done = certify(run, "certificates/reviewer.json", "--key", key)
    assert done.returncode == 0, done.stdout + done.stderr
    return run, key


@pytest.fixture
def copy(certified, tmp_path, monkeypatch):
    """The certificates, to be damaged, where nothing else is known of the author's run."""
    run, key = certified
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run / "certificates", tmp_path / "certificates")
    return tmp_path / "certificates", todays_cells(run / "results/tables"), key


def check(folder, cells):
    return check_certificates(cells, folder, folder / "allowed_signers")


def states(folder, cells):
    return {name: mark.state for name, mark in marks(cells, check(folder, cells)).items()}


def test_a_certificate_says_what_was_rerun_where_and_how_it_compared(certified):
    run, _ = certified
    content = json.loads((run / "certificates/reviewer.json").read_text())
    assert (content["who"], content["cells"]) == (WHO, [CELL])
    newest = max((run / "results/register").glob("*.json"))
    assert content["head"]["sha256"] == sha256_of_file(newest)
    (record,) = content["outcome"]["records"]
    assert (record["folder"], record["result"]) == (RESULT.as_posix(), "identical")
    assert record["environment"]["host"][0] == "the author's machine"
    assert record["here"]["packages"]["torch"]
    assert all(file["rebuilt"] == [file["sha256"]] for file in record["files"])


def test_a_certificate_marks_its_cell_and_no_other(copy):
    folder, cells, _ = copy
    found = marks(cells, check(folder, cells))
    assert found[CELL].state == "independently rerun"
    assert (found[CELL].by, found[CELL].certificates) == ([WHO], ["reviewer.json"])
    assert {name for name, mark in found.items() if mark.state == "independently rerun"} == {CELL}


def test_the_commands_say_what_a_certificate_is_worth(certified):
    run, _ = certified
    listed = run_bat(run, "audit", "certificates")
    assert listed.returncode == 0, listed.stderr
    assert f"reviewer.json: {WHO}, " in listed.stdout
    assert "signed; 1 cells, counts for 1" in listed.stdout
    shown = run_bat(run, "show", "results/tables/main.csv", COLUMNS="200")
    assert shown.stdout.count("✓") == 2  # the cell, and the legend
    assert "independently rerun (1 of" in shown.stdout


def test_without_certificates_every_cell_is_the_authors(undisturbed, tmp_path):
    cells = todays_cells(undisturbed.folder / "results/tables")
    assert set(states(tmp_path, cells).values()) == {"author run"}
    assert "✓" in run_bat(undisturbed.folder, "show", "results/tables/main.csv").stdout


def test_nothing_is_overwritten(certified):
    run, key = certified
    before = (run / "certificates/reviewer.json").read_bytes()
    done = certify(run, "certificates/reviewer.json", "--key", key)
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert (run / "certificates/reviewer.json").read_bytes() == before


def test_an_unsigned_certificate_counts_for_nothing(copy):
    folder, cells, _ = copy
    (folder / "reviewer.json.sig").unlink()
    (found,) = check(folder, cells)
    assert (found.problems, found.counts_for) == ([], [])
    assert found.notes == ["is not signed, so it counts for nothing"]


# Planted faults: each must be found.


def edited(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(canonical_json(content))


EDITS = {
    "another result": lambda c: c["outcome"]["records"][0].update(result="within tolerance"),
    "another cell": lambda c: c["cells"].append(OTHER),
    "another hash": lambda c: c["outcome"]["records"][0]["files"][0].update(sha256="0" * 64),
    "another machine": lambda c: c["outcome"]["records"][0]["environment"].update(host=["a", "b"]),
    "another name": lambda c: c.update(who="somebody@example.org"),
}


@pytest.mark.mutants
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_certificate_is_found(copy, edit):
    folder, cells, _ = copy
    edited(folder / "reviewer.json", EDITS[edit])
    (found,) = check(folder, cells)
    assert any("is not a signature by" in problem for problem in found.problems)
    assert set(states(folder, cells).values()) == {"author run"}


@pytest.mark.mutants
def test_a_certificate_in_another_form_is_found(copy):
    folder, cells, _ = copy
    path = folder / "reviewer.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    (found,) = check(folder, cells)
    assert found.problems == ["was edited: its text is not the canonical text of its content"]


@pytest.mark.mutants
def test_a_certificate_of_other_records_is_found(copy):
    folder, cells, _ = copy
    rebuilt = [
        cell.model_copy(update={"record": "0" * 16}) if cell.name == CELL else cell
        for cell in cells
    ]
    (found,) = check(folder, rebuilt)
    assert found.problems == [f"{CELL}: is of other records than today's table"]
    assert states(folder, rebuilt)[CELL] == "author run"


@pytest.mark.mutants
def test_a_certificate_that_was_signed_by_another_key_is_found(copy, tmp_path):
    folder, cells, _ = copy
    allow(make_key(tmp_path / "other-key"), folder)
    (found,) = check(folder, cells)
    assert not found.signed
    assert any("is not a signature by" in problem for problem in found.problems)
    assert states(folder, cells)[CELL] == "author run"


@pytest.mark.mutants
def test_a_signature_for_another_purpose_is_found(copy):
    folder, cells, key = copy
    (folder / "reviewer.json.sig").unlink()
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", key, folder / "reviewer.json"],
        check=True,
        capture_output=True,
    )
    (found,) = check(folder, cells)
    assert not found.signed
    assert found.problems


@pytest.mark.mutants
def test_the_command_fails_for_what_is_wrong(certified, tmp_path):
    run, _ = certified
    shutil.copytree(run / "certificates", tmp_path / "certificates")
    edited(tmp_path / "certificates/reviewer.json", EDITS["another result"])
    signers = ["--signers", tmp_path / "certificates/allowed_signers"]
    done = run_bat(run, "audit", "certificates", "--folder", tmp_path / "certificates", *signers)
    assert done.returncode == 1
    assert "is not a signature by" in done.stderr
    assert "0 of" in done.stdout


def resign(path, key):
    signature = sign(path.read_bytes(), key, namespace=NAMESPACE)
    path.with_name(f"{path.name}.sig").write_bytes(signature)


@pytest.mark.mutants
def test_the_authors_own_machine_is_not_independent(copy):
    folder, cells, key = copy
    path = folder / "reviewer.json"
    edited(path, lambda content: content["outcome"]["records"][0].update(environment={}))
    resign(path, key)
    (checked,) = check(folder, cells)
    assert checked.signed
    assert not checked.problems
    assert "was rerun on the machine of the author's run" in checked.notes[0]
    assert states(folder, cells)[CELL] == "author run"


@pytest.mark.mutants
def test_a_certificate_without_a_run_log_of_the_author_does_not_count(copy):
    folder, cells, key = copy
    path = folder / "reviewer.json"
    unknown = {"host": [None, "here"]}
    edited(path, lambda content: content["outcome"]["records"][0]["environment"].update(unknown))
    resign(path, key)
    (checked,) = check(folder, cells)
    assert checked.signed
    assert "no run log says where the author's run was" in checked.notes[0]
    assert states(folder, cells)[CELL] == "author run"


@pytest.mark.mutants
def test_a_rerun_that_did_not_repeat_does_not_count(copy):
    folder, cells, key = copy
    path = folder / "reviewer.json"
    found = {"result": "different", "difference": "metrics.json: runs[0]: 1 on record, 2 rebuilt"}
    edited(path, lambda content: content["outcome"]["records"][0].update(found))
    resign(path, key)
    (checked,) = check(folder, cells)
    assert checked.signed
    assert checked.notes == [f"{CELL}: did not repeat: {RESULT}: {found['difference']}"]
    assert states(folder, cells)[CELL] == "author run"
