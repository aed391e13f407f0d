"""Encoders on disk: weights and everything needed to use them, in one safetensors file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bat.errors import BatError
from bat.models.encoder import AudioTransformer
from bat.models.tokens import Tokens


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
    path: Path, encoder: AudioTransformer, architecture: dict[str, Any], scaling: InputScaling
) -> None:
    """Write an encoder.

    Parameters
    ----------
    architecture
        Keyword arguments of :class:`AudioTransformer`, without ``drop_path``.
    """
    description = {"architecture": architecture, "scaling": asdict(scaling)}
    # One metadata key only: safetensors does not keep the order of several.
    metadata = {"bat": json.dumps(description, sort_keys=True)}
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, path, metadata)


def read_encoder(path: Path, *, drop_path: float = 0.0) -> tuple[AudioTransformer, InputScaling]:
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
        If the file is absent or damaged, or a weight is missing, unexpected or mis-shaped.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BatError(f"{path}: expected a safetensors file, found: {error}") from error
    if "bat" not in metadata:
        raise BatError(f"{path}: expected an encoder of this project; its description is missing")
    description = json.loads(metadata["bat"])
    encoder = AudioTransformer(**description["architecture"], drop_path=drop_path)
    try:
        encoder.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise BatError(f"{path}: {' '.join(str(error).split())}") from None
    return encoder.eval(), InputScaling(**description["scaling"])


class ScaledEncoder(nn.Module):
    """An encoder that takes spectrograms as the front end makes them."""

    def __init__(self, encoder: AudioTransformer, scaling: InputScaling) -> None:
        super().__init__()
        self.encoder, self.scaling = encoder, scaling

    def forward(self, spectrogram: Tensor) -> Tokens:
        """Encode a spectrogram [B, 1, T, F]; see :meth:`AudioTransformer.forward`."""
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
