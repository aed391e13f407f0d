"""Which class each id stands for: orders of classes, their names, and the way between two.

A class id means nothing without its order. AudioSet has two in use, that of its index and the
alphabetical one, and they agree in one of 527 places: a head that was trained under one and is read
under the other is wrong in silence. So an order has a name, tables and heads carry it, and whoever
brings a head and a manifest together asks `mapping` first.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bat.data.tables import read_metadata
from bat.errors import BatError

_NAMES_SHOWN = 3
_CLASSES, _ORDER = "classes", "order"


@dataclass(frozen=True, kw_only=True)
class LabelOrder:
    """The classes of a data set in the order of their ids.

    The identity of an order is its sequence of classes. The name is for people and messages: two
    orders of the same sequence are one, whatever they are called, and one name stands for several
    sequences where a data set may be had in part ("csv/sorted").

    Attributes
    ----------
    name : str
        Where the order comes from: "audioset/index", "esc50/target", "csv/sorted".
    classes : tuple of str
        Names of the C classes; () where clips have transcripts only.

    Raises
    ------
    BatError
        If two classes have one name.
    """

    name: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes):
            repeated = next(each for each in self.classes if self.classes.count(each) > 1)
            raise BatError(
                f"labels {self.name}: expected classes of different names, "
                f"found {repeated!r} more than once"
            )

    def metadata(self) -> dict[str, str]:
        """Return what a table of these labels says beside its rows."""
        return {_CLASSES: json.dumps(list(self.classes)), _ORDER: self.name}


def read_order(path: Path) -> LabelOrder:
    """Return the order of the classes of a ledger or a manifest.

    Raises
    ------
    BatError
        If the file is absent or damaged, says nothing of the kind, or has two classes of one name.
    """
    text = read_metadata(path, _CLASSES)
    try:
        classes = json.loads(text)
    except json.JSONDecodeError as error:
        raise BatError(f"{path}: expected classes as JSON, found {text[:40]!r}") from error
    if not isinstance(classes, list) or not all(isinstance(each, str) for each in classes):
        raise BatError(f"{path}: expected classes as a JSON list of text, found {text[:40]!r}")
    name = read_metadata(path, _ORDER)
    try:
        return LabelOrder(name=name, classes=tuple(classes))
    except BatError as error:
        raise BatError(f"{path}: {error}") from error


def mapping(of_head: LabelOrder, of_manifest: LabelOrder, *, remap: bool) -> list[int] | None:
    """Say how the outputs of a head become scores in the order of a manifest.

    Parameters
    ----------
    of_head, of_manifest : LabelOrder
    remap : bool
        Whether a head of another order may be used, class by class of the same name.

    Returns
    -------
    list of int [C], or None
        For each class of the manifest the output that stands for it, so that
        ``logits[..., places]`` is in the manifest's order; None where the two orders are one.

    Raises
    ------
    BatError
        If the classes are others; or if they stand in another order and `remap` is false.
    """
    if of_head.classes == of_manifest.classes:
        return None
    _check_same_names(of_head, of_manifest)
    if not remap:
        pairs = zip(of_head.classes, of_manifest.classes, strict=True)
        agreeing = sum(one == other for one, other in pairs)
        raise BatError(
            f"labels: the head has its classes in the order {of_head.name}, the manifest in "
            f"{of_manifest.name}; they agree in {agreeing} of {len(of_head.classes)} places; "
            "--remap-labels brings the head's outputs into the manifest's order by name"
        )
    place_of = {name: place for place, name in enumerate(of_head.classes)}
    return [place_of[name] for name in of_manifest.classes]


def _check_same_names(of_head: LabelOrder, of_manifest: LabelOrder) -> None:
    heads, manifests = set(of_head.classes), set(of_manifest.classes)
    if heads == manifests:
        return
    raise BatError(
        f"labels: the head ({of_head.name}) and the manifest ({of_manifest.name}) have other "
        f"classes; only the head has {_some(of_head.classes, manifests)}; "
        f"only the manifest has {_some(of_manifest.classes, heads)}"
    )


def _some(names: Sequence[str], without: set[str]) -> str:
    """List the first few of some names that others lack."""
    lacking = [name for name in names if name not in without]
    if not lacking:
        return "none more"
    shown = ", ".join(repr(name) for name in lacking[:_NAMES_SHOWN])
    more = len(lacking) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
