"""Pretrained weights as they exist in the world, brought to the names of this project's encoders.

Four layouts are read:

``bat``
    A safetensors file with the names of ``AudioTransformer``: the released BAT weights, and the
    encoders that this project writes.
``bat-training``
    A BAT training checkpoint ``.pt``: ``{"state_dict": {"student.encoder.*": ...}}`` or
    ``{"encoder": ..., "decoder": ..., "ema_encoder": ..., "optimized_steps": ..., "args": ...}``.
    Which encoder is taken, student or EMA, must be said.
``eat``
    A pretraining checkpoint ``.pt`` of EAT or SSLAM; the encoder is ungated.
``beats``
    A checkpoint ``.pt`` of BEATs.
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bat.errors import BatError

Layout = Literal["bat", "bat-training", "eat", "beats"]
Branch = Literal["student", "ema"]
State = dict[str, Tensor]

# Prefixes in an EAT or SSLAM checkpoint, and what they are called in AudioTransformer.
_EAT_NAMES = {
    "modality_encoders.IMAGE.extra_tokens": "cls_token",
    "modality_encoders.IMAGE.fixed_positional_encoder.positions": "pos_embed",
    "modality_encoders.IMAGE.local_encoder.proj.": "patch_embed.proj.",
    "modality_encoders.IMAGE.context_encoder.norm.": "pre_norm.",
    "blocks.": "blocks.",
}
# The rest of those pretraining models: teacher, decoder and regression heads.
_EAT_IGNORED = (
    "_ema",
    "ema.",
    "modality_encoders.IMAGE.decoder.",
    "shared_decoder.",
    "decoder.",
    "recon_proj.",
    "regression_head.",
)
_STUDENT = "student.encoder."
# What a training checkpoint of the first kind may hold beside the student's encoder.
_TRAINING_IGNORED = ("student.decoder.", "teacher.", "ema_encoder.")
_TRAINING_KEYS: dict[Branch, str] = {"student": "encoder", "ema": "ema_encoder"}
_LISTED = 10


def read_weights(path: Path, *, layout: Layout, branch: Branch | None = None) -> State:
    """Read the weights of an encoder.

    Parameters
    ----------
    path : Path
        A safetensors file (layout ``bat``) or a ``.pt`` file (the others).
    layout : {"bat", "bat-training", "eat", "beats"}
        How the file is organised; see the module.
    branch : {"student", "ema"}, optional
        Encoder of a BAT training checkpoint; required there and only allowed there.

    Returns
    -------
    dict of str to Tensor
        Weights under the names of ``AudioTransformer`` (``BeatsEncoder`` for ``beats``), on the
        CPU. Load them with ``load_strict``, which compares names and shapes.

    Raises
    ------
    BatError
        If the file is absent, damaged, of another layout, needs more than plain tensors and
        containers to be opened, or does not hold the branch.
    """
    if layout not in get_args(Layout):
        known = ", ".join(get_args(Layout))
        raise BatError(f"{path}: unknown layout {layout!r} of weights; expected one of {known}")
    if layout == "bat-training":
        if branch not in get_args(Branch):
            raise BatError(
                f"{path}: a BAT training checkpoint holds two encoders; expected the branch "
                f"student or ema, found {branch}"
            )
    elif branch is not None:
        raise BatError(f"{path}: layout {layout} has no branches; found branch {branch}")
    if layout == "bat":
        return read_safetensors(path)[0]
    checkpoint = _open_checkpoint(path)
    if branch is not None:
        return _training_encoder(checkpoint, branch, path)
    model = _state(checkpoint, "model", path, ignored=_EAT_IGNORED if layout == "eat" else ())
    return _eat_encoder(model, path) if layout == "eat" else model


def read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises
    ------
    BatError
        If the file is absent or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise BatError(f"{path}: expected a safetensors file, found: {error}") from error


def load_strict(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load weights into a module, in place; names and shapes must be exactly the module's.

    Parameters
    ----------
    module : Module
        Where the weights go.
    state : mapping of str to Tensor
        The weights.
    origin : str
        Where they come from, for the error: a path or a name.

    Raises
    ------
    BatError
        If a weight is missing, unexpected or of another shape, or if names that share one weight
        in the module hold different values.
    """
    expected = module.state_dict()
    mis_shaped = [
        f"{name} (expected {list(expected[name].shape)}, found {list(state[name].shape)})"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": mis_shaped,
        "different from the weight they share": _torn(expected, state),
    }
    found = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
    if found:
        raise BatError(f"{origin}: weights do not fit {type(module).__name__}; {'; '.join(found)}")
    module.load_state_dict(state, strict=True)


def _torn(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Names whose weight is one in the module but differs from its first name's in the state."""
    first: dict[int, str] = {}
    torn = []
    for name, tensor in expected.items():
        owner = first.setdefault(tensor.data_ptr(), name)
        shared = owner != name and owner in state and name in state
        if shared and not torch.equal(state[owner], state[name]):
            torn.append(name)
    return torn


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _open_checkpoint(path: Path) -> dict[str, Any]:
    """Open a ``.pt`` file that needs no code of its own to be read."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise BatError(
            f"{path}: expected a .pt checkpoint of plain tensors and containers, found: "
            f"{_reason(error)}; where it holds objects and you trust it, open it yourself and "
            "save its weights alone"
        ) from error
    except (OSError, EOFError, RuntimeError) as error:
        raise BatError(f"{path}: expected a .pt checkpoint, found: {_reason(error)}") from error
    if not isinstance(checkpoint, dict):
        raise BatError(f"{path}: expected a dict of weights, found {type(checkpoint).__name__}")
    return checkpoint


def _reason(error: Exception) -> str:
    """Return what torch found, without its advice to trust the file."""
    text = " ".join(str(error).split())
    _, found, reason = text.partition("WeightsUnpickler error: ")
    return (reason if found else text).partition(" Please ")[0][:200]


def _state(
    checkpoint: dict[str, Any], key: str, path: Path, *, ignored: tuple[str, ...] = ()
) -> State:
    """Return the weights under a key of a checkpoint, without those that are not wanted."""
    if not isinstance(checkpoint.get(key), dict):
        found = _listed(sorted(str(name) for name in checkpoint))
        raise BatError(f"{path}: expected weights under {key!r}, found the keys {found}")
    state = {name: v for name, v in checkpoint[key].items() if not str(name).startswith(ignored)}
    strange = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if strange:
        raise BatError(f"{path}: expected tensors under {key!r}, found else: {_listed(strange)}")
    return state


def _eat_encoder(model: State, path: Path) -> State:
    """Rename the encoder of an EAT or SSLAM pretraining model."""
    state, unexpected = {}, []
    for name, value in model.items():
        prefix = next((prefix for prefix in _EAT_NAMES if name.startswith(prefix)), None)
        if prefix is None:
            unexpected.append(name)
        else:
            state[_EAT_NAMES[prefix] + name.removeprefix(prefix)] = value
    if unexpected:
        raise BatError(
            f"{path}: not a checkpoint of EAT or SSLAM; unexpected: {_listed(unexpected)}"
        )
    return state


def _training_encoder(checkpoint: dict[str, Any], branch: Branch, path: Path) -> State:
    """Return one of the encoders of a BAT training checkpoint."""
    if "state_dict" not in checkpoint:
        return _state(checkpoint, _TRAINING_KEYS[branch], path)
    if branch == "ema":
        raise BatError(
            f"{path}: expected an EMA encoder; a training checkpoint with a state_dict holds the "
            "student's only"
        )
    state = _state(checkpoint, "state_dict", path, ignored=_TRAINING_IGNORED)
    unexpected = [name for name in state if not name.startswith(_STUDENT)]
    if unexpected or not state:
        raise BatError(
            f"{path}: expected weights named {_STUDENT}*, found {_listed(unexpected) or 'none'}"
        )
    return {name.removeprefix(_STUDENT): value for name, value in state.items()}
