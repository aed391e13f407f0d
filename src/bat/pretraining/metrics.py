"""Metrics of a training while it runs: JSON lines, TensorBoard's events, a few words of progress.

They hold times and rates, so they are no outputs: they lie beside the logs and enter no recipe.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

_LOG = logging.getLogger(__name__)
METRICS = "metrics.jsonl"
EVENTS = "tensorboard"


class Throughput:
    """How fast the steps of this process go, between two moments at which it is asked.

    Parameters
    ----------
    clips : int
        Of a global batch.
    flops : int
        Floating-point operations of a step.
    peak : float, optional
        Operations per second of all devices together, where they are known.
    """

    def __init__(self, *, clips: int, flops: int, peak: float | None) -> None:
        self.clips, self.flops, self.peak = clips, flops, peak
        self.latest: dict[str, float] = {}
        self._since, self._steps, self._waited_s = time.monotonic(), 0, 0.0

    def step(self, waited_s: float) -> None:
        """Count a step, and how long it waited for its clips."""
        self._steps += 1
        self._waited_s += waited_s

    def measure(self, steps_left: int) -> dict[str, float]:
        """Return the rates since the last time, and the time that the rest will take."""
        now = time.monotonic()
        elapsed_s = max(now - self._since, 1e-9)
        step_s = elapsed_s / max(self._steps, 1)
        self.latest = {
            "clips_per_s": self.clips / step_s,
            "flops_per_s": self.flops / step_s,
            "data_wait_share": min(1.0, self._waited_s / elapsed_s),
            "left_s": steps_left * step_s,
        }
        if self.peak is not None:
            self.latest["model_flop_utilisation"] = self.flops / step_s / self.peak
        self._since, self._steps, self._waited_s = now, 0, 0.0
        return self.latest

    def words(self) -> str:
        """Return the latest rates for a line of progress."""
        if not self.latest:
            return ""
        words = [
            f"{self.latest['clips_per_s']:.1f} clips/s",
            f"{self.latest['flops_per_s'] / 1e12:.3g} TFLOP/s",
            f"data wait {self.latest['data_wait_share']:.0%}",
        ]
        if (used := self.latest.get("model_flop_utilisation")) is not None:
            words.append(f"MFU {used:.0%}")
        return ", ".join(words)


class Metrics:
    """Writes the metrics of logged steps.

    A full disk costs metrics, not the training.

    Parameters
    ----------
    folder : Path
        Gets ``metrics.jsonl`` and the events in ``tensorboard/``.
    first_step : int
        Where the training begins or goes on; metrics of this and later steps that are there from
        a run that was killed are dropped.
    """

    def __init__(self, folder: Path, *, first_step: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _drop_from(folder / METRICS, first_step)
        if first_step == 0:
            shutil.rmtree(folder / EVENTS, ignore_errors=True)
        self._events = SummaryWriter(str(folder / EVENTS), purge_step=first_step or None)

    def write(self, values: Mapping[str, float]) -> None:
        """Add the metrics of one step; ``step`` is one of them."""
        try:
            with (self.folder / METRICS).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(dict(values)) + "\n")
            for name, value in values.items():
                if name != "step":
                    self._events.add_scalar(name, value, int(values["step"]))
        except OSError as error:
            _LOG.warning("%s: metrics of step %d are lost: %s", self.folder, values["step"], error)

    def close(self) -> None:
        """Write what waits to be written."""
        self._events.close()


def _drop_from(path: Path, first_step: int) -> None:
    """Keep the lines of earlier steps; a line that a killed process cut short is none."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError):
            continue
        if step < first_step:
            kept.append(line + "\n")
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text("".join(kept), encoding="utf-8")
    new.replace(path)
