"""Frozen ledgers, and what differs between two."""

import json
import stat

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bat.cli import app
from bat.data.comparison import compare, print_differences, print_ledger, print_versions
from bat.data.ledger import LEDGER_SCHEMA
from bat.data.tables import make_table, write_table
from bat.data.versions import find, freeze, versions
from bat.errors import BatError

ROW = dict.fromkeys(LEDGER_SCHEMA.columns) | {
    "part": "train",
    "labels": ["dog"],
    "events": [],
    "bytes": 10,
    "status": "ok",
    "reason": "",
    "pcm_sha256": "samples",
    "attempts": 1,
}
MISSING = {"status": "missing", "reason": "not found", "pcm_sha256": None}


def ledger(**rows):
    """A ledger of rows by recording_id, each given by what is special about it."""
    return make_table(
        (ROW | {"recording_id": name} | values for name, values in rows.items()), LEDGER_SCHEMA
    )


FIRST = ledger(a={}, b=MISSING, c={}, d={})
SECOND = ledger(a={}, b={}, c={"pcm_sha256": "others"}, d={"labels": ["cat"]}, e={})


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a ledger where a job would publish it."""

    def write_one(table, classes=("dog", "cat")):
        path = tmp_path / "data" / "pcm" / "birds" / "ledger.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"classes": json.dumps(classes), "order": "csv/sorted"}
        write_table(table, path, LEDGER_SCHEMA, metadata=metadata)
        return path

    return write_one


@pytest.fixture
def ledgers(tmp_path):
    return tmp_path / "data" / "ledgers"


@pytest.fixture
def frozen(write, ledgers):
    """Two versions of a ledger."""
    return [freeze(write(table), ledgers / "birds") for table in (FIRST, SECOND)]


def screen():
    return Console(width=120, record=True)


# --- freezing ---------------------------------------------------------------------------------


def test_every_change_makes_a_version_that_nobody_may_write(frozen, ledgers):
    assert [path.name[:5] for path in frozen] == ["0001-", "0002-"]
    assert [version.path for version in versions(ledgers / "birds")] == frozen
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in frozen)
    assert pl.read_parquet(frozen[0]).equals(FIRST)


def test_the_same_content_makes_no_version(frozen, write, ledgers):
    assert freeze(write(SECOND), ledgers / "birds") == frozen[1]
    assert len(list((ledgers / "birds").iterdir())) == 2


def test_an_earlier_content_comes_back_as_a_new_version(frozen, write, ledgers):
    third = freeze(write(FIRST), ledgers / "birds")
    assert third.name == frozen[0].name.replace("0001", "0003")


def test_other_bytes_of_the_same_content_make_no_version(frozen, write, ledgers):
    path = write(SECOND)
    metadata = pl.read_parquet_metadata(path)
    kept = {key: metadata[key] for key in ("classes", "order")}
    SECOND.write_parquet(path, compression="lz4", metadata=kept)
    assert freeze(path, ledgers / "birds") == frozen[1]


def test_other_classes_make_a_version(frozen, write, ledgers):
    assert freeze(write(SECOND, ("cat", "dog")), ledgers / "birds") not in frozen


def test_a_version_that_was_changed_is_refused(frozen, write, ledgers):
    frozen[1].chmod(0o644)
    write_table(FIRST, frozen[1], LEDGER_SCHEMA)
    for use in (
        lambda: freeze(write(SECOND), ledgers / "birds"),
        lambda: find("birds/2", ledgers),
        lambda: find("birds", ledgers),
    ):
        with pytest.raises(BatError, match=r"0002-.*: changed since it was frozen"):
            use()
    assert find("birds/1", ledgers) == frozen[0]


def test_what_a_killed_process_left_is_no_version(frozen, write, ledgers):
    (ledgers / "birds" / ".0003-0123456789ab.parquet.part").write_bytes(b"half")
    (ledgers / "birds" / "notes.txt").write_text("mine")
    assert [version.number for version in versions(ledgers / "birds")] == [1, 2]


# --- finding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["birds/1", "birds/0001", "birds/{}"])
def test_a_version_is_found_by_its_number_or_name(frozen, ledgers, name):
    assert find(name.format(frozen[0].stem), ledgers) == frozen[0]


def test_a_data_set_stands_for_its_newest_version_and_a_path_for_itself(frozen, ledgers):
    assert find("birds", ledgers) == frozen[1]
    assert find(str(frozen[0]), ledgers) == frozen[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fish", r"fish: no such ledger; expected a file, or a version of: birds"),
        ("birds/3", r"birds/3: no such version; birds has 1 to 2"),
        ("birds/new", r"birds/new: no such version"),
        ("../x/ledger.parquet", "no such ledger"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(frozen, ledgers, name, message):
    with pytest.raises(BatError, match=message):
        find(name, ledgers)


# --- differences ------------------------------------------------------------------------------


def test_all_kinds_of_difference_are_counted():
    one = ledger(a={}, b=MISSING, c={}, d={}, f={}, g={"part": "test"}, h={"attempts": 2})
    other = ledger(e={}, d={"labels": ["cat"]}, c={"pcm_sha256": "others"}, b={}, a={}, g={}, h={})
    found = compare(one, other)
    assert (found.counts_a, found.counts_b) == ({"ok": 6, "missing": 1}, {"ok": 7})
    assert (found.appeared.examples, found.vanished.examples) == (["e"], ["f"])
    (change,) = found.status
    assert (change.before, change.after, change.rows, change.examples) == (
        "missing",
        "ok",
        1,
        ["b"],
    )
    assert (found.pcm.rows, found.pcm.examples) == (1, ["c"])
    assert (found.labels.rows, found.labels.examples) == (1, ["d"])
    assert found.other == {"part": 1, "attempts": 1}
    assert found.any


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("part", "test"),
        ("labels", []),
        ("events", [{"label": "dog", "onset_s": 0.0, "offset_s": 1.0}]),
        ("transcript", "good dog"),
        ("archive", "x.tar"),
        ("bytes", 11),
        ("sha256", "x"),
        ("native_rate_hz", 48_000),
        ("channels", 2),
        ("duration_s", 1.0),
        ("rms", 0.5),
        ("peak", 0.5),
        ("pcm_sha256", None),
        ("attempts", 2),
    ],
)
def test_a_difference_in_any_column_is_one(column, value):
    assert not compare(ledger(a={}), ledger(a={})).any
    assert compare(ledger(a={}), ledger(a={column: value})).any
    assert compare(ledger(a={column: value}), ledger(a={})).any


def test_another_reason_is_a_difference():
    bad = {"status": "corrupt", "reason": "truncated"}
    found = compare(ledger(a=bad), ledger(a=bad | {"reason": "undecodable"}))
    assert found.other == {"reason": 1}


def test_the_order_of_rows_is_no_difference():
    rows = {"a": {}, "b": MISSING}
    assert not compare(ledger(**rows), ledger(**dict(reversed(rows.items())))).any


def test_other_classes_are_a_difference(write, tmp_path):
    one = tmp_path / "one.parquet"
    one.write_bytes(write(FIRST).read_bytes())
    other = write(FIRST, ("cat", "dog"))
    console = screen()
    assert print_differences(str(one), str(other), console=console)
    assert "other classes of the whole" in console.export_text()


def test_differences_are_printed_with_examples(frozen, ledgers):
    console = screen()
    assert print_differences("birds/1", "birds/2", ledgers=ledgers, console=console)
    text = console.export_text()
    for words in ("missing -> ok", "only in B", "other samples, same status", "other labels", "+2"):
        assert words in text


def test_no_difference_is_printed_as_such(frozen, ledgers):
    console = screen()
    assert not print_differences("birds/2", "birds", ledgers=ledgers, console=console)
    assert "no difference" in console.export_text()


def bat(*arguments):
    return CliRunner().invoke(app, ["ledger", *map(str, arguments)])


def test_the_exit_status_is_that_of_diff(frozen, ledgers):
    assert bat("diff", "birds/1", "birds", "--ledgers", ledgers).exit_code == 1
    assert bat("diff", "birds/2", "birds", "--ledgers", ledgers).exit_code == 0
    trouble = bat("diff", "birds/7", "birds", "--ledgers", ledgers)
    assert trouble.exit_code == 2
    assert "error: birds/7: no such version; birds has 1 to 2" in trouble.stderr


def test_differences_may_be_read_as_json(frozen, ledgers):
    done = bat("diff", "birds/1", "birds/2", "--json", "--ledgers", ledgers)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["equal"]) == (1, False)
    assert found["status"] == [{"before": "missing", "after": "ok", "rows": 1, "examples": ["b"]}]
    assert found["counts_b"] == {"ok": 5}


# --- one ledger -------------------------------------------------------------------------------


def test_a_ledger_is_shown_by_part_and_status_with_reasons(write):
    short = {"status": "short", "reason": "0.250 s, shorter than 1 s"}
    table = ledger(
        a={},
        b=MISSING | {"part": "test"},
        c=short,
        d=short | {"reason": "0.500 s, shorter than 1 s"},
        e={"status": "duplicate", "reason": "same bytes as a [bold]"},
    )
    console = screen()
    print_ledger(str(write(table)), console=console)
    text = console.export_text()
    assert "5 files: 1 ok, 1 missing, 2 short, 1 duplicate" in text
    assert "shorter than 1 s" in text
    assert "0.250" not in text
    assert "same bytes as an earlier one" in text


def test_versions_are_listed_with_their_counts(frozen, ledgers):
    console = screen()
    print_versions("birds", ledgers=ledgers, console=console)
    assert console.export_text().splitlines() == [
        f"birds/1  {frozen[0].stem[5:]}  4 files: 3 ok, 1 missing",
        f"birds/2  {frozen[1].stem[5:]}  5 files: 5 ok",
    ]
    assert bat("versions", "birds", "--ledgers", ledgers).exit_code == 0
    assert bat("show", "birds/1", "--ledgers", ledgers).exit_code == 0
