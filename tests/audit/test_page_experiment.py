"""The page of a real run, made by the workflow."""

import pytest

from audit.conftest import INDEX
from audit.test_page import check_numbers
from bat.evaluation.cells import read_cells
from pipeline.conftest import MAIN

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def finished(undisturbed, tmp_path_factory):
    """The shortest way through every stage, with its page."""
    experiment = undisturbed.copy_to(tmp_path_factory.mktemp("page") / "run")
    assert experiment.planned(INDEX) == {"page": 1}
    before = experiment.recipes()
    experiment.build(INDEX)
    assert experiment.recipes() == before
    return experiment


def test_the_page_is_no_part_of_the_table(finished):
    assert finished.planned(MAIN) == {}
    (finished.folder / INDEX).unlink()
    assert finished.planned(MAIN) == finished.planned() == {}
    done = finished.bat("audit", "page")
    assert done.returncode == 0, done.stderr
    assert "254 claims, 0 problems" in done.stdout
    assert finished.planned(INDEX) == {}


def test_every_number_of_a_real_run_resolves_to_a_record_on_disk(view, finished):
    view.open(finished.folder / INDEX)
    cells = read_cells(finished.folder / "results/tables/cells.json")
    assert len(view.all(".number")) == len(cells) > 4
    check_numbers(view, finished.folder, [cell.name for cell in cells])
    assert view.complaints() == []
    assert [url for url in view.requests() if not url.startswith("data:")] == [
        (finished.folder / INDEX).resolve().as_uri()
    ]


def test_a_real_number_comes_from_a_source(view, finished):
    view.open(finished.folder / INDEX, "#cell=bat-mini,cgp,speaker,accuracy")
    kinds = view.texts("#panel .box .kind")
    assert {"Head and predictions", "Embeddings", "Checkpoint", "Manifest"} <= set(kinds)
    assert "Source archive" in kinds
    assert any(text.startswith("all") for text in view.texts("#panel .ledger tr"))
    assert len(view.all("#figures img")) == 5
