"""Comparison sets: which recordings count, by name."""

import hashlib
from dataclasses import asdict

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bat.cli import app
from bat.data.clips import read_clips
from bat.data.labels import LabelOrder
from bat.data.manifest import MANIFEST_SCHEMA, window_clips, write_manifest
from bat.data.selections import (
    SELECTION_SCHEMA,
    AppliedSet,
    ComparisonSet,
    from_ids,
    print_selection,
    read_applied,
    read_selection,
    restrict,
    restrict_clips,
    select,
    write_selection,
)
from bat.data.tables import make_table, write_table
from bat.errors import BatError

COLUMNS = ("recording_id", "part", "status")


def rows(**status_of):
    """Rows of a ledger: t... are of the part train, e... of the part eval."""
    parts = {"t": "train", "e": "eval"}
    listed = [(name, parts[name[0]], status) for name, status in status_of.items()]
    return pl.DataFrame(listed, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def ledger_of(path, **status_of):
    rows(**status_of).write_parquet(path)
    return path


def set_of(*names, name="mine"):
    return ComparisonSet(
        name=name, recording_ids=pl.Series("recording_id", sorted(names), pl.String), made={}
    )


@pytest.fixture
def copies(tmp_path):
    """Ledgers of two copies of a data set, in which other recordings are usable."""
    one = ledger_of(tmp_path / "one", t1="ok", t2="ok", e1="ok", e2="missing", e3="ok", e4="ok")
    two = ledger_of(tmp_path / "two", e4="ok", e3="corrupt", e2="ok", e1="ok", t2="ok", t1="short")
    return [one, two]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- selecting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "parts", "expected"),
    [
        ("intersection", (), ["e1", "e4", "t2"]),
        ("intersection", ("eval",), ["e1", "e4"]),
        ("difference", (), ["e3", "t1"]),
        ("difference", ("train",), ["t1"]),
        ("intersection", ("eval", "train"), ["e1", "e4", "t2"]),
    ],
)
def test_two_ledgers_are_compared_by_what_is_usable(copies, how, parts, expected):
    chosen = select(copies, name="mine", parts=parts, how=how)
    assert chosen.recording_ids.to_list() == expected
    assert chosen.made == {
        "operation": how, "parts": sorted(parts), "ledgers": [sha256(path) for path in copies],
    }  # fmt: skip


def test_one_ledger_gives_its_usable_recordings(copies):
    assert select(copies[:1], name="mine").recording_ids.to_list() == ["e1", "e3", "e4", "t1", "t2"]
    eval_only = select(copies[1:], name="mine", parts=["eval"])
    assert eval_only.recording_ids.to_list() == ["e1", "e2", "e4"]


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 30), min_size=1), min_size=2, max_size=4))
def test_selections_are_those_of_sets(tmp_path_factory, usable):
    folder = tmp_path_factory.mktemp("ledgers")
    paths = [
        ledger_of(folder / f"{number}", **{f"e{i:02d}": "ok" if i in ok else "missing"
                                          for i in range(31)})
        for number, ok in enumerate(usable)
    ]  # fmt: skip
    first, *others = usable
    expected = {
        "intersection": set.intersection(first, *others),
        "difference": first.difference(*others),
    }
    for how, numbers in expected.items():
        names = [f"e{number:02d}" for number in sorted(numbers)]
        if names:
            assert select(paths, name="x", how=how).recording_ids.to_list() == names
        else:
            with pytest.raises(BatError, match="comparison set x: expected recordings, found none"):
                select(paths, name="x", how=how)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (2, {"how": "ok"}, "ok is of one ledger, found 2"),
        (1, {"how": "intersection"}, "intersection is of two ledgers or more, found 1"),
        (1, {"how": "difference"}, "difference is of two ledgers or more, found 1"),
        (2, {"how": "union"}, "among ok, intersection, difference, found union"),
        (1, {"parts": ["test"]}, "no recording in part 'test'; its parts: eval, train"),
        (1, {"name": "two words"}, "letters, digits, _ . -, found 'two words'"),
        (1, {"name": "x" * 65}, "at most 64"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(copies, count, options, message):
    with pytest.raises(BatError, match=message):
        select(copies[:count], **{"name": "mine"} | options)


def test_a_file_that_is_no_ledger_is_named(copies, tmp_path):
    other = tmp_path / "other"
    for make in (
        lambda: other.write_text("no table"),
        lambda: pl.DataFrame({"recording_id": ["e1"]}).write_parquet(other),
        other.unlink,
    ):
        make()
        with pytest.raises(BatError, match=rf"{other}: expected a ledger, found: "):
            select([copies[0], other], name="mine", how="intersection")


# --- plain lists ------------------------------------------------------------------------------


def test_a_plain_list_gives_its_ids_in_any_order(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("e3\r\n\n  -b_C \ne1\n#4\n")
    chosen = from_ids(path, name="published")
    assert chosen.recording_ids.to_list() == ["#4", "-b_C", "e1", "e3"]
    assert chosen.made == {"operation": "ids", "list": sha256(path)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"e1\ne2\ne1\n", "line 3: e1 is already in line 1"),
        (b"e1\ne\x002\n", r"line 2: expected a recording id, found 'e\\x002'"),
        (b"e1\n\xff\xfe\n", "expected text in UTF-8"),
        (b"\n \n", "expected recordings, found none"),
        (None, "no such file; expected a list of recording ids"),
    ],
)
def test_a_list_with_something_else_in_it_is_refused(tmp_path, content, message):
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BatError, match=message):
        from_ids(path, name="published")


# --- on disk ----------------------------------------------------------------------------------


def test_a_set_survives_the_way_to_disk_byte_for_byte(copies, tmp_path):
    chosen = select(copies, name="both-copies", parts=["eval"], how="intersection")
    for name in ("a", "b"):
        write_selection(chosen, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = read_selection(tmp_path / "a", sha256=sha256(tmp_path / "a"))
    assert (found.name, found.made) == ("both-copies", chosen.made)
    assert found.recording_ids.equals(chosen.recording_ids)


def test_another_file_than_the_one_that_was_pinned_is_refused(copies, tmp_path):
    write_selection(select(copies[:1], name="a"), tmp_path / "a")
    write_selection(select(copies[1:], name="a"), tmp_path / "b")
    with pytest.raises(BatError, match=f"of sha256 {sha256(tmp_path / 'a')}, found"):
        read_selection(tmp_path / "b", sha256=sha256(tmp_path / "a"))
    with pytest.raises(BatError, match="no such comparison set; bat ledger select makes one"):
        read_selection(tmp_path / "c")


@pytest.mark.parametrize("ids", [["e2", "e1"], ["e1", "e1"], [None]])
def test_a_table_that_is_no_set_is_refused(tmp_path, ids):
    table = pl.DataFrame({"recording_id": pl.Series(ids, dtype=pl.String)})
    table.write_parquet(tmp_path / "a", metadata={"made": '{"name": "a"}'})
    with pytest.raises(BatError, match="comparison set: "):
        read_selection(tmp_path / "a")


def test_a_table_without_a_name_is_refused(tmp_path):
    write_table(pl.DataFrame({"recording_id": ["e1"]}), tmp_path / "a", SELECTION_SCHEMA)
    with pytest.raises(BatError, match="expected 'made' in the metadata"):
        read_selection(tmp_path / "a")


# --- in a manifest ----------------------------------------------------------------------------

LEDGER = rows(t1="ok", e1="ok", e2="missing", t2="ok", e3="ok", e4="ok")


def test_a_set_applies_to_its_parts_and_leaves_the_others_whole():
    left, applied = restrict(LEDGER, set_of("e1", "e2", "e4"), sha256="0", parts=["eval"])
    assert left["recording_id"].to_list() == ["t1", "e1", "e2", "t2", "e4"]
    assert asdict(applied) == {
        "name": "mine", "sha256": "0", "parts": ("eval",),
        "named": 3, "usable": 2, "unusable": 1, "elsewhere": 0,
    }  # fmt: skip
    assert str(applied) == "mine (eval)"


def test_recordings_of_other_parts_are_counted_apart():
    left, applied = restrict(LEDGER, set_of("e1", "e2", "t2"), sha256="0", parts=["eval"])
    assert left["recording_id"].to_list() == ["t1", "e1", "e2", "t2"]
    counts = (applied.named, applied.usable, applied.unusable, applied.elsewhere)
    assert counts == (3, 1, 1, 1)


@settings(deadline=None)
@given(st.sets(st.sampled_from(LEDGER["recording_id"].to_list()), min_size=1))
def test_what_a_set_names_adds_up(names):
    try:
        left, applied = restrict(LEDGER, set_of(*names), sha256="0", parts=["eval"])
    except BatError as error:
        assert "no usable recording of part eval" in str(error)
        assert not names & {"e1", "e3", "e4"}
        return
    assert applied.named == applied.usable + applied.unusable + applied.elsewhere == len(names)
    usable = left.filter(part="eval", status="ok")
    assert usable.height == applied.usable
    assert left.filter(part="train").equals(LEDGER.filter(part="train"))


def test_a_recording_that_nobody_lists_is_an_error():
    with pytest.raises(BatError, match=r"mine: 2 of 3 recordings are not in.*the first is e8"):
        restrict(LEDGER, set_of("e1", "e8", "e9"), sha256="0", parts=["eval"])


def test_a_part_of_which_nothing_is_left_is_an_error():
    with pytest.raises(BatError, match="names no usable recording of part eval"):
        restrict(LEDGER, set_of("e2", "t1"), sha256="0", parts=["train", "eval"])


def test_clips_of_other_recordings_leave_the_parts_of_the_set_and_no_others():
    component = {"start_sample": 0, "samples": 1, "gain_db": 0.0}
    clips = pl.DataFrame(
        {
            "clip_id": ["a", "b", "c", "d"],
            "part": ["test", "test", "train", "test"],
            "components": [
                [component | {"recording_id": name} for name in of_clip]
                for of_clip in (["r1"], ["r2"], ["r2"], ["r1", "r2"])
            ],
        }
    )
    left = restrict_clips(clips, set_of("r1"), parts=["test"])
    assert left["clip_id"].to_list() == ["a", "c"]
    assert restrict_clips(clips, set_of("r1", "r2"), parts=["test"]).equals(clips)


def test_a_manifest_says_which_set_it_was_made_with(ledger, store, listing, tmp_path):
    ids = ledger.filter(part="meeting-4", status="ok")["recording_id"][:2]
    left, applied = restrict(ledger, set_of(*ids), sha256="0" * 64, parts=["meeting-4"])
    clips = window_clips(left, store, clip_s=0.5, minimum_rms=0.0)
    write_manifest(tmp_path / "m", clips, listing.label_order, applied=applied)
    found = read_clips(tmp_path / "m")
    heard = found.manifest.filter(part="meeting-4")["group"].explode().unique().sort()
    assert heard.to_list() == ids.sort().to_list()
    assert found.applied == applied == read_applied(tmp_path / "m")
    assert found.description["comparison_set"]["usable"] == 2
    assert AppliedSet.from_plain(found.description["comparison_set"]) == applied


def test_a_manifest_of_whole_data_sets_says_so(tmp_path):
    none = make_table([], MANIFEST_SCHEMA)
    write_manifest(tmp_path / "m", none, LabelOrder(name="test/given", classes=()))
    assert read_applied(tmp_path / "m") is None


# --- scale ------------------------------------------------------------------------------------


def test_two_hundred_thousand_recordings_are_selected_and_applied(tmp_path):
    count = 200_000
    ids = [f"e{number:08d}" for number in range(count)]
    table = pl.DataFrame({"recording_id": ids, "part": "eval", "status": "ok"})
    for name, every in (("one", 7), ("two", 11)):
        lost = pl.int_range(count) % every == 0
        status = pl.when(lost).then(pl.lit("missing")).otherwise(pl.lit("ok"))
        table.with_columns(status=status).write_parquet(tmp_path / name)
    chosen = select([tmp_path / "one", tmp_path / "two"], name="both", how="intersection")
    expected = sum(number % 7 != 0 and number % 11 != 0 for number in range(count))
    assert len(chosen.recording_ids) == expected
    left, applied = restrict(table, chosen, sha256="0", parts=["eval"])
    assert left.height == applied.usable == expected


# --- the command ------------------------------------------------------------------------------


def bat(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="bat")


def test_the_command_writes_the_set_and_says_how_parameters_name_it(copies, tmp_path):
    out = tmp_path / "sets" / "both.parquet"
    done = bat(
        "ledger", "select", "--name", "both", "--ledger", copies[0], "--ledger", copies[1],
        "--part", "eval", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"{out}: 2 recordings" in done.output
    named = f"only: {{name: both, path: {out}, sha256: {sha256(out)}, parts: [eval]}}"
    assert named in done.output
    assert read_selection(out).made["operation"] == "intersection"


def test_the_command_takes_a_plain_list(tmp_path):
    (tmp_path / "ids").write_text("e1\ne2\n")
    done = bat(
        "ledger", "select", "--name", "x", "--ids", tmp_path / "ids", "--out", tmp_path / "x"
    )
    assert done.exit_code == 0, done.output
    assert read_selection(tmp_path / "x").recording_ids.to_list() == ["e1", "e2"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ledgers": ["one"], "ids": "ids"},
        {"ids": "ids", "parts": ["eval"]},
        {"ids": "ids", "how": "ok"},
    ],
)
def test_ledgers_and_ids_are_not_mixed(tmp_path, options):
    with pytest.raises(BatError, match="expected --ledger, once or more"):
        print_selection(name="x", out=tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()
