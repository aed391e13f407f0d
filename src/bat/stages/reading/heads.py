"""From the settings of a probe to the probe."""

from typing import Any

from bat.params.methods import Probe as ProbeSettings
from bat.params.models import Optimisation
from bat.probes import build
from bat.probes.base import Probe

# Settings of the training, not of the head.
_OF_TRAINING = {*Optimisation.model_fields, "kind"}


def options_of(probe: ProbeSettings) -> dict[str, Any]:
    """Return the settings that belong to the head itself."""
    return probe.model_dump(exclude=_OF_TRAINING)


def head_options(probe: ProbeSettings, *, frame_wise: bool) -> dict[str, Any]:
    """Return the options with which a head is built for a task.

    A frame-wise probe pools over frequency; a time patch has no CLS token.
    """
    options = options_of(probe)
    if frame_wise:
        options["frame_wise"] = True
        if "pooling" in options:
            options["pooling"] = "mean"
    return options


def build_head(
    probe: ProbeSettings, *, depth: int, width: int, classes: int, frame_wise: bool
) -> Probe:
    """Build the probe of some settings for an encoder of some shape."""
    options = head_options(probe, frame_wise=frame_wise)
    return build(probe.kind, depth=depth, width=width, classes=classes, **options)
