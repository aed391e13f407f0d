"""What a task's labels and scores look like to a loss and to a metric."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bat.data.clips import Clips
from bat.evaluation.statistics import Predictions
from bat.params import MultiClassTask, Task
from bat.settings import Run

Indices = NDArray[np.int64]


def training_labels(clips: Clips, task: Task) -> Tensor:
    """Return classes [N] (int64) of a multi-class task, else class presence [N, C] (float32)."""
    present = torch.from_numpy(clips.present)
    return present.int().argmax(dim=1) if isinstance(task, MultiClassTask) else present.float()


def predictions(logits: Tensor, one: Run, clips: Clips, test: Indices, task: Task) -> Predictions:
    """Gather what a run predicted for its test clips.

    Parameters
    ----------
    logits : Tensor [N, C]
        In the order of ``test``.
    test : array of int [N]
        Places of the test clips in the manifest.
    """
    scores = logits.softmax(dim=1) if isinstance(task, MultiClassTask) else logits.sigmoid()
    return Predictions(
        fold=one.fold,
        seed=one.seed,
        clips=[clips.ids[index] for index in test],
        scores=scores.double().numpy(),
        present=clips.present[test],
    )
