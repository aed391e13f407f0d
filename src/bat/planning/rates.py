"""How fast a machine works: measured here, measured on another machine, or assumed."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from bat.errors import BatError

_FOLDER = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bat" / "rates"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Rates of one machine, each of one CPU core or one GPU.

    Parameters
    ----------
    start_s
        CPU seconds of Snakemake and the stage before a job begins to work.
    hash_bytes_s
        Bytes of a file hashed in a second.
    decode_x
        Seconds of audio decoded and resampled in a CPU second.
    frontend_x
        Seconds of audio turned into spectrograms in a CPU second.
    cpu_flop_s
        FLOP of training in a CPU second, in float32.
    gpu_flop_s
        FLOP of training in a GPU second, in bfloat16.
    """

    start_s: float
    hash_bytes_s: float
    decode_x: float
    frontend_x: float
    cpu_flop_s: float
    gpu_flop_s: float


# A core of a server of about 2023, and a GPU of the H100's class at 15 % of its peak: the
# student's sequences are short. Nobody measured these for the paper's experiment.
ASSUMED = Rates(
    start_s=5.0,
    hash_bytes_s=1.0e9,
    decode_x=150.0,
    frontend_x=1000.0,
    cpu_flop_s=4.0e10,
    gpu_flop_s=1.5e14,
)
NAMES = tuple(rate.name for rate in fields(Rates))


@dataclass(frozen=True, kw_only=True)
class Known:
    """Rates, and where each comes from: ``assumed``, or ``measured on`` a machine."""

    rates: Rates
    origin: dict[str, str] = field(default_factory=dict)


def rates_file(host: str | None = None) -> Path:
    """Return where the rates of a machine are kept."""
    return _FOLDER / f"{host or platform.node()}.json"


def keep(measured: dict[str, float]) -> Path:
    """Write rates that were measured on this machine; return the file."""
    path = rates_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return path


def known_rates() -> Known:
    """Return the rates that were measured here, else elsewhere, else the assumed ones.

    The folder of rates often lies on a file system that the login and the GPU nodes share, so
    that what ``bat plan --calibrate`` measured on a node is known on all.

    Raises
    ------
    BatError
        Where a file of rates is damaged.
    """
    here = platform.node()
    hosts = sorted((path.stem for path in _FOLDER.glob("*.json")), key=lambda host: host == here)
    rates, origin = ASSUMED, dict.fromkeys(NAMES, "assumed")
    for host in hosts:  # this machine comes last and wins
        measured = _read(rates_file(host))
        rates = replace(rates, **measured)
        origin |= dict.fromkeys(measured, f"measured on {host}")
    return Known(rates=rates, origin=origin)


def as_rows(known: Known) -> list[tuple[str, float, str]]:
    """Return name, value and origin of every rate."""
    return [(name, value, known.origin[name]) for name, value in asdict(known.rates).items()]


def _read(path: Path) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: float(value) for name, value in content.items() if name in NAMES}
    except (ValueError, TypeError, AttributeError):
        raise BatError(f"{path}: damaged; delete it and run bat plan --calibrate") from None
