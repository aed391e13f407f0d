"""Cells that stand for claims of the paper, made for tests."""

from types import SimpleNamespace

import numpy as np

from audit.made import made_cell
from bat.evaluation.cells import RunValue
from bat.paper.claims import read_claims

CLAIMS = read_claims()
BY_ID = {claim.id: claim for claim in CLAIMS}
DECLARED = SimpleNamespace(margin=0.5, margins={}, confidence=0.9)
ESC50 = "v2.table-5.BAT.CGP.ESC-50.accuracy"  # 94.55 +- 1.7
AS20K = "v2.table-5.BAT.CGP.AS-20k.mAP"  # 37.70


def cell_for(claim, off=0.0, *, model=None, seeds=(-0.05, 0.0, 0.05), folds=1, **changes):
    """A cell ``off`` points from a claim; ``seeds`` in points around it, the same in every fold."""
    name, method, task, metric = claim.cells[0].split(",")
    runs = [
        RunValue(fold=f"fold-{fold}", seed=seed, value=(claim.value + off + points) / 100)
        for fold in range(folds)
        for seed, points in enumerate(seeds)
    ]
    value = float(np.mean([run.value for run in runs]))
    content = {
        "model": model or name, "method": method, "task": task, "metric": metric,
        "value": value, "mean": round(100 * value, 2), "runs": runs, "clip_deviation": 0.001,
        "n_clips": 2000 if task == "ESC-50" else 18_886, "n_folds": folds, "n_seeds": len(seeds),
    }  # fmt: skip
    return made_cell(**content | changes)
