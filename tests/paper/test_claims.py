"""The paper's claims as data: complete, known, and noticed when edited."""

import csv
import io
from collections import Counter
from importlib.resources import files

import pytest

from bat.errors import BatError
from bat.evaluation.metrics import METRICS
from bat.paper.claims import COST, METHODS, MODELS, QUOTED, TASKS, read_claims
from bat.params import FINETUNE
from bat.params.results import Equivalence
from paper.experiment import PARAMS
from paper.results import BY_ID, CLAIMS

SHIPPED = files("bat.paper").joinpath("claims.csv").read_text("utf-8")


def test_there_are_254_claims_of_two_versions():
    assert Counter(claim.version for claim in CLAIMS) == {"v2": 237, "v1": 17}


@pytest.mark.parametrize(
    ("claim", "printed", "spread", "decimals"),
    [
        ("v2.table-5.BAT.CGP.ESC-50.accuracy", "94.55", 1.7, 2),
        ("v2.table-5.BAT.FT.SED.onset_F1", "98.20", None, 2),
        ("v2.table-6.BAT.ASR.LibriSpeech.WER", "22.18", None, 2),
        ("v2.table-10.BAT.CGP.cost.parameters_M", "23.5", None, 1),
        ("v2.tables-2-4.BAT.CGP.AS-20k.F1", "29.11", None, 2),
        ("v1.table-1.SSLAM.FT-reported.AS-2M.mAP", "50.2", None, 1),
    ],
)
def test_claims_are_as_printed(claim, printed, spread, decimals):
    found = BY_ID[claim]
    assert (found.printed, found.spread, found.decimals) == (printed, spread, decimals)
    assert found.half_unit == pytest.approx(0.5 * 10**-decimals)


def test_the_papers_best_and_the_probe_that_beats_it_are_both_there():
    assert BY_ID["v2.table-5.BAT.PB.ESC-50.accuracy"].value == 95.75


def test_every_name_of_the_paper_has_a_name_in_its_experiment():
    assert {name for names in MODELS.values() for name in names} <= set(PARAMS.models)
    assert {method for method in METHODS.values() if method} <= {*PARAMS.probes, FINETUNE}
    assert set(TASKS) - {COST} == set(PARAMS.labelled)
    for claim in CLAIMS:
        for cell in claim.cells:
            _, _, task, metric = cell.split(",")
            assert metric in METRICS
            assert metric in PARAMS.labelled[task].metrics


def test_costs_and_quoted_numbers_have_no_cells():
    assert {c.task == COST or c.method == QUOTED for c in CLAIMS if not c.cells} == {True}


def test_a_margin_may_be_declared_for_every_metric():
    for metric in METRICS:
        Equivalence(margin=0.5, margins={metric: 1.0}, confidence=0.9)


def changed(tmp_path, **changes):
    """A copy of the claims, the first with other values."""
    rows = list(csv.DictReader(io.StringIO(SHIPPED)))
    rows[0] |= changes
    return written(tmp_path, rows)


def written(tmp_path, rows):
    path = tmp_path / "claims.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_copy_reads_as_the_shipped_file(tmp_path):
    assert read_claims(changed(tmp_path)) == CLAIMS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": "BART"}, "model: unknown 'BART'"),
        ({"method": "ft"}, "method: unknown 'ft'"),
        ({"task": "AS-2k"}, "task: unknown 'AS-2k'"),
        ({"metric": "map"}, "metric: unknown 'map'"),
        ({"metric": "GMAC"}, "metric: GMAC is not one of task AS-2M"),
        ({"version": "v3"}, "version: "),
        ({"value": "148.85"}, "value: 148.85 is above 100"),
        ({"value": "-48.85"}, "value: "),
        ({"value": "nan"}, "value: "),
        ({"value": "forty"}, "value: "),
        ({"value": "48.8"}, "value: '48.8' is not printed with 2 decimals"),
        ({"decimals": "-1"}, "decimals: "),
        ({"spread": "-1"}, "spread: "),
        ({"spread": "101"}, "spread: "),
        ({"source": ""}, "source: "),
        ({"id": "a b"}, "id: "),
    ],
)
def test_what_is_no_claim_is_named_with_its_line(tmp_path, changes, expected):
    with pytest.raises(BatError) as caught:
        read_claims(changed(tmp_path, **changes))
    text = str(caught.value)
    assert "claims.csv: line 2: " in text
    assert expected in text
    assert len(text.splitlines()) == 1


def test_a_claim_that_stands_twice_is_refused(tmp_path):
    rows = list(csv.DictReader(io.StringIO(SHIPPED)))
    again = written(tmp_path, [*rows, rows[3]])
    with pytest.raises(BatError, match="line 256: repeats line 5 in id"):
        read_claims(again)
    again = written(tmp_path, [*rows, rows[3] | {"id": "v2.other"}])
    with pytest.raises(BatError, match="line 256: repeats line 5 in what it is about"):
        read_claims(again)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,version\nx,v2\n", "line 1: expected columns"),
        (b"", "line 1: expected columns"),
        (b"\xff\xfe", "not a CSV file"),
        (SHIPPED.encode() + b"v2.x,v2\n", "line 256: expected 12 columns"),
        (SHIPPED.encode() + b"a,b,c,d,e,f,g,1.00,,2,secondary,,more\n", "expected 12 columns"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, expected):
    path = tmp_path / "claims.csv"
    path.write_bytes(content)
    with pytest.raises(BatError, match=expected):
        read_claims(path)
