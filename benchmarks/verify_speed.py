r"""Time `bat audit verify` against sha256sum on the same files with as many processes.

    python benchmarks/verify_speed.py
    python benchmarks/verify_speed.py --experiment ../finished --repetitions 9

What jobs leave is made, of random bytes: a few large files (as tokens and
spectrograms are), and many small ones (as predictions and metrics are). Their records are as long
as a real probe's. Then, on files that were all read just before, both ways take turns: the project
reads the records, hashes every output and compares, with as many threads as there are cores;
`xargs -P` runs as many sha256sum, each on its share of the files. Printed are bytes per second of
both and the ratio of the medians. A finished experiment is measured likewise; its records, links,
parameters, metrics and intervals take the time that is printed beside. Exit status 1 if the project
reaches less than 80 % of sha256sum on any set.

With `--records N`, N made jobs of small files show what the records cost beside hashing.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bat.audit.verification import verify_experiment, verify_folders
from bat.provenance.fingerprint import code_of
from bat.provenance.graph import Dependents
from bat.provenance.hashing import canonical_json
from bat.provenance.lineage import read_lineage, recorded_folders
from bat.provenance.recipe import RECIPE, RUN_LOG, InputFile, OutputFile, Recipe
from bat.provenance.rehashing import usable_cores
from bat.workflow import Plan

WANTED_RATIO = 0.8
LARGE = {"jobs": 8, "files": 1, "size": 256 * 2**20}
SMALL = {"jobs": 2_000, "files": 4, "size": 128 * 2**10}
TINY = {"files": 3, "size": 4 * 2**10}
ROOTS = [Path("data"), Path("results")]
CODE = code_of(["bat.stages.probe"])


# --- made jobs ----------------------------------------------------------------------------------


def make_jobs(jobs: int, files: int, size: int) -> None:
    """Write what jobs leave in the working folder, each of which read a file of an earlier one."""
    made: list[Recipe] = []
    for number in range(jobs):
        folder = Path("data", f"made-{number:05d}")
        folder.mkdir(parents=True)
        outputs = []
        for file in range(files):
            content = os.urandom(size)
            (folder / f"{file}.bin").write_bytes(content)
            sha256 = hashlib.sha256(content).hexdigest()
            outputs.append(OutputFile(name=f"{file}.bin", sha256=sha256, bytes=size))
        # A tree, as chains are: short ways from every job back to the first.
        before = (number - 1) // 8
        recipe = Recipe(
            format=1,
            stage="made",
            selection={"number": str(number)},
            settings={"size": size, "files": files},
            inputs=[read_of(made[before], before)] if number else [],
            outputs=outputs,
            code=CODE,
            environment_lock="absent",
            determinism="stochastic",
            wanted="made",
        )
        (folder / RECIPE).write_text(recipe.text(), encoding="utf-8")
        (folder / RUN_LOG).write_text(canonical_json({"recipe": recipe.id}), encoding="utf-8")
        made.append(recipe)


def read_of(maker: Recipe, number: int) -> InputFile:
    """Say of a job that it read the first file of an earlier one."""
    first = maker.outputs[0]
    path = f"data/made-{number:05d}/{first.name}"
    return InputFile(role="before", path=path, sha256=first.sha256, recipe=maker.id)


# --- what is timed ------------------------------------------------------------------------------


def recorded_files(roots: list[Path]) -> dict[Path, int]:
    """Return the size of every file that a record below some folders has."""
    recipes, _ = read_lineage(recorded_folders(roots))
    return {
        folder / output.name: output.bytes
        for folder, recipe in recipes.items()
        for output in recipe.outputs
    }


def by_sha256sum(files: list[Path], processes: int) -> None:
    """Hash files by sha256sum, each process its share; long lists take several turns."""
    share = max(1, min(-(-len(files) // processes), 1_000))
    # In another order than by size, large ones may all fall to one process.
    names = "\0".join(map(str, files))
    command = ["xargs", "-0", f"-P{processes}", f"-n{share}", "sha256sum"]
    subprocess.run(command, input=names, text=True, stdout=subprocess.DEVNULL, check=True)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(name: str, roots: list[Path], repetitions: int) -> bool:
    """Let both take turns on the same files, and print the outcome."""
    processes = usable_cores()
    sizes = recorded_files(roots)
    files = sorted(sizes, key=sizes.__getitem__, reverse=True)
    total = sum(sizes.values())

    def own() -> None:
        report = verify_folders(roots, jobs=processes)
        assert (report.problems, report.files, report.bytes) == ([], len(files), total)

    own()
    by_sha256sum(files, processes)
    own_s, other_s = [], []
    for _ in range(repetitions):
        own_s.append(seconds(own))
        other_s.append(seconds(lambda: by_sha256sum(files, processes)))
    ratio = median(other_s) / median(own_s)
    rates = [total / 1e6 / median(times) for times in (own_s, other_s)]
    spread = f"{min(o / w for o, w in zip(other_s, own_s, strict=True)):.2f}"
    print(
        f"{name:<24}{len(files):>8}{total / 1e9:>8.2f}{rates[0]:>12.0f}{rates[1]:>12.0f}"
        f"{ratio:>8.2f}{spread:>8}",
        flush=True,
    )
    return ratio >= WANTED_RATIO


def print_overhead(records: int) -> None:
    """Say what many records cost: to read, to compare, and to walk."""
    roots = [Path("data")]
    recipes, _ = read_lineage(recorded_folders(roots))
    reading = seconds(lambda: read_lineage(recorded_folders(roots)))
    results = {f"cell {place}": [folder / "0.bin"] for place, folder in enumerate(recipes)}
    walking = seconds(lambda: Dependents(recipes, results))
    dependents = Dependents(recipes, results)
    asking = seconds(lambda: [dependents.of([folder]) for folder in recipes])
    whole = seconds(lambda: verify_folders(roots))
    hashing = seconds(lambda: by_sha256sum(list(recorded_files(roots)), usable_cores()))
    print(
        f"{records} records: {reading:.2f} s to read, {walking:.2f} s to find what {len(results)} "
        f"results stand on, {asking:.2f} s to ask it of every job; whole verification "
        f"{whole:.2f} s, sha256sum {hashing:.2f} s"
    )


# --- the command --------------------------------------------------------------------------------


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2]
    name = cpu.partition("\n")[0].strip("\t :") or platform.machine()
    return f"{name}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}"


def measure_made(name: str, made: dict[str, int], scratch: Path, repetitions: int) -> bool:
    folder = scratch / "made"
    folder.mkdir()
    try:
        with working_in(folder):
            make_jobs(**made)
            return compare(name, [Path("data")], repetitions)
    finally:
        shutil.rmtree(folder)


def measure_experiment(folder: Path, repetitions: int) -> bool:
    with working_in(folder):
        reached = compare("a finished experiment", ROOTS, repetitions)
        report = verify_experiment(Plan(Path("params.yaml")))
    print(
        f"  with parameters, metrics and intervals {report.seconds:.2f} s: {len(report.cells)} "
        f"cells, {len(report.figures)} files of figures, {len(report.problems)} problems"
    )
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", type=Path, help="folder of a finished experiment")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--records", type=int, default=5_000)
    arguments = parser.parse_args()
    print(machine())
    print(
        f"{'files':<24}{'number':>8}{'GB':>8}{'bat MB/s':>12}{'sum MB/s':>12}{'ratio':>8}"
        f"{'least':>8}"
    )
    reached = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, made in (("few large", LARGE), ("many small", SMALL)):
            reached.append(measure_made(name, made, Path(scratch), arguments.repetitions))
        if arguments.experiment is not None:
            reached.append(measure_experiment(arguments.experiment, arguments.repetitions))
        with working_in(Path(scratch)):
            make_jobs(arguments.records, **TINY)
            print_overhead(arguments.records)
    print(
        f"wanted: a ratio of at least {WANTED_RATIO:g}: {'reached' if all(reached) else 'missed'}"
    )
    sys.exit(0 if all(reached) else 1)


if __name__ == "__main__":
    main()
