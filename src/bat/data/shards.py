"""Spectrograms and tokens on disk: safetensors files, with the clips' names in their metadata.

The same content gives the same bytes. Files are written where the caller says, as they are: making
the write atomic is the caller's business.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bat.errors import BatError


@dataclass(frozen=True, kw_only=True)
class SpectrogramShard:
    """Spectrograms of clips.

    Attributes
    ----------
    clip_ids : tuple of str
    spectrogram : Tensor, [N, 1, T, F], float32 or float16
    """

    clip_ids: tuple[str, ...]
    spectrogram: Tensor


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """Tokens of clips from all L blocks of a frozen encoder.

    Attributes
    ----------
    clip_ids : tuple of str
    cls : Tensor, [L, N, D], float16 or float32
    patches : Tensor, [L, N, D, T, F], of the same type
    """

    clip_ids: tuple[str, ...]
    cls: Tensor
    patches: Tensor


def write_spectrograms(
    path: Path, clip_ids: Sequence[str], spectrogram: Tensor, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a spectrogram shard: one tensor `spectrogram`, [N, 1, T, F].

    Parameters
    ----------
    path : Path
    clip_ids : sequence of str
        Names of the N clips.
    spectrogram : Tensor, [N, 1, T, F]
    dtype : torch.dtype
        In which it is stored, float32 or float16.

    Raises
    ------
    BatError
        If the shape or type does not fit, or a value is not finite in that type.
    """
    _write(path, clip_ids, {"spectrogram": spectrogram.to(dtype)}, _SPECTROGRAM_SHAPES)


def read_spectrograms(path: Path) -> SpectrogramShard:
    """Read a spectrogram shard.

    Raises
    ------
    BatError
        If the file is absent, damaged or something else.
    """
    clip_ids, tensors = _read(path, _SPECTROGRAM_SHAPES)
    return SpectrogramShard(clip_ids=clip_ids, spectrogram=tensors["spectrogram"])


def write_tokens(
    path: Path,
    clip_ids: Sequence[str],
    *,
    cls: Tensor,
    patches: Tensor,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a token shard: `cls` and `patches`.

    Parameters
    ----------
    path : Path
    clip_ids : sequence of str
        Names of the N clips.
    cls : Tensor, [L, N, D]
    patches : Tensor, [L, N, D, T, F]
    dtype : torch.dtype
        In which they are stored, float16 or float32.

    Raises
    ------
    BatError
        If the shapes or type do not fit, or a value is not finite in that type.
    """
    tensors = {"cls": cls.to(dtype), "patches": patches.to(dtype)}
    _write(path, clip_ids, tensors, _TOKEN_SHAPES)


def read_tokens(path: Path) -> TokenShard:
    """Read a token shard.

    Raises
    ------
    BatError
        If the file is absent, damaged or something else.
    """
    clip_ids, tensors = _read(path, _TOKEN_SHAPES)
    return TokenShard(clip_ids=clip_ids, cls=tensors["cls"], patches=tensors["patches"])


# Names of the axes per tensor; axes of the same name have the same length, N is the clips.
_SPECTROGRAM_SHAPES = {"spectrogram": "N1TF"}
_TOKEN_SHAPES = {"cls": "LND", "patches": "LNDTF"}
_DTYPES = (torch.float16, torch.float32)


def _write(
    path: Path, clip_ids: Sequence[str], tensors: dict[str, Tensor], shapes: dict[str, str]
) -> None:
    _check_shapes(path, len(clip_ids), tensors, shapes)
    _check_dtypes(path, tensors)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BatError(f"{path}: {name} has values that are not finite in {tensor.dtype}")
    # One metadata key only: safetensors does not keep the order of several.
    metadata = {"clip_ids": json.dumps(list(clip_ids))}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)


def _read(path: Path, shapes: dict[str, str]) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BatError(f"{path}: expected a safetensors file, found: {error}") from error
    if set(tensors) != set(shapes) or "clip_ids" not in metadata:
        raise BatError(f"{path}: expected {sorted(shapes)} and clip ids, found {sorted(tensors)}")
    clip_ids = tuple(json.loads(metadata["clip_ids"]))
    _check_shapes(path, len(clip_ids), tensors, shapes)
    _check_dtypes(path, tensors)
    return clip_ids, tensors


def _check_dtypes(path: Path, tensors: dict[str, Tensor]) -> None:
    found = {name: tensor.dtype for name, tensor in tensors.items()}
    if len(set(found.values())) != 1 or not set(found.values()) <= set(_DTYPES):
        raise BatError(f"{path}: expected all of float16 or all of float32, found {found}")


def _check_shapes(
    path: Path, clips: int, tensors: dict[str, Tensor], shapes: dict[str, str]
) -> None:
    lengths = {"N": clips, "1": 1}
    for name, axes in shapes.items():
        shape = list(tensors[name].shape)
        fits = len(shape) == len(axes) and all(
            lengths.setdefault(axis, length) == length
            for axis, length in zip(axes, shape, strict=True)
        )
        if not fits:
            raise BatError(
                f"{path}: expected {name} as {list(axes)} with {clips} clips, found {shape}"
            )
