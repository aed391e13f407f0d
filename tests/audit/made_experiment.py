"""A made experiment: records, ledger, manifests, figures and a table, as a run leaves them."""

import base64
import hashlib
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

    ``names`` go through everything that a page shows: one of them can be put anywhere.
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
    recipes: dict[str, Recipe] = field(default_factory=dict)

    def write(self) -> "Made":
        """Write the whole experiment."""
        source, pcm = f"data/source/{self.dataset}", f"data/pcm/{self.dataset}"
        self.record(source, "download", {"dataset": self.dataset}, {"archive": b"archive"})
        ledger = {"ledger.parquet": self._ledger(), "pcm.npy": b"pcm"}
        self.record(
            pcm, "resample", {"dataset": self.dataset}, ledger, {"source": [f"{source}/archive"]}
        )
        for task in self.tasks:
            self._data(task, pcm)
        for model in self.models:
            self._encoders(model)
        cells = [
            cell
            for model, method, task in itertools.product(self.models, self.methods, self.tasks)
            for cell in self._cells(model, method, task)
        ]
        results = [
            f"{folder}/metrics.json"
            for folder in dict.fromkeys(f for c in cells for f in c.folders)
        ]
        numbers = b"model,block,weight\n" + b"".join(
            f"{m},1,0.5\n".encode() for m in self.models[:2]
        )
        self.record(FIGURES, "figure", {}, {"blocks.png": PIXEL, "blocks.csv": numbers},
                    {"metrics": results[:1]})  # fmt: skip
        verified = {"records": {}, "files": len(results), "bytes": 123_456}
        self.record(AUDIT, "audit", {}, {"verified.json": canonical_json(verified).encode()},
                    {"results": results})  # fmt: skip
        table = canonical_json([cell.model_dump(mode="json") for cell in cells]).encode()
        self.record(TABLES, "table", {}, {CELLS: table, "main.csv": b"model,method\n"},
                    {"metrics": results, "audit": [f"{AUDIT}/verified.json"]},
                    settings={"statistics": {"confidence": 0.95}})  # fmt: skip
        return self

    def _data(self, task: str, pcm: str) -> None:
        manifest, cache = f"data/manifest/{task}", f"data/spectrograms/bat/{task}"
        self.record(manifest, "prepare", {"task": task}, {"manifest.parquet": self._manifest()},
                    {"ledger": [f"{pcm}/ledger.parquet"]})  # fmt: skip
        self.record(cache, "frontend", {"frontend": "bat", "task": task},
                    {"spectrograms.safetensors": f"spectrograms of {task}".encode()},
                    {"manifest": [f"{manifest}/manifest.parquet"], "pcm": [f"{pcm}/pcm.npy"]})  # fmt: skip

    def _encoders(self, model: str) -> None:
        heard = f"data/spectrograms/bat/{self.tasks[0]}/spectrograms.safetensors"
        for group in ("early", "late"):
            folder = f"results/pretrain/{model}/{group}"
            self.record(folder, "pretrain", {"model": model, "group": group},
                        {"encoder.safetensors": f"{model} {group}".encode()}, {"spectrograms": [heard]},
                        settings={"note": self.note})  # fmt: skip
            for task in self.tasks:
                self.record(f"data/tokens/{model}/{group}/{task}", "embed",
                            {"model": model, "group": group, "task": task},
                            {"tokens.safetensors": f"{model} {group} {task}".encode()},
                            {"encoder": [f"{folder}/encoder.safetensors"],
                             "spectrograms": [f"data/spectrograms/bat/{task}/spectrograms.safetensors"]})  # fmt: skip

    def _cells(self, model: str, method: str, task: str) -> list[Cell]:
        folder = f"results/probe/{model}/{task}/{method}/all"
        tokens = [
            f"data/tokens/{model}/{group}/{task}/tokens.safetensors" for group in ("early", "late")
        ]
        runs = [
            {"fold": fold, "seed": seed, "group": "late", "train": list(self.folds), "test": [fold]}
            for fold in self.folds
            for seed in self.seeds
        ]
        name = f"{model} {method} {task}"
        recipe = self.record(
            folder, "probe", {"model": model, "task": task, "method": method, "part": "all"},
            {"heads.safetensors": f"heads {name}".encode(), "predictions.parquet": f"predictions {name}".encode(),
             "metrics.json": f"metrics {name}".encode()},
            {"manifest": [f"data/manifest/{task}/manifest.parquet"], "tokens": tokens},
            settings={"probe": {"kind": method, "steps": 200, "learning_rate": 0.1}, "runs": runs},
        )  # fmt: skip
        return [self._cell(model, method, task, metric, recipe, folder) for metric in self.metrics]

    def _cell(self, model, method, task, metric, recipe, folder) -> Cell:
        draw = np.random.default_rng([*f"{model} {method} {task} {metric}".encode()])
        values = np.round(
            draw.uniform(0.3, 0.9) + draw.normal(0, 0.05, len(self.folds) * len(self.seeds)), 4
        )
        mean = round(100 * float(values.mean()), 2)
        pairs = itertools.product(self.folds, self.seeds)
        return Cell(
            model=model, method=method, task=task, metric=metric, value=float(values.mean()),
            runs=[RunValue(fold=f, seed=s, value=float(v)) for (f, s), v in zip(pairs, values, strict=True)],
            clip_deviation=0.01, mean=mean, std=round(100 * float(values.std(ddof=1)), 2),
            low=round(mean - 2, 2), high=round(mean + 2, 2), n_clips=1125, n_folds=len(self.folds),
            n_seeds=len(self.seeds), comparison_set=None, record=recipe.id[:16], folders=[folder],
        )  # fmt: skip

    def record(self, folder, stage, selection, files, inputs=None, *, settings=None) -> Recipe:
        """Write one job's folder: its files, its recipe and its run log."""
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
        recipe = Recipe(
            format=1, stage=stage, selection=selection, settings=settings or {"stage": stage},
            inputs=[self._input(role, path) for role, paths in (inputs or {}).items() for path in paths],
            outputs=[
                OutputFile(name=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
                for name, content in sorted(files.items())
            ],
            code=CODE, environment_lock="e" * 64, determinism="bitwise", wanted=digest([folder]),
        )  # fmt: skip
        (place / RECIPE).write_text(recipe.text(), encoding="utf-8")
        log = json.dumps(RUN | {"recipe": recipe.id, "remark": self.note})
        (place / RUN_LOG).write_text(log, encoding="utf-8")
        self.recipes[folder] = recipe
        return recipe

    def _input(self, role: str, path: str) -> InputFile:
        folder, _, name = path.rpartition("/")
        maker = self.recipes[folder]
        return InputFile(role=role, path=path, sha256=maker.output(name).sha256, recipe=maker.id)

    def _ledger(self) -> bytes:
        rows = [(f"recording-{n}", f"meeting-{n % 5}", "ok", "") for n in range(70)]
        rows += [(self.recording, "meeting-0", "short", "0.388 s, shorter than 1 s")]
        rows += [(f"recording-{n}", "meeting-1", "missing", self.note) for n in range(70, 72)]
        return _parquet(
            pl.DataFrame(rows, schema=["recording_id", "part", "status", "reason"], orient="row")
        )

    def _manifest(self) -> bytes:
        parts = [f"meeting-{n % 5}" for n in range(1125)]
        return _parquet(
            pl.DataFrame({"clip_id": [f"{self.recording}@{n}" for n in range(1125)], "part": parts})
        )


def _parquet(table: pl.DataFrame) -> bytes:
    import io

    stream = io.BytesIO()
    table.write_parquet(stream)
    return stream.getvalue()


def many(root: Path, cells: int = 5000) -> Made:
    """Return an experiment of about so many cells on ten tasks' metrics."""
    tasks = [f"task-{n}" for n in range(5)]
    methods = ["lp", "lcgp", "cgp", "protobin", "head2toe", "vqt", "finetune", "asr", "knn", "svm"]
    models = [f"model-{n:02}" for n in range(cells // (len(tasks) * 2 * len(methods)))]
    return Made(root, models=models, methods=methods, tasks=tasks)
