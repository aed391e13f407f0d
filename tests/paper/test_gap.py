"""A difference to a claim, split where runs tell its parts apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.paper.gap import COLUMNS, STEPS, gap_table, split
from paper.results import AS20K, BY_ID, CLAIMS, cell_for

HUNDREDTHS = st.integers(0, 10_000)
MAYBE = st.none() | HUNDREDTHS


@given(claimed=HUNDREDTHS, head=MAYBE, encoder=MAYBE, ours=HUNDREDTHS)
def test_the_parts_sum_to_the_difference_whatever_was_run(claimed, head, encoder, ours):
    parts = split([claimed, head, encoder, ours])
    assert sum(parts.known.values()) + (parts.joint or 0) == ours - claimed
    assert sorted([*parts.known, *parts.joint_of]) == sorted(STEPS)
    assert (parts.joint is None) == (not parts.joint_of)


@pytest.mark.parametrize(
    ("values", "known", "joint", "joint_of"),
    [
        ([100, 110, 130, 160], {"data": 10, "head": 20, "pretraining": 30}, None, ()),
        ([100, None, 130, 160], {"pretraining": 30}, 30, ("data", "head")),
        ([100, 110, None, 160], {"data": 10}, 50, ("head", "pretraining")),
        ([100, None, None, 160], {}, 60, STEPS),
        ([100, None, 0, 160], {"pretraining": 160}, -100, ("data", "head")),
    ],
)
def test_what_no_run_tells_apart_is_one_part(values, known, joint, joint_of):
    parts = split(values)
    assert (parts.known, parts.joint, parts.joint_of) == (known, joint, joint_of)


@pytest.mark.parametrize("values", [[], [1, 2], [None, 1, 2, 3], [1, 2, 3, None], [1] * 5])
def test_there_is_no_way_without_both_ends(values):
    with pytest.raises(ValueError, match="expected the claim"):
        split(values)


@given(st.lists(st.sampled_from([c for c in CLAIMS if c.cells]), max_size=12), st.data())
def test_the_columns_of_a_row_sum_to_its_difference(claims, data):
    """In hundredths, as printed."""
    offsets = st.floats(-30, 0)
    cells = {}
    for claim in claims:
        for name in data.draw(st.sets(st.sampled_from(claim.cells))):
            off, model = data.draw(offsets), name.split(",")[0]
            cells[name] = cell_for(claim, off, model=model, value=max(claim.value + off, 0) / 100)
    table = gap_table(CLAIMS, cells.values(), {"BAT-released", "EAT", "SSLAM", "BEATs"})
    assert set(table["claim"]) == {
        claim.id for claim in CLAIMS if any(name in cells for name in claim.cells)
    }
    for row in table.iter_rows(named=True):
        parts = [row[name] for name in (*STEPS, "joint") if row[name] is not None]
        hundredths = sum(round(100 * part) for part in parts)
        assert hundredths == round(100 * row["difference"])
        assert round(100 * row["ours"]) - round(100 * row["claimed"]) == hundredths


def row_of(claim, *cells, published=("BAT-released", "EAT")):
    (row,) = gap_table([claim], cells, published).iter_rows(named=True)
    return row


def test_three_runs_tell_pretraining_from_the_rest():
    claim = BY_ID[AS20K]
    row = row_of(claim, cell_for(claim, -2.0), cell_for(claim, -0.5, model="BAT-released"))
    assert (row["difference"], row["joint"], row["pretraining"]) == (-2.0, -0.5, -1.5)
    assert (row["model"], row["joint_of"], row["data"]) == ("BAT", "data and head", None)


def test_without_the_published_encoder_nothing_is_told_apart():
    claim = BY_ID[AS20K]
    row = row_of(claim, cell_for(claim, -2.0))
    assert (row["joint"], row["joint_of"]) == (-2.0, "data and head and pretraining")
    assert row["note"] == "no published encoder was evaluated"


def test_a_published_encoder_has_no_part_of_pretraining():
    claim = BY_ID["v2.table-5.EAT.CGP.AS-20k.mAP"]
    row = row_of(claim, cell_for(claim, 1.0))
    assert (row["joint"], row["pretraining"]) == (1.0, 0.0)


def test_without_cells_of_the_paper_there_is_a_header_only():
    table = gap_table(CLAIMS, [cell_for(BY_ID[AS20K], model="bat-mini")], [])
    assert table.write_csv() == ",".join(COLUMNS) + "\n"
