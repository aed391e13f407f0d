"""Encoders on disk: weights and everything needed to use them, in one safetensors file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from bat.errors import BatError
from bat.models.base import Encoder
from bat.models.registry import build_encoder
from bat.models.tokens import Tokens
from bat.models.weights import load_strict, read_safetensors


@dataclass(frozen=True, kw_only=True)
class InputScaling:
    """From a cached spectrogram to what the encoder expects: standardise, then pad.

    Attributes
    ----------
    mean, scale : float
        ``(x - mean) / scale``; 0 and 1 leave the front end's values as they are.
    patch_size : int
        Time is zero-padded to a multiple of this, after standardising.
    """

    mean: float
    scale: float
    patch_size: int

    def __call__(self, spectrogram: Tensor) -> Tensor:
        """Map [B, 1, T, F] to [B, 1, T', F]."""
        missing = -spectrogram.shape[2] % self.patch_size
        return F.pad((spectrogram - self.mean) / self.scale, (0, 0, 0, missing))


def save_encoder(
    path: Path, encoder: Encoder, architecture: dict[str, Any], scaling: InputScaling
) -> None:
    """Write an encoder.

    Parameters
    ----------
    architecture
        What :func:`build_encoder` takes. ``pretrained`` is left out: it says where weights came
        from, and the file holds the weights.
    """
    architecture = {k: v for k, v in architecture.items() if k != "pretrained"}
    description = {"architecture": architecture, "scaling": asdict(scaling)}
    # One metadata key only: safetensors does not keep the order of several.
    metadata = {"bat": json.dumps(description, sort_keys=True)}
    # Cloned: safetensors refuses names that share memory, as those of BEATs' position biases.
    state = {
        k: v.clone(memory_format=torch.contiguous_format) for k, v in encoder.state_dict().items()
    }
    save_file(state, path, metadata)


def read_encoder(path: Path, *, drop_path: float = 0.0) -> tuple[Encoder, InputScaling]:
    """Read an encoder; every weight must be there and none may be left over.

    Parameters
    ----------
    drop_path
        Stochastic depth of the last block, for fine-tuning.

    Returns
    -------
    tuple
        The encoder in evaluation mode and the scaling of its input.

    Raises
    ------
    BatError
        If the file is absent or damaged, its encoder cannot be built, or a weight is missing,
        unexpected or of another shape.
    """
    state, metadata = read_safetensors(path)
    if "bat" not in metadata:
        raise BatError(f"{path}: expected an encoder of this project; its description is missing")
    try:
        description = json.loads(metadata["bat"])
        architecture, scaling = description["architecture"], InputScaling(**description["scaling"])
    except (ValueError, KeyError, TypeError) as error:
        raise BatError(f"{path}: the description of its encoder is damaged: {error}") from error
    encoder = build_encoder(architecture, drop_path=drop_path)
    load_strict(encoder, state, str(path))
    return encoder.eval(), scaling


class ScaledEncoder(nn.Module):
    """An encoder that takes spectrograms as the front end makes them."""

    def __init__(self, encoder: Encoder, scaling: InputScaling) -> None:
        super().__init__()
        self.encoder, self.scaling = encoder, scaling

    def forward(self, spectrogram: Tensor) -> Tokens:
        """Encode a spectrogram [B, 1, T, F]; see :meth:`GridEncoder.forward`."""
        tokens: Tokens = self.encoder(self.scaling(spectrogram))
        return tokens


def load_encoder(path_or_model: str | Path) -> ScaledEncoder:
    """Load a pretrained encoder, ready for spectrograms.

    Parameters
    ----------
    path_or_model
        An ``encoder.safetensors``, or ``model/group`` of this experiment, e.g. ``bat-mini/early``.

    Raises
    ------
    BatError
        If there is no such file, or it does not hold an encoder.

    Examples
    --------
    >>> encoder = load_encoder("bat-mini/early")  # doctest: +SKIP
    >>> encoder(torch.rand(2, 1, 101, 128)).patches.shape  # doctest: +SKIP
    torch.Size([3, 2, 192, 7, 8])
    """
    path = Path(path_or_model)
    if path.suffix != ".safetensors":
        path = Path("results/pretrain") / path / "encoder.safetensors"
    return ScaledEncoder(*read_encoder(path))
