"""Clips rendered from stored PCM at every step, with what training does to waveforms."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bat.audio.augmentation import (
    add_colour_noise,
    add_gaussian_noise,
    random_crop,
    roll_waveforms,
)
from bat.data.manifest import render
from bat.data.pcm_store import PcmStore


@dataclass(frozen=True, kw_only=True)
class WaveformTransforms:
    """What training does to waveforms, in this order.

    Attributes
    ----------
    random_crop : bool
        Cut longer clips at a random place; otherwise at their start.
    gaussian_noise : float
        Scale of added white noise; 0 is none.
    roll : bool
        Roll every clip circularly by a random offset.
    colour_noise : float
        Probability of added power-law noise.
    """

    random_crop: bool = False
    gaussian_noise: float = 0.0
    roll: bool = False
    colour_noise: float = 0.0

    def __call__(self, waveform: Tensor, generator: torch.Generator) -> Tensor:
        """Transform waveforms [B, samples] that are already cut."""
        if self.gaussian_noise:
            waveform = add_gaussian_noise(waveform, self.gaussian_noise, generator)
        if self.roll:
            waveform = roll_waveforms(waveform, generator)
        if self.colour_noise:
            waveform = add_colour_noise(
                waveform, probability=self.colour_noise, generator=generator
            )
        return waveform


class Waveforms:
    """Clips of a task as their front end hears them, made when asked for.

    Parameters
    ----------
    manifest : polars.DataFrame
        The clips.
    store : PcmStore
        Their recordings.
    frontend : callable
        From waveforms [B, samples] to spectrograms [B, 1, T, F].
    samples : int, optional
        Clips are zero-padded or cut to this length. Without it a clip keeps its own, and batches
        are zero-padded to their longest clip.
    pad_waveforms : bool
        Where clips keep their own length: pad waveforms, as the reference does, so that a clip's
        spectrogram depends on its batch; otherwise each is computed alone and padded then.
    transforms : WaveformTransforms
        Applied in training.
    device : torch.device
        Where front end and encoder run.
    """

    def __init__(
        self,
        manifest: pl.DataFrame,
        store: PcmStore,
        frontend: Callable[[Tensor], Tensor],
        *,
        samples: int | None,
        pad_waveforms: bool = False,
        transforms: WaveformTransforms,
        device: torch.device,
    ) -> None:
        self.manifest, self.store, self.frontend = manifest, store, frontend
        self.samples, self.pad_waveforms = samples, pad_waveforms
        self.transforms, self.device = transforms, device

    def __call__(self, clips: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return spectrograms [B, 1, T, F] of clips [B]; a generator means training."""
        rows = self.manifest[clips.tolist()]
        if self.samples is None and not self.pad_waveforms:
            alone = [self.frontend(self._transformed(one, generator)) for one in self._each(rows)]
            return pad_sequence([one[0, 0] for one in alone], batch_first=True)[:, None]
        if self.samples is None:
            whole = [one[0] for one in self._each(rows)]
            waveform = pad_sequence(whole, batch_first=True)
        else:
            waveform = self._cut(rows, self.samples, generator)
        return self.frontend(self._transformed(waveform, generator))

    def frames(self, clips: Tensor) -> Tensor:
        """Return the number of frames of clips, [B], as rendered for testing."""
        if self.samples is not None:
            return torch.full((len(clips),), self(clips[:1]).shape[2])
        return torch.tensor([self(clip[None]).shape[2] for clip in clips])

    def _each(self, rows: pl.DataFrame) -> list[Tensor]:
        return [render(rows[row : row + 1], self.store) for row in range(rows.height)]

    def _cut(self, rows: pl.DataFrame, samples: int, generator: torch.Generator | None) -> Tensor:
        if self.transforms.random_crop and generator is not None:
            return random_crop([one[0] for one in self._each(rows)], samples, generator)
        return render(rows, self.store, samples=samples)

    def _transformed(self, waveform: Tensor, generator: torch.Generator | None) -> Tensor:
        waveform = waveform.to(self.device)
        return waveform if generator is None else self.transforms(waveform, generator)
