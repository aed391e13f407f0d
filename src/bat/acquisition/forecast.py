"""What acquiring a data set will take, before a byte of it is fetched."""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bat.acquisition.catalogue import PublishedDataset, published
from bat.acquisition.downloads import peak_scratch_bytes
from bat.acquisition.listing import Listed, list_files
from bat.acquisition.network import Network
from bat.progress import readable_bytes

_BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What acquiring a data set will take.

    Attributes
    ----------
    files : int
    download_bytes : int
        Sum of the sizes that are known.
    unknown : int
        Files whose size is not known.
    scratch_bytes : int or None
        What archives take on disk at most at one time; None where a size is not known.
    kept_bytes : int or None
        What the PCM will take, roughly; None where the mean length of a recording is not known.
    free_bytes : int
        What is free where the work will lie.
    """

    files: int
    download_bytes: int
    unknown: int
    scratch_bytes: int | None
    kept_bytes: int | None
    free_bytes: int


def forecast(
    dataset: PublishedDataset,
    mirror: str | None,
    listed: Listed,
    *,
    parts: Collection[str] | None,
    rate_hz: int,
    ahead: int,
    folder: Path,
) -> Forecast:
    """Say what acquiring the listed files of a mirror will take.

    Parameters
    ----------
    dataset, mirror, parts
        As of `bat.acquisition.listing.list_files`, which gave `listed`.
    rate_hz : int
        Rate of the PCM.
    ahead : int
        Archives on disk at a time.
    folder : Path
        Where the work will lie; it need not be there yet.
    """
    sizes = [file.bytes for file in listed.files]
    known = [size for size in sizes if size is not None]
    counts = dataset.mirror(mirror).counts or dataset.counts
    wanted = [count for part, count in counts.items() if parts is None or part in parts]
    recordings = sum(wanted) or dataset.total or 0
    kept = None
    if dataset.mean_s is not None:
        kept = round(recordings * dataset.mean_s * rate_hz * _BYTES_PER_SAMPLE)
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.is_dir())
    return Forecast(
        files=len(sizes),
        download_bytes=sum(known),
        unknown=len(sizes) - len(known),
        scratch_bytes=peak_scratch_bytes(listed.files, ahead),
        kept_bytes=kept,
        free_bytes=shutil.disk_usage(there).free,
    )


def print_forecast(
    name: str,
    mirror: str | None,
    *,
    parts: Collection[str] | None,
    revision: str | None,
    rate_hz: int,
    folder: Path,
) -> None:
    """Print what acquiring a data set will take; its files are listed, none is fetched.

    Raises
    ------
    BatError
        If the mirror cannot be listed (see `bat.acquisition.listing.list_files`).
    """
    network, dataset = Network.from_environment(), published(name)
    listed = list_files(dataset, mirror, parts=parts, revision=revision, network=network)
    expected = forecast(
        dataset,
        mirror,
        listed,
        parts=parts,
        rate_hz=rate_hz,
        ahead=network.connections,
        folder=folder,
    )
    at = f" at {listed.revision}" if listed.revision else ""
    print(f"{name}, {dataset.mirror(mirror).name}{at}")  # noqa: T201
    for line in lines_of(expected):
        print(line)  # noqa: T201


def lines_of(forecast: Forecast) -> list[str]:
    """Say a forecast in lines of text, the last of which says whether the disk has room."""
    unknown = f", and {forecast.unknown} of unknown size" if forecast.unknown else ""
    lines = [
        f"files     {forecast.files}",
        f"download  {readable_bytes(forecast.download_bytes)}{unknown}",
        f"scratch   {_or_unknown(forecast.scratch_bytes)} at most at a time",
        f"kept      {_or_unknown(forecast.kept_bytes)} of PCM, roughly",
        f"free      {readable_bytes(forecast.free_bytes)}",
    ]
    if forecast.scratch_bytes is None or forecast.kept_bytes is None:
        return [*lines, "whether the disk has room for it is not known beforehand"]
    missing = forecast.scratch_bytes + forecast.kept_bytes - forecast.free_bytes
    if missing > 0:
        return [*lines, f"the disk is too small: {readable_bytes(missing)} more are needed"]
    return [*lines, "the disk has room for it"]


def _or_unknown(size: int | None) -> str:
    return "unknown" if size is None else readable_bytes(size)
