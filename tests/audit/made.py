"""Cells made for tests."""

import json

from bat.evaluation.cells import Cell, RunValue


def made_cell(**changes):
    """A cell of one run; nothing in it is particular."""
    content = {
        "model": "bat-mini", "method": "cgp", "task": "speaker", "metric": "accuracy",
        "value": 0.71, "runs": [RunValue(fold="meeting-0", seed=0, value=0.71)],
        "clip_deviation": 0.01, "mean": 71.0, "std": 0.0, "low": 69.0, "high": 73.0,
        "n_clips": 100, "n_folds": 1, "n_seeds": 1, "comparison_set": None,
        "record": "0" * 16, "folders": [],
    }  # fmt: skip
    return Cell(**content | changes)


def cells_json(*cells):
    """The file of cells that the table stage writes."""
    return json.dumps([cell.model_dump(mode="json") for cell in cells]).encode()
