"""What a task asks for: the targets of training, and the predictions of a test."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bat.data.clips import Clips
from bat.evaluation.decoding import (
    CHARACTERS,
    ctc_text,
    decode_events,
    encode_text,
    normalise_text,
)
from bat.evaluation.predictions import Events, Predictions, Texts
from bat.optimisation.losses import ctc_loss, loss_function
from bat.settings import Goal, Run

Indices = NDArray[np.int64]
# From clips [B] to their numbers of time patches [B].
TimePatches = Callable[[Tensor], Tensor]


class Targets(ABC):
    """The labels of a task's clips.

    Attributes
    ----------
    outputs : int
        Number of logits of a head.
    """

    outputs: int
    frame_wise = False

    def __init__(self, goal: Goal, clips: Clips) -> None:
        self.goal, self.clips = goal, clips
        self.outputs = len(clips.classes)

    @abstractmethod
    def loss(self, logits: Tensor, batch: Tensor) -> Tensor:
        """Return the loss of a batch's logits, a scalar; ``batch`` are the clips' indices."""

    @abstractmethod
    def predictions(self, logits: list[Tensor], one: Run, test: Indices) -> Predictions:
        """Gather what a run predicted for its test clips.

        Parameters
        ----------
        logits : list of Tensor
            One per clip, in the order of ``test``.
        test : array of int [N]
            Places of the test clips in the manifest.
        """

    def ids(self, test: Indices) -> list[str]:
        """Return the ids of clips."""
        ids: list[str] = self.clips.manifest["clip_id"][test.tolist()].to_list()
        return ids


class ClassTargets(Targets):
    """One label per clip, or several."""

    def __init__(self, goal: Goal, clips: Clips) -> None:
        super().__init__(goal, clips)
        self._loss = loss_function(goal.loss)

    def of(self, batch: Tensor) -> Tensor:
        """Return the labels of clips: classes [B], or presence [B, C] as numbers."""
        present = torch.from_numpy(self.clips.present[batch.numpy()])
        return present.int().argmax(dim=1) if self.goal.kind == "multi-class" else present.float()

    def loss(self, logits: Tensor, batch: Tensor) -> Tensor:
        """Return the loss against the clips' own labels."""
        return self.loss_of(logits, self.of(batch))

    def loss_of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss against labels: classes [B], or presence [B, C], which may be soft."""
        return self._loss(logits.float(), labels.to(logits.device))

    def predictions(self, logits: list[Tensor], one: Run, test: Indices) -> Predictions:
        """Turn logits into probabilities."""
        stacked = torch.stack(logits)
        one_label = self.goal.kind == "multi-class"
        scores = stacked.softmax(dim=-1) if one_label else stacked.sigmoid()
        return Predictions(
            fold=one.fold,
            seed=one.seed,
            clips=self.ids(test),
            scores=scores.double().numpy(),
            present=self.clips.present[test],
        )


class FrameTargets(Targets):
    """Several labels in every time patch.

    Time patches that lie wholly in a clip's padding count as silence, as in the reference.
    """

    frame_wise = True

    def __init__(self, goal: Goal, clips: Clips, frames: int) -> None:
        super().__init__(goal, clips)
        assert goal.frame_s is not None and goal.decoding is not None
        self.frame_s, self.decoding = goal.frame_s, goal.decoding
        self.present = clips.frame_labels(frames, goal.frame_s)
        self._loss = loss_function(goal.loss)

    def of(self, batch: Tensor) -> Tensor:
        """Return the labels of clips: presence [B, T, C] as numbers."""
        return torch.from_numpy(self.present[batch.numpy()]).float()

    def loss(self, logits: Tensor, batch: Tensor) -> Tensor:
        """Return the loss against the clips' own labels."""
        return self.loss_of(logits, self.of(batch))

    def loss_of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits [B, T, C] against presence [B, T, C], which may be soft."""
        return self._loss(logits.float(), labels.to(logits.device))

    def predictions(self, logits: list[Tensor], one: Run, test: Indices) -> Predictions:
        """Turn logits into probabilities over time, and these into events."""
        scores = torch.stack(logits).sigmoid().double().numpy()
        found = [
            decode_events(
                of_clip,
                frame_s=self.frame_s,
                threshold=self.decoding.threshold,
                median_filter=self.decoding.median_filter,
                classes=self.clips.classes,
            )
            for of_clip in scores
        ]
        reference = [self.clips.events(int(clip)) for clip in test]
        return Predictions(
            fold=one.fold,
            seed=one.seed,
            clips=self.ids(test),
            scores=scores,
            present=self.present[test],
            events=Events(reference=reference, found=found),
        )


class TextTargets(Targets):
    """What is said in each clip."""

    # Time steps that the speech recogniser makes of one time patch.
    STEPS_PER_PATCH = 8

    def __init__(self, goal: Goal, clips: Clips, time_patches: TimePatches) -> None:
        super().__init__(goal, clips)
        self.outputs = len(CHARACTERS)
        self.time_patches = time_patches
        self.texts = [normalise_text(text) for text in clips.transcripts]
        self.encoded = [torch.tensor(encode_text(text)) for text in self.texts]

    def loss(self, logits: Tensor, batch: Tensor) -> Tensor:
        """Return the CTC loss of logits [B, S, characters]."""
        encoded = [self.encoded[int(clip)] for clip in batch]
        lengths = torch.tensor([len(one) for one in encoded])
        targets = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)
        return ctc_loss(logits.float(), targets, lengths, self._steps(batch))

    def predictions(self, logits: list[Tensor], one: Run, test: Indices) -> Predictions:
        """Read the most probable characters."""
        steps = self._steps(torch.from_numpy(test))
        found = [
            ctc_text(of_clip[:length].numpy(), CHARACTERS)
            for of_clip, length in zip(logits, steps.tolist(), strict=True)
        ]
        return Predictions(
            fold=one.fold,
            seed=one.seed,
            clips=self.ids(test),
            scores=np.zeros((len(test), 0)),
            present=np.zeros((len(test), 0), dtype=bool),
            texts=Texts(reference=[self.texts[clip] for clip in test], found=found),
        )

    def _steps(self, batch: Tensor) -> Tensor:
        return self.STEPS_PER_PATCH * self.time_patches(batch)


def targets_of(goal: Goal, clips: Clips, time_patches: TimePatches) -> Targets:
    """Return the targets of a task.

    Parameters
    ----------
    time_patches
        How many time patches the encoder makes of clips.
    """
    if goal.kind == "transcript":
        return TextTargets(goal, clips, time_patches)
    if goal.kind == "frame-wise":
        return FrameTargets(goal, clips, int(time_patches(torch.tensor([0]))))
    return ClassTargets(goal, clips)
