"""Logistic regression on the mean and the deviation over time of every mel bin.

Speaker identity is carried by the long-term spectrum, so this row is hard to beat; it is what a
learned representation must be measured against.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bat.data.clips import Clips, read_clips
from bat.data.shards import read_spectrograms
from bat.evaluation.predictions import Floats, Predictions
from bat.evaluation.runs import run_metrics, write_predictions
from bat.params import BASELINE
from bat.params.methods import Baseline
from bat.provenance.determinism import Tolerance
from bat.provenance.job import Job
from bat.settings import BaselineSettings, Run

DETERMINISM = "bitwise-same-hardware"
# With other vector instructions: 1.2e-5 at most (docs/audit.md).
TOLERANCES = {
    "metrics.json": Tolerance(absolute=1e-3),
    "predictions.parquet": Tolerance(absolute=1e-3),
}


def run(job: Job, settings: BaselineSettings) -> None:
    """Write ``metrics.json`` and ``predictions.parquet``; nothing here is random."""
    clips = read_clips(job.path("manifest"))
    shard = read_spectrograms(job.path("spectrograms"))
    clips.check_order(shard.clip_ids, job.path("spectrograms"))
    values = shard.spectrogram[:, 0].double().numpy()
    features = np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1)
    several = settings.goal.kind != "multi-class"
    predictions = [
        _train_and_test(one, clips, features, settings.baseline, several=several)
        for one in settings.runs
    ]
    write_predictions(job.output("predictions.parquet"), predictions)
    metrics = [run_metrics(one, settings.goal.metrics) for one in predictions]
    model, method = BASELINE
    selection = {**job.selection, "model": model, "method": method}
    job.write_json("metrics.json", {**selection, **clips.description, "runs": metrics})


def _train_and_test(
    one: Run, clips: Clips, features: Floats, settings: Baseline, *, several: bool
) -> Predictions:
    """Fit on the training clips of a fold and score its test clips."""
    train, _, test = clips.split(train=one.train, validation=one.validation, test=one.test)
    present = clips.present[train]
    known = np.flatnonzero(present.any(axis=0))
    regression = LogisticRegression(
        C=settings.inverse_regularisation, max_iter=settings.maximum_iterations
    )
    if several:
        model = make_pipeline(StandardScaler(), OneVsRestClassifier(regression))
        model.fit(features[train], present[:, known])
    else:
        model = make_pipeline(StandardScaler(), regression)
        model.fit(features[train], np.searchsorted(known, present.argmax(axis=1)))
    scores = np.zeros((len(test), len(clips.classes)))
    scores[:, known] = model.predict_proba(features[test])
    return Predictions(
        fold=one.fold,
        seed=one.seed,
        clips=clips.manifest["clip_id"][test.tolist()].to_list(),
        scores=scores,
        present=clips.present[test],
    )
