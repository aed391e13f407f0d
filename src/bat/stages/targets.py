"""What a task's labels and scores look like to a loss and to a metric."""

import numpy as np
import torch
from torch import Tensor

from bat.data.clips import Clips
from bat.evaluation.metrics import Floats
from bat.params import MultiClassTask, Task


def training_labels(clips: Clips, task: Task) -> Tensor:
    """Return classes [N] (int64) of a multi-class task, else class presence [N, C] (float32)."""
    present = torch.from_numpy(clips.present)
    return present.int().argmax(dim=1) if isinstance(task, MultiClassTask) else present.float()


def probabilities(logits: Tensor, task: Task) -> Floats:
    """Return the probability of every class, [N, C], rounded to single precision as stored."""
    single = logits.softmax(dim=1) if isinstance(task, MultiClassTask) else logits.sigmoid()
    return single.numpy().astype(np.float32).astype(np.float64)
