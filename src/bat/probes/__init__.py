"""Probes: small trained heads that read what a frozen encoder knows.

A probe is built by name. Its module is imported then and not before, so that a stage depends on
the code of the one probe it trains. The visual query probe is not among them: it reads a live
encoder, not tokens, and is built on that encoder; see ``bat.probes.vqt``.
"""

import importlib
import inspect
from typing import Any

from bat.errors import BatError
from bat.probes.base import Probe

PROBES = {
    "lp": ("bat.probes.lp", "LinearProbe"),
    "lcgp": ("bat.probes.lcgp", "LinearConvexGatedProbe"),
    "cgp": ("bat.probes.cgp", "ConvexGatedProbe"),
    "protobin": ("bat.probes.protobin", "ProtoBinProbe"),
    "head2toe": ("bat.probes.head2toe", "Head2ToeProbe"),
    "asr": ("bat.probes.asr", "AsrProbe"),
}


def build(
    name: str,
    *,
    depth: int,
    width: int,
    classes: int,
    **options: Any,
) -> Probe:
    """Build a probe by name.

    Parameters
    ----------
    name : {"lp", "lcgp", "cgp", "protobin", "head2toe", "asr"}
        The probe.
    depth, width : int
        Blocks L and width D of the encoder whose tokens it reads.
    classes : int
        Number of logits.
    **options
        The probe's own options, e.g. ``pooling``, ``prototypes``, ``dropout``.

    Returns
    -------
    Probe
        A module from ``Tokens`` to logits, initialised from torch's global random generator.

    Raises
    ------
    BatError
        If there is no such probe or it has no such option.
    """
    if name not in PROBES:
        raise BatError(f"probe: expected one of {', '.join(PROBES)}, found {name}")
    module, class_name = PROBES[name]
    probe = getattr(importlib.import_module(module), class_name)
    allowed = set(inspect.signature(probe).parameters) - {"depth", "width", "classes"}
    if unknown := sorted(set(options) - allowed):
        raise BatError(
            f"probe {name}: expected options among {', '.join(sorted(allowed))}, "
            f"found {', '.join(unknown)}"
        )
    built: Probe = probe(depth=depth, width=width, classes=classes, **options)
    return built
