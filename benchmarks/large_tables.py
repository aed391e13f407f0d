"""Time the tables of a data set of AudioSet's size: lists, ledger, index, manifest.

    python benchmarks/large_tables.py
    python benchmarks/large_tables.py --rows 100000

Segment lists in their published form, a class list of 527 and a table of recordings are made first.
Then come two jobs, each in a process of its own, as in the workflow. The first reads recordings and
lists, accounts for every entry, and writes ledger and index. The second reads these, makes whole
clips, writes them as a manifest with its labels, reads that, and joins labels with class ids. All
tables are checked against their schemas on the way out and on the way in. Printed are, step by
step, seconds by the clock, seconds of the processor, and the highest resident memory so far of the
process. Exit status 1 if the whole takes more than 20 s or a process more than 2 GiB.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from bat.data.labels import LabelOrder

ROWS = 2_063_949  # the balanced and the unbalanced training list
CLASSES = 527
PARTS = {"balanced_train": 22_160, "unbalanced_train": ROWS - 22_160}
ALLOWED_SECONDS = 20.0
ALLOWED_BYTES = 2 * 2**30
RATE_HZ = 16_000
T = TypeVar("T")


# --- what is timed ------------------------------------------------------------------------------


@dataclass
class Stopwatch:
    """Prints what each step takes, and adds it up."""

    seconds: float = 0.0
    processor_seconds: float = 0.0

    def __call__(self, step: str, work: Callable[[], T]) -> T:
        started, processor_started = time.perf_counter(), time.process_time()
        result = work()
        seconds = time.perf_counter() - started
        processor_seconds = time.process_time() - processor_started
        self.seconds += seconds
        self.processor_seconds += processor_seconds
        print_line(step, seconds, processor_seconds, peak_bytes())
        return result


def print_line(step: str, seconds: float, processor_seconds: float, memory_bytes: int) -> None:
    gib = memory_bytes / 2**30
    print(f"{step:<36}{seconds:>9.2f}{processor_seconds:>9.2f}{gib:>8.2f}", flush=True)


def peak_bytes() -> int:
    """Return the highest resident memory of this process, as Linux counts it."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def make_ledger(folder: Path, timed: Stopwatch) -> None:
    """Do what the stage ``account`` does."""
    from bat.data.archive import open_archive
    from bat.data.layouts import read_layout
    from bat.data.ledger import LEDGER_SCHEMA, account, describe, pcm_index
    from bat.data.pcm_store import PCM_INDEX_SCHEMA
    from bat.data.recordings import RECORDINGS_SCHEMA
    from bat.data.sources import AcquiredSource
    from bat.data.tables import read_table, write_table

    path = folder / "recordings.parquet"
    recordings = timed("read recordings", lambda: read_table(path, RECORDINGS_SCHEMA))
    with open_archive(folder / "lists.zip") as lists:
        source = timed("name the files", lambda: AcquiredSource(lists, recordings["file"]))
        listing = timed("read lists", lambda: read_layout("audioset", source, parts=list(PARTS)))
    ledger = timed(
        "account",
        lambda: account(
            listing.entries,
            recordings,
            minimum_duration_s=1.0,
            excludes=("silent", "duplicate"),
            excluded={},
        ),
    )
    metadata = listing.label_order.metadata()
    path = folder / "ledger.parquet"
    timed("write ledger", lambda: write_table(ledger, path, LEDGER_SCHEMA, metadata=metadata))
    index = timed("index", lambda: pcm_index(ledger, recordings, rate_hz=RATE_HZ))
    path = folder / "index.parquet"
    timed("write index", lambda: write_table(index, path, PCM_INDEX_SCHEMA))
    print(f"  {describe(ledger)}")


def make_manifest(folder: Path, timed: Stopwatch) -> None:
    """Do what the stage ``prepare`` does, and read the manifest as every later stage does."""
    from bat.data.labels import read_order
    from bat.data.ledger import LEDGER_SCHEMA
    from bat.data.manifest import read_manifest, whole_clips, write_manifest
    from bat.data.pcm_store import PCM_INDEX_SCHEMA
    from bat.data.tables import read_table
    from bat.stages.prepare import OF_CLIPS

    path = folder / "ledger.parquet"
    ledger = timed("read ledger", lambda: read_table(path, LEDGER_SCHEMA).select(*OF_CLIPS))
    order = read_order(path)
    index_path = folder / "index.parquet"
    index = timed("read index", lambda: read_table(index_path, PCM_INDEX_SCHEMA))
    clips = timed("whole clips", partial(whole_clips, ledger, index))
    path = folder / "manifest.parquet"
    timed("write manifest", partial(write_manifest, path, clips, order))
    del ledger, index, clips
    clips, order = timed("read manifest", lambda: read_manifest(path))
    timed("join labels with their ids", lambda: label_ids(clips, order))
    print(f"  {clips.height} clips, {len(order.classes)} classes")


def label_ids(clips: pl.DataFrame, order: LabelOrder) -> pl.DataFrame:
    """Return clip and class id of every label."""
    classes = pl.DataFrame({"labels": order.classes}).with_row_index("class_id")
    labels = clips.select("labels").with_row_index("clip").explode("labels")
    return labels.join(classes, on="labels", how="inner").select("clip", "class_id")


# --- the inputs, made in another process --------------------------------------------------------


def make_inputs(folder: Path, rows: int) -> None:
    """Write the lists, and the table of what was found of them on its way."""
    random = np.random.default_rng(0)
    ids = youtube_ids(random, rows)
    names = [
        f"{number:03d} {'made sound' if number % 2 else 'noise, loud'}" for number in range(CLASSES)
    ]
    mids = [f"/m/0{number:04x}" for number in range(CLASSES)]
    index = "".join(
        f'{i},{mid},"{name}"\n' for i, (mid, name) in enumerate(zip(mids, names, strict=True))
    )
    (folder / "class_labels_indices.csv").write_text("index,mid,display_name\n" + index)
    balanced = round(rows * PARTS["balanced_train"] / ROWS)
    for part, some in {
        "balanced_train": ids[:balanced],
        "unbalanced_train": ids[balanced:],
    }.items():
        write_segments(folder / f"{part}_segments.csv", some, mids, random)
    files = [f"audio/balanced_train/Y{name}.wav" for name in ids[:balanced]]
    files += [f"audio/unbalanced_train/Y{name}.wav" for name in ids[balanced:]]
    make_recordings(files, random).write_parquet(folder / "recordings.parquet")
    with zipfile.ZipFile(folder / "lists.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*.csv")):
            archive.write(path, path.name)


def youtube_ids(random: np.random.Generator, rows: int) -> list[str]:
    """Return different names of eleven characters."""
    alphabet = np.frombuffer(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8
    )
    drawn = alphabet[random.integers(0, 64, (rows, 11))].view("S11").ravel()
    if len(np.unique(drawn)) < rows:
        raise ValueError("expected different names; take another seed")
    return [name.decode() for name in drawn]


def write_segments(
    path: Path, ids: list[str], mids: list[str], random: np.random.Generator
) -> None:
    """Write a list as it is published: three lines of comments, no header, a space after commas."""
    counts = random.choice([1, 2, 3, 4, 5], len(ids), p=[0.35, 0.35, 0.18, 0.08, 0.04])
    starts = random.integers(0, 600, len(ids))
    with path.open("w") as file:
        file.write("# Segments csv created Sun Mar  5 10:54:31 2017\n")
        file.write(f"# num_ytids={len(ids)}, num_segs={len(ids)}, num_unique_labels={CLASSES}\n")
        file.write("# YTID, start_seconds, end_seconds, positive_labels\n")
        for name, count, start in zip(ids, counts.tolist(), starts.tolist(), strict=True):
            first = (start * 7919 + hash_of(name)) % CLASSES
            labels = ",".join(mids[(first + 37 * step) % CLASSES] for step in range(count))
            file.write(f'{name}, {start}.000, {start + 10}.000, "{labels}"\n')


def hash_of(name: str) -> int:
    return int.from_bytes(name[:4].encode(), "little")


def make_recordings(files: list[str], random: np.random.Generator) -> pl.DataFrame:
    """Return what was found: of every hundred files about eight lost and a few broken."""
    rows = len(files)
    draw = random.random(rows)
    status = np.select(
        [draw < 0.05, draw < 0.07, draw < 0.075, draw < 0.078],
        ["removed", "private", "corrupt", "empty"],
        "ok",
    )
    sha256, pcm_sha256 = hexadecimal(random, rows), hexadecimal(random, rows)
    repeated = random.integers(1, rows, rows // 500)
    for row in repeated[::2]:
        sha256[row] = sha256[row - 1]
    for row in repeated[1::2]:
        pcm_sha256[row] = pcm_sha256[row - 1]
    samples = random.choice([160_000, 160_001, 80_000, 8_000], rows, p=[0.9, 0.06, 0.03, 0.01])
    table = pl.DataFrame(
        {
            "file": files,
            "archive": [f"bal_train{row % 100:02d}.tar" for row in range(rows)],
            "bytes": random.integers(10_000, 900_000, rows),
            "sha256": sha256,
            "status": status,
            "native_rate_hz": random.choice([44_100, 48_000], rows),
            "channels": random.choice([1, 2], rows),
            "duration_s": samples / 16_000,
            "rms": random.random(rows) * 0.2,
            "peak": np.where(random.random(rows) < 0.001, 0.0, 0.5),
            "pcm_sha256": pcm_sha256,
            "attempts": np.ones(rows, np.int64),
            "samples": samples,
        }
    )
    # In the order of the archives, which is not that of the lists.
    return as_recordings(table.sort("archive", maintain_order=True))


def hexadecimal(random: np.random.Generator, rows: int) -> list[str]:
    text = random.bytes(32 * rows).hex()
    return [text[start : start + 64] for start in range(0, 64 * rows, 64)]


def as_recordings(table: pl.DataFrame) -> pl.DataFrame:
    """Leave out what is not known of a file that is gone or does not decode."""
    ok, lost = pl.col("status") == "ok", pl.col("status").is_in(["removed", "private"])
    measured = ("native_rate_hz", "channels", "duration_s", "rms", "peak", "pcm_sha256", "samples")
    reason = pl.when(ok).then(pl.lit("")).otherwise("found " + pl.col("status"))
    return (
        table.with_columns(pl.when(ok).then(name).alias(name) for name in measured)
        .with_columns(
            sha256=pl.when(~lost).then("sha256"),
            bytes=pl.when(lost).then(0).otherwise("bytes"),
            attempts=pl.when(lost).then(0).otherwise("attempts"),
            reason=reason,
            offset=pl.when(ok).then(pl.col("samples").fill_null(0).cum_sum() - pl.col("samples")),
        )
        .select(
            *("file", "archive", "bytes", "sha256", "status", "reason", "native_rate_hz"),
            *("channels", "duration_s", "rms", "peak", "pcm_sha256", "attempts"),
            *("offset", "samples"),
        )
    )


# --- the command --------------------------------------------------------------------------------


def measure(
    job: Callable[[Path, Stopwatch], None], module: str, folder: Path
) -> tuple[float, float, int]:
    """Run and time a job in this process; return seconds, those of the processor, and memory."""
    timed = Stopwatch()
    timed(f"import {module}", partial(import_module, module))
    job(folder, timed)
    return timed.seconds, timed.processor_seconds, peak_bytes()


def in_process(work: Callable[..., T], *arguments: object) -> T:
    """Run a function in a new process of its own, whose memory is counted by itself."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    # As on a machine of two cores; polars reads it when it is imported.
    os.environ.setdefault("POLARS_MAX_THREADS", "2")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        in_process(make_inputs, folder, rows)
        print(f"{'step':<36}{'seconds':>9}{'CPU':>9}{'GiB':>8}", flush=True)
        first = in_process(measure, make_ledger, "bat.stages.account", folder)
        second = in_process(measure, make_manifest, "bat.stages.prepare", folder)
    seconds, processor_seconds = first[0] + second[0], first[1] + second[1]
    memory_bytes = max(first[2], second[2])
    print_line("whole", seconds, processor_seconds, memory_bytes)
    sys.exit(0 if seconds <= ALLOWED_SECONDS and memory_bytes <= ALLOWED_BYTES else 1)


if __name__ == "__main__":
    main()
