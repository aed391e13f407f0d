"""Encoders of the user: a Python file outside this package that builds any torch module."""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from bat.errors import BatError
from bat.models.base import Encoder
from bat.models.tokens import Tokens

_ATTRIBUTES = ("width", "depth", "patch_size", "frequency_patches")


class AdapterEncoder(Encoder):
    """A user's encoder, checked: what it says of itself and the tokens that it gives.

    Parameters
    ----------
    encoder : Module
        Has the integers ``width``, ``depth``, ``patch_size`` and ``frequency_patches``; maps a
        spectrogram [B, 1, time, mel] to ``Tokens``.
    spec : str
        Where it comes from, for errors.
    mel_bins : int, optional
        Mel bins of the spectrograms that it is built for.

    Raises
    ------
    BatError
        If it is no torch module, or an attribute is absent or no positive integer.
    """

    def __init__(self, encoder: nn.Module, spec: str, *, mel_bins: int | None = None) -> None:
        super().__init__()
        if not isinstance(encoder, nn.Module):
            raise BatError(
                f"adapter {spec}: expected a torch.nn.Module, found {type(encoder).__name__}"
            )
        for name in _ATTRIBUTES:
            value = getattr(encoder, name, None)
            if type(value) is not int or value < 1:
                raise BatError(
                    f"adapter {spec}: expected a positive integer {name}, "
                    f"found {'none' if value is None else repr(value)}"
                )
            setattr(self, name, value)
        self.encoder = encoder
        self.spec, self.mel_bins = spec, mel_bins

    def forward(self, spectrogram: Tensor) -> Tokens:
        """Encode whole clips.

        Parameters
        ----------
        spectrogram : Tensor [B, 1, time, mel]
            Time must be a multiple of the patch size.

        Raises
        ------
        BatError
            If the spectrogram has another shape, or what comes out is not the ``Tokens`` that
            width, depth and patches promise.
        """
        shape = list(spectrogram.shape)
        self._check(shape)
        tokens = self.encoder(spectrogram)
        if not isinstance(tokens, Tokens):
            raise BatError(
                f"adapter {self.spec}: expected bat.models.tokens.Tokens, "
                f"found {type(tokens).__name__}"
            )
        expected = [self.depth, shape[0], self.width]
        expected += [shape[2] // self.patch_size, self.frequency_patches]
        if list(tokens.patches.shape) != expected:
            raise BatError(
                f"adapter {self.spec}: expected patches [L, B, D, T, F] {expected}, "
                f"found {list(tokens.patches.shape)}"
            )
        return tokens

    def _check(self, shape: list[int]) -> None:
        fits = len(shape) == 4 and shape[1] == 1 and shape[3] == (self.mel_bins or shape[3])
        if not fits or shape[2] == 0 or shape[2] % self.patch_size:
            raise BatError(
                f"adapter {self.spec}: expected a spectrogram [B, 1, multiple of "
                f"{self.patch_size}, {self.mel_bins or 'mel'}], found {shape}"
            )


def load_adapter(
    spec: str,
    options: Mapping[str, Any] | None = None,
    *,
    mel_bins: int | None = None,
    time_patches: int | None = None,
    drop_path: float = 0.0,
) -> AdapterEncoder:
    """Build an encoder with a function of a Python file.

    Where the function has an argument ``mel_bins``, ``time_patches`` or ``drop_path``, it is given
    these; an option of the same name takes precedence.

    Parameters
    ----------
    spec : str
        ``file.py:function``, the file relative to the working directory. The file is run: use
        only what you trust. It should be self-contained, for only its own text enters the digest.
    options : mapping, optional
        Keyword arguments of the function.
    mel_bins, time_patches : int, optional
        Size of the spectrograms that the encoder is meant for.
    drop_path : float
        Stochastic depth of the last block, for fine-tuning.

    Returns
    -------
    AdapterEncoder
        The module that the function returned, behind checks. Its weights are named
        ``encoder.*``.

    Raises
    ------
    BatError
        If there is no such file or function, the options are not its arguments, it is to drop
        paths but has no such argument, or what it returns is no encoder.

    Examples
    --------
    >>> encoder = load_adapter("my_encoder.py:build", {"width": 96})  # doctest: +SKIP
    """
    path, name = _split(spec)
    function = getattr(_run_file(path), name, None)
    if not callable(function):
        raise BatError(f"adapter {spec}: expected a function {name} in {path}, found none")
    offered = {"mel_bins": mel_bins, "time_patches": time_patches, "drop_path": drop_path}
    arguments = _arguments(function, offered, options or {}, spec)
    return AdapterEncoder(_call(function, arguments, spec), spec, mel_bins=mel_bins)


def adapter_digest(spec: str) -> str:
    """Return the sha256 of an adapter's file, in hexadecimal.

    Raises
    ------
    BatError
        If the spec is not ``file.py:function`` or there is no such file.
    """
    path, _ = _split(spec)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _split(spec: str) -> tuple[Path, str]:
    file, _, name = spec.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise BatError(f"adapter: expected file.py:function, found {spec!r}")
    if not Path(file).is_file():
        raise BatError(f"adapter {spec}: expected a file {file} below {Path.cwd()}, found none")
    return Path(file), name


def _run_file(path: Path) -> ModuleType:
    """Run a Python file as a module of a name of its own."""
    name = f"bat_adapter_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BatError(f"adapter: expected a Python file, found {path}")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and the like look their module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise BatError(f"adapter: {path} is no valid Python: {error}") from error
    return module


def _arguments(
    function: Callable[..., Any],
    offered: Mapping[str, float | None],
    options: Mapping[str, Any],
    spec: str,
) -> dict[str, Any]:
    """Return the options, and what the function takes of what is offered."""
    taken = inspect.signature(function).parameters
    known = {name: v for name, v in offered.items() if name in taken and v is not None}
    arguments = {**known, **options}
    if offered["drop_path"] and "drop_path" not in arguments:
        raise BatError(
            f"adapter {spec}: fine-tuning with drop_path {offered['drop_path']}: expected an "
            f"argument drop_path of the function, found {', '.join(taken) or 'none'}"
        )
    return arguments


def _call(function: Callable[..., Any], arguments: dict[str, Any], spec: str) -> Any:
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        known = ", ".join(inspect.signature(function).parameters) or "none"
        raise BatError(f"adapter {spec}: {error}; its arguments: {known}") from error
    return function(**arguments)
