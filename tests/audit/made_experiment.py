"""A made experiment: records, ledger, manifests, figures and a table, as a run leaves them."""

import base64
import hashlib
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from bat.evaluation.cells import CELLS, Cell, RunValue
from bat.provenance.hashing import canonical_json, digest
from bat.provenance.recipe import RECIPE, RUN_LOG, InputFile, OutputFile, Recipe

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TABLES, FIGURES, AUDIT = "results/tables", "results/figures", "results/audit"
# As many modules as a probe imports.
CODE = {f"bat.made.module_{n:02}": hashlib.sha256(bytes([n])).hexdigest() for n in range(68)}
RUN = {
    "started": "2026-11-25T17:55:00+00:00", "finished": "2026-11-25T17:55:39+00:00",
    "wall_s": 38.9, "cpu_s": 21.059, "peak_memory_bytes": 1_026_899_968,
    "peak_memory_children_bytes": 0, "host": "node", "system": "Linux", "python": "3.11.7",
    "cpu": "a processor", "cores": 2, "threads": "1", "gpu": None, "slurm_job_id": "17",
    "git": {"commit": "f" * 40, "dirty": False}, "packages": {"torch": "2.13.0"},
}  # fmt: skip


@dataclass
class Made:
    """An experiment in a folder, written record by record.

    ``centres`` are means and deviations of single cells, which are drawn else. Every name and
    note is free, so that a test can put anything anywhere.
    """

    root: Path
    models: Sequence[str] = ("bat-mini", "eat-mini")
    methods: Sequence[str] = ("cgp", "lp")
    tasks: Sequence[str] = ("speaker", "mixture")
    metrics: Sequence[str] = ("accuracy", "mAP")
    folds: Sequence[str] = ("meeting-0", "meeting-1", "meeting-2", "meeting-3", "meeting-4")
    seeds: Sequence[int] = (0, 1, 2)
    recording: str = "meeting-0/speaker-5/2704915-2705303"
    dataset: str = "meetings"
    note: str = "made"
    clips: int = 1125
    clip_deviation: float = 0.01
    centres: dict[str, tuple[float, float]] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)

    def write(self) -> "Made":
        """Write the whole experiment."""
        source, pcm = f"data/source/{self.dataset}", f"data/pcm/{self.dataset}"
        of_set = {"dataset": self.dataset}
        self.record(source, "download", of_set, {"archive": b"archive"})
        recordings = {"ledger.parquet": self._ledger(), "pcm.npy": b"pcm"}
        self.record(pcm, "resample", of_set, recordings, {"source": [f"{source}/archive"]})
        for task in self.tasks:
            self._data(task, pcm)
        for model in self.models:
            self._encoders(model)
        every = itertools.product(self.models, self.methods, self.tasks)
        self._results([cell for names in every for cell in self._cells(*names)])
        return self

    def _data(self, task: str, pcm: str) -> None:
        manifest, of_task = f"data/manifest/{task}", {"task": task}
        clips = {"manifest.parquet": self._manifest()}
        self.record(manifest, "prepare", of_task, clips, {"ledger": [f"{pcm}/ledger.parquet"]})
        self.record(
            f"data/spectrograms/bat/{task}",
            "frontend",
            {"frontend": "bat", **of_task},
            {"spectrograms.safetensors": f"spectrograms of {task}".encode()},
            {"manifest": [f"{manifest}/manifest.parquet"], "pcm": [f"{pcm}/pcm.npy"]},
        )

    def _encoders(self, model: str) -> None:
        heard = [f"data/spectrograms/bat/{task}/spectrograms.safetensors" for task in self.tasks]
        for group in ("early", "late"):
            folder, of_encoder = (
                f"results/pretrain/{model}/{group}",
                {"model": model, "group": group},
            )
            weights = {"encoder.safetensors": f"{model} {group}".encode()}
            read = {"spectrograms": heard[:1]}
            settings = {"note": self.note}
            self.record(folder, "pretrain", of_encoder, weights, read, settings=settings)
            for task, spectrograms in zip(self.tasks, heard, strict=True):
                self.record(
                    f"data/tokens/{model}/{group}/{task}",
                    "embed",
                    {**of_encoder, "task": task},
                    {"tokens.safetensors": f"{model} {group} {task}".encode()},
                    {"encoder": [f"{folder}/encoder.safetensors"], "spectrograms": [spectrograms]},
                )

    def _results(self, cells: list[Cell]) -> None:
        folders = dict.fromkeys(folder for cell in cells for folder in cell.folders)
        results = [f"{folder}/metrics.json" for folder in folders]
        numbers = "".join(f"{model},1,0.5\n" for model in self.models[:2])
        drawn = {"blocks.png": PIXEL, "blocks.csv": f"model,block,weight\n{numbers}".encode()}
        self.record(FIGURES, "figure", {}, drawn, {"metrics": results[:1]})
        verified = {"records": {}, "files": len(results), "bytes": 123_456}
        report = {"verified.json": canonical_json(verified).encode()}
        self.record(AUDIT, "audit", {}, report, {"results": results})
        table = canonical_json([cell.model_dump(mode="json") for cell in cells]).encode()
        self.record(
            TABLES,
            "table",
            {},
            {CELLS: table, "main.csv": b"model,method\n"},
            {"metrics": results, "audit": [f"{AUDIT}/verified.json"]},
            settings={"statistics": {"confidence": 0.95}},
        )

    def _cells(self, model: str, method: str, task: str) -> list[Cell]:
        folder = f"results/probe/{model}/{task}/{method}/all"
        tokens = [f"data/tokens/{model}/{g}/{task}/tokens.safetensors" for g in ("early", "late")]
        runs = [
            {"fold": fold, "seed": seed, "group": "late", "train": list(self.folds), "test": [fold]}
            for fold in self.folds
            for seed in self.seeds
        ]
        values = {m: self._values(f"{model},{method},{task},{m}", len(runs)) for m in self.metrics}
        results = [
            {
                "fold": run["fold"],
                "seed": run["seed"],
                "metrics": {m: float(values[m][n]) for m in self.metrics},
            }
            for n, run in enumerate(runs)
        ]
        name = f"{model} {method} {task}".encode()
        files = {
            "heads.safetensors": b"heads of " + name,
            "predictions.parquet": b"predictions of " + name,
            "metrics.json": json.dumps({"runs": results}).encode(),
        }
        recipe = self.record(
            folder,
            "probe",
            {"model": model, "task": task, "method": method, "part": "all"},
            files,
            {"manifest": [f"data/manifest/{task}/manifest.parquet"], "tokens": tokens},
            settings={"probe": {"kind": method, "steps": 200, "learning_rate": 0.1}, "runs": runs},
        )
        return [
            self._cell((model, method, task, metric), of_metric, recipe, folder)
            for metric, of_metric in values.items()
        ]

    def _values(self, name: str, count: int) -> np.ndarray:
        draw = np.random.default_rng([*name.encode()])
        centre, deviation = self.centres.get(name, (draw.uniform(0.3, 0.9), 0.05))
        return np.round(centre + draw.normal(0, deviation, count), 4)

    def _cell(self, key, values, recipe, folder) -> Cell:
        mean, std = float(values.mean()), float(values.std(ddof=1))
        percent = {"mean": mean, "std": std, "low": mean - 0.02, "high": mean + 0.02}
        runs = itertools.product(self.folds, self.seeds)
        return Cell(
            **dict(zip(("model", "method", "task", "metric"), key, strict=True)),
            **{name: round(100 * share, 2) for name, share in percent.items()},
            value=mean,
            runs=[
                RunValue(fold=fold, seed=seed, value=float(value))
                for (fold, seed), value in zip(runs, values, strict=True)
            ],
            clip_deviation=self.clip_deviation,
            n_clips=self.clips,
            n_folds=len(self.folds),
            n_seeds=len(self.seeds),
            comparison_set=None,
            record=recipe.id[:16],
            folders=[folder],
        )

    def record(self, folder, stage, selection, files, inputs=None, *, settings=None) -> Recipe:
        """Write one job's folder: its files, its recipe and its run log."""
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
        recipe = Recipe(
            format=1,
            stage=stage,
            selection=selection,
            settings=settings or {"stage": stage},
            inputs=[self._input(role, path) for role in inputs or {} for path in inputs[role]],
            outputs=[self._output(name, content) for name, content in sorted(files.items())],
            code=CODE,
            environment_lock="e" * 64,
            determinism="bitwise",
            wanted=digest([folder]),
        )
        (place / RECIPE).write_text(recipe.text(), encoding="utf-8")
        log = json.dumps(RUN | {"recipe": recipe.id, "remark": self.note})
        (place / RUN_LOG).write_text(log, encoding="utf-8")
        self.recipes[folder] = recipe
        return recipe

    def _input(self, role: str, path: str) -> InputFile:
        folder, _, name = path.rpartition("/")
        maker = self.recipes[folder]
        return InputFile(role=role, path=path, sha256=maker.output(name).sha256, recipe=maker.id)

    def _output(self, name: str, content: bytes) -> OutputFile:
        sha256 = hashlib.sha256(content).hexdigest()
        return OutputFile(name=name, sha256=sha256, bytes=len(content))

    def _ledger(self) -> bytes:
        rows = [(f"recording-{n}", f"meeting-{n % 5}", "ok", "") for n in range(70)]
        rows += [(self.recording, "meeting-0", "short", "0.388 s, shorter than 1 s")]
        rows += [(f"recording-{n}", "meeting-1", "missing", self.note) for n in range(70, 72)]
        return _parquet(
            pl.DataFrame(rows, schema=["recording_id", "part", "status", "reason"], orient="row")
        )

    def _manifest(self) -> bytes:
        parts = [f"meeting-{n % 5}" for n in range(self.clips)]
        return _parquet(
            pl.DataFrame(
                {"clip_id": [f"{self.recording}@{n}" for n in range(self.clips)], "part": parts}
            )
        )


def _parquet(table: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.write_parquet(stream)
    return stream.getvalue()


def many(root: Path, cells: int = 5000) -> Made:
    """Return an experiment of about so many cells on ten tasks' metrics."""
    tasks = [f"task-{n}" for n in range(5)]
    methods = ["lp", "lcgp", "cgp", "protobin", "head2toe", "vqt", "finetune", "asr", "knn", "svm"]
    models = [f"model-{n:02}" for n in range(cells // (len(tasks) * 2 * len(methods)))]
    return Made(root, models=models, methods=methods, tasks=tasks)
