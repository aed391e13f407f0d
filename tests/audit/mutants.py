"""Planted faults: each test with the marker ``mutants`` plants one, and passes if it is caught.

`pytest_terminal_summary`, which tests/conftest.py takes from here, lists and counts them.
`Copy` is a finished experiment to damage. What a forger would do (make recipes anew, so that all
hashes agree) is written here once more, from the format alone, and not with the project's code.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

RECIPE, RUN_LOG = "recipe.json", "run.json"
TABLES, AUDIT, FIGURES = "results/tables", "results/audit", "results/figures"
TABLE_FILES = ("main.csv", "main_long.csv", "main.md", "cells.json")
# Files that stand for another one of their folder; see docs/audit.md.
COMPANIONS = {
    "heads.safetensors": "predictions.parquet",
    "clips.json": "encoder.safetensors",
    "files.json": "pcm.npy",
}


def pytest_terminal_summary(terminalreporter):
    """Print every planted fault and how many were caught."""
    ended = {
        report.nodeid: outcome
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.getreports(outcome)
        if "mutants" in getattr(report, "keywords", ())
        and (report.when == "call" or outcome != "passed")
    }
    if not ended:
        return
    terminalreporter.section("mutants")
    for node, outcome in ended.items():
        said = "caught" if outcome == "passed" else "NOT CAUGHT"
        terminalreporter.write_line(f"{said}: {node.partition('::')[2]}")
    caught = list(ended.values()).count("passed")
    terminalreporter.write_line(f"mutants: {len(ended)} planted, {caught} caught")


def canonical(value):
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Copy:
    """A finished experiment in the working folder."""

    folder: Path

    def path(self, name):
        return self.folder / name

    # Recipes

    def folders(self, stage=None):
        """Folders of all jobs, or of those of a stage, sorted."""
        found = sorted(
            path.parent.relative_to(self.folder).as_posix() for path in self.folder.rglob(RECIPE)
        )
        return [one for one in found if stage is None or self.recipe(one)["stage"] == stage]

    def recipe(self, folder):
        return json.loads((self.folder / folder / RECIPE).read_text("utf-8"))

    def recipe_id(self, folder):
        return sha256((self.folder / folder / RECIPE).read_bytes())

    def write_recipe(self, folder, recipe):
        """Write a recipe in its canonical form, and its id into the run log."""
        (self.folder / folder / RECIPE).write_text(canonical(recipe), "utf-8")
        log = json.loads((self.folder / folder / RUN_LOG).read_text("utf-8"))
        log["recipe"] = self.recipe_id(folder)
        (self.folder / folder / RUN_LOG).write_text(canonical(log), "utf-8")

    def files(self, stage, name):
        """Output files of a stage by the name of the file."""
        return [
            f"{folder}/{name}"
            for folder in self.folders(stage)
            if any(output["name"] == name for output in self.recipe(folder)["outputs"])
        ]

    # What a forger does

    def remake(self, folder):
        """Make a recipe anew after its outputs were changed."""
        recipe = self.recipe(folder)
        for output in recipe["outputs"]:
            content = self.path(f"{folder}/{output['name']}").read_bytes()
            output |= {"sha256": sha256(content), "bytes": len(content)}
        self.write_recipe(folder, recipe)

    def remake_readers(self):
        """Make every recipe anew that names what another one no longer says."""
        while sum(self._follow_makers(folder) for folder in self.folders()):
            pass

    def _follow_makers(self, folder):
        recipe = before = self.recipe(folder)
        recipe = json.loads(json.dumps(before))
        for known in recipe["inputs"]:
            maker, _, name = known["path"].rpartition("/")
            (made,) = [one for one in self.recipe(maker)["outputs"] if one["name"] == name]
            known |= {"recipe": self.recipe_id(maker), "sha256": made["sha256"]}
        if recipe != before:
            self.write_recipe(folder, recipe)
        return self._follow_records(folder) or recipe != before

    def _follow_records(self, folder):
        """Bring the list of what the audit stage verified up to date."""
        if folder != AUDIT:
            return False
        path = self.path(f"{AUDIT}/verified.json")
        verified = json.loads(path.read_text("utf-8"))
        records = {one: self.recipe_id(one) for one in verified["records"]}
        if records == verified["records"]:
            return False
        path.write_text(canonical(verified | {"records": records}), "utf-8")
        self.remake(AUDIT)
        return True

    # What depends on what

    def cells(self):
        return json.loads(self.path(f"{TABLES}/cells.json").read_text("utf-8"))

    def dependents(self, *spoiled):
        """Cells and figures that stand on some files, found by walking forward from them."""
        spoiled = {*spoiled}
        spoiled |= {
            file.replace(name, stands_for)
            for file in spoiled
            for name, stands_for in COMPANIONS.items()
            if file.endswith(f"/{name}")
        }
        jobs = {
            folder: self.recipe(folder)
            for folder in self.folders()
            if folder not in (TABLES, AUDIT)  # they list, and compute nothing from one another
        }
        size = 0
        while size != len(spoiled):
            size = len(spoiled)
            for folder, recipe in jobs.items():
                if spoiled & {known["path"] for known in recipe["inputs"]}:
                    spoiled |= {f"{folder}/{output['name']}" for output in recipe["outputs"]}
        printed = {*(f"{TABLES}/{name}" for name in TABLE_FILES), f"{AUDIT}/verified.json"}
        cells = {name_of(cell) for cell in self.cells() if spoiled & (printed | results_of(cell))}
        return cells, {file for file in spoiled if file.startswith(f"{FIGURES}/")}

    def outputs(self, folder):
        return [f"{folder}/{output['name']}" for output in self.recipe(folder)["outputs"]]


def name_of(cell):
    return ",".join(cell[key] for key in ("model", "method", "task", "metric"))


def results_of(cell):
    names = ("metrics.json", "predictions.parquet")
    return {f"{folder}/{name}" for folder in cell["folders"] for name in names}


def flip(path):
    """Flip one bit in the middle of a file, and keep its times."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
