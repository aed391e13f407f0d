"""Amounts of data before anything is fetched: the catalogue's, for every part that a task names."""

import pytest

from bat.acquisition.catalogue import known_bytes, mirror_of, read_catalogue
from bat.params import load
from bat.planning.amounts import Amounts, published_amounts
from bat.workflow import Plan
from pipeline.tiny import REPOSITORY

SMALL, PAPER = REPOSITORY / "params.yaml", REPOSITORY / "config/paper.yaml"
COPIES = [(entry, mirror.name) for entry in read_catalogue().datasets for mirror in entry.mirrors]


@pytest.mark.parametrize(("entry", "mirror"), COPIES, ids=[f"{e.name}, {m}" for e, m in COPIES])
def test_a_copy_has_what_the_catalogue_says(entry, mirror):
    amounts, copy = published_amounts(entry.name, mirror), mirror_of(entry.name, mirror)
    expected = sum(copy.counts.values()) if copy.counts else entry.recordings
    assert sum(amount.recordings for amount in amounts.values()) == expected
    if known_bytes(copy):
        total = sum(amount.source_bytes for amount in amounts.values())
        assert total == pytest.approx(known_bytes(copy))
    assert all(amount.hours > 0 and amount.source_bytes > 0 for amount in amounts.values())


def test_what_is_missing_in_the_papers_copy_of_audioset_is_not_counted():
    paper = Amounts(Plan(PAPER)).dataset("audioset").recordings
    assert paper == 20_550 + 1_912_024 + 18_886 < read_catalogue().dataset("audioset").recordings


@pytest.mark.parametrize("params", [SMALL, PAPER], ids=["small", "paper"])
def test_the_parts_are_those_that_the_tasks_name(params):
    amounts, experiment = Amounts(Plan(params)), load(params)
    for task in experiment.tasks:
        parts = amounts._every_part(task)
        shares = [amounts.clips(task, [part]) / amounts.clips(task) for part in parts]
        assert all(share > 0 for share in shares)
        known = amounts._parts(experiment.datasets[experiment.tasks[task].dataset])
        assert parts <= known.keys(), task
