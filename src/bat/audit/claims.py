"""The paper's claims and statements, judged by what lies here."""

import csv
import io
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bat.errors import BatError
from bat.evaluation.cells import CELLS, Cell, read_cells
from bat.evaluation.display import wide_console
from bat.evaluation.metrics import LOWER_IS_BETTER
from bat.paper.claims import CLAIMS_SHA256, COST, Claim, read_claims
from bat.paper.contrasts import CellKey, Evidence
from bat.paper.qualitative import Judged, judge_statements
from bat.paper.statements import read_statements
from bat.paper.verdicts import NOT_ATTEMPTED, OUTCOMES, Experiment, Verdict, coverage, judge
from bat.params import FINETUNE, Params
from bat.provenance.recipe import RECIPE, read_recipe, verify_file
from bat.variants import block_methods, sweep_methods
from bat.workflow import Plan

PAPERS_EXPERIMENT = Path("config/paper.yaml")


class Judgement(BaseModel):
    """Everything that was judged, and by what.

    Attributes
    ----------
    claims_sha256
        Of the paper's claims.
    table
        Id of the record of the table whose cells were judged; None where there is none.
    experiment
        Parameter file.
    equivalence
        Margins and confidence that were declared in it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    claims_sha256: str
    table: str | None
    experiment: str
    equivalence: dict[str, Any]
    verdicts: list[Verdict]
    statements: list[Judged]


def judgement(plan: Plan, tables: Path, version: str | None = None) -> Judgement:
    """Judge the paper's claims and statements by the results of an experiment.

    Parameters
    ----------
    plan
        The experiment.
    tables
        Folder of its main table; where there is none, no claim was attempted.
    version
        Of the paper; None is both.

    Raises
    ------
    BatError
        If the claims or a result are not what was written.
    """
    claims = [claim for claim in read_claims() if version in (None, claim.version)]
    cells, table = _cells(tables)
    settings = plan.params.equivalence
    return Judgement(
        claims_sha256=CLAIMS_SHA256,
        table=table,
        experiment=plan.path.as_posix(),
        equivalence=settings.model_dump(mode="json"),
        verdicts=judge(claims, cells, settings, experiment_of(plan)),
        statements=judge_statements(
            read_statements(), evidence_of(plan, cells), claims, settings.confidence
        ),
    )


def _cells(tables: Path) -> tuple[list[Cell], str | None]:
    """Read the verified cells of a table that was built, and the id of its record."""
    if not (tables / CELLS).is_file():
        return [], None
    recipe = read_recipe(tables)
    verify_file(tables / CELLS, recipe)
    return read_cells(tables / CELLS), recipe.id


# What is known of the experiment


def experiment_of(plan: Plan) -> Experiment:
    """Say what a judgement has to know of an experiment."""
    papers = Plan(PAPERS_EXPERIMENT) if PAPERS_EXPERIMENT.is_file() else None
    return Experiment(
        published=plan.published,
        costs=costs(),
        scale=lambda cell: f"{scale_of(plan.params, cell.model)}, {cell.n_clips:,} clips",
        command=lambda claim: _command(claim, plan, papers),
        missing=lambda claim: _missing(claim, plan, papers),
    )


@cache
def costs() -> dict[tuple[str, str], float]:
    """Count what the paper's Table 10 gives of its probes, by method and metric."""
    from bat.sizes import convex_gated_probe_macs, parameter_report

    names = {"CGP": "CGP", "ProtoBin": "PB", "VQT": "VQT"}
    counted = {
        (names[size.name], "parameters_M"): size.parameters / 1e6
        for size in parameter_report()
        if size.name in names
    }
    return counted | {("CGP", "GMAC"): convex_gated_probe_macs() / 1e9}


def scale_of(params: Params, model: str) -> str:
    """Say how large a model is and how long it was trained."""
    settings = params.models.get(model)
    if settings is None:
        return model
    width, depth = (getattr(settings.encoder, key, None) for key in ("width", "depth"))
    steps = settings.pretraining.steps if settings.pretraining is not None else None
    size = [f"{key} {value:,}" for key, value in (("width", width), ("depth", depth)) if value]
    trained = [f"{steps:,} steps of pretraining"] if steps else []
    return ", ".join([model, *size, *trained])


def _command(claim: Claim, plan: Plan, papers: Plan | None) -> str | None:
    """Say what builds the cell of a claim, in this experiment or else in the paper's."""
    if claim.task == COST:
        return "bat sizes --classes 527"
    for experiment in filter(None, (plan, papers)):
        for cell in claim.cells:
            if targets := _targets(cell, experiment):
                words = ["snakemake", "--profile", "slurm", *targets]
                if experiment.path != Path("params.yaml"):
                    words += ["--configfile", experiment.path.as_posix()]
                return shlex.join(words)
    return None


def _targets(cell: str, plan: Plan) -> list[str]:
    """Files of the runs of a cell; none where the experiment does not have it."""
    model, method, task, metric = cell.split(",")
    if task not in plan.params.labelled or metric not in plan.params.labelled[task].metrics:
        return []
    if method == FINETUNE and (model, task) in plan.finetuned:
        folder = f"results/finetune/{model}/{task}"
    elif (model, task, method) in plan.table_probes:
        folder = f"results/probe/{model}/{task}/{method}"
    else:
        return []
    stage = FINETUNE if method == FINETUNE else "probe"
    return [f"{folder}/{part}/metrics.json" for part in plan.parts(stage, task)]


def _missing(claim: Claim, plan: Plan, papers: Plan | None) -> str:
    if any(_targets(cell, plan) for cell in claim.cells):
        return "not built yet"
    if papers is None:
        return f"{plan.path} has no such cell"
    if any(_targets(cell, papers) for cell in claim.cells):
        return "the paper's experiment was not run"
    return f"its recipe is not known: {papers.path} has no such cell"


# What was run


def evidence_of(plan: Plan, cells: Sequence[Cell]) -> Evidence:
    """Gather the verified results of every run of an experiment that is there."""
    params, blocks, sweep = plan.params, plan.params.figures.blocks, plan.params.figures.sweep
    headline = {task: settings.metrics[0] for task, settings in params.labelled.items()}
    values: dict[CellKey, dict[tuple[str, int], float]] = {}
    gates: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
    for key, run in _runs(plan):
        model, method, task = key
        at = (run["fold"], run["seed"])
        values.setdefault(key, {})[at] = 100 * run["metrics"][headline[task]]
        if blocks is not None and method == blocks.gated_probe and run.get("gate"):
            gates.setdefault((model, task), {})[at] = run["gate"]
    clips = {cell.task: cell.n_clips for cell in cells}

    def scale(model: str, task: str) -> str:
        of_clips = f", {clips[task]:,} clips" if task in clips else ""
        return f"{scale_of(params, model)}{of_clips}"

    return Evidence(
        values=values,
        gates=gates,
        clip_deviations={
            (cell.model, cell.method, cell.task): 100 * cell.clip_deviation
            for cell in cells
            if cell.metric == headline.get(cell.task)
        },
        models={name: model.model_dump(mode="json") for name, model in params.models.items()},
        pretrained=[name for name, m in params.models.items() if m.pretraining or m.weights],
        blocks={
            (model, task): block_methods(params, task, model)
            for task in (blocks.tasks if blocks else [])
            for model in (blocks.models if blocks else [])
        },
        sweep={
            (sweep.model, task): sweep_methods(params, task)
            for task in (sweep.tasks if sweep else [])
            if sweep is not None
        },
        scale=scale,
        lower_is_better=[task for task, metric in headline.items() if metric in LOWER_IS_BETTER],
    )


def _runs(plan: Plan) -> Iterator[tuple[CellKey, dict[str, Any]]]:
    """Yield every run of probes and fine-tuning whose job is done."""
    cells = [(model, method, task, "probe") for model, task, method in plan.every_probe]
    cells += [(model, FINETUNE, task, FINETUNE) for model, task in plan.finetuned]
    for model, method, task, stage in cells:
        of_method = f"/{method}" if stage == "probe" else ""
        for part in plan.parts(stage, task):
            folder = Path(f"results/{stage}/{model}/{task}{of_method}/{part}")
            if not (folder / RECIPE).is_file():
                continue
            path = folder / "metrics.json"
            verify_file(path, read_recipe(folder))
            for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
                yield (model, method, task), run


# What is said of it


def print_judgement(
    plan: Plan,
    tables: Path,
    *,
    version: str | None,
    verdict: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Print or write what became of the paper's claims and statements.

    Parameters
    ----------
    verdict
        Only claims of this outcome; all are counted nevertheless.
    as_json
        Print everything as JSON instead.
    out
        CSV file of the verdicts.

    Raises
    ------
    BatError
        If there is no such outcome, or something is not what was written.
    """
    if verdict is not None and verdict not in OUTCOMES:
        raise BatError(f"--verdict {verdict}: allowed: {', '.join(OUTCOMES)}")
    found = judgement(plan, tables, version)
    shown = [one for one in found.verdicts if verdict in (None, one.verdict)]
    if out is not None:
        _write(out, _csv(found, shown))
    if as_json:
        chosen = found.model_copy(update={"verdicts": shown}).model_dump(mode="json")
        print(json.dumps(chosen | {"coverage": coverage(found.verdicts)}, indent=1))  # noqa: T201
        return
    console = wide_console()
    console.print(_verdict_table(shown))
    _print_lines(console, "Coverage", coverage(found.verdicts))
    _print_lines(console, "To build what is missing", _commands(shown))
    _print_statements(console, found.statements)
    table = "no table" if found.table is None else f"table {found.table[:16]}"
    _print_lines(console, "", [f"claims {found.claims_sha256[:16]}, {table}, {found.experiment}"])


def _verdict_table(verdicts: Sequence[Verdict]) -> Table:
    table = Table("claim", title="The paper's claims")
    for name in ("printed", "ours", "seeds/folds/clips", "interval", "margin"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    table.add_column("reason")
    for one in verdicts:
        row = _fields(one)
        table.add_row(*(escape(row[name]) for name in _SHOWN))
    return table


_SHOWN = ("claim", "printed", "ours", "n", "interval", "margin", "verdict", "reason")


def _fields(verdict: Verdict) -> dict[str, str]:
    """Return what is said of a verdict, as text."""
    counts = f"{verdict.n_seeds}/{verdict.n_folds}/{verdict.n_clips:,}"
    low, high = verdict.low, verdict.high
    spread = verdict.claim.spread
    return {
        "claim": verdict.claim.id,
        "printed": verdict.claim.printed + (f" ± {spread:g}" if spread is not None else ""),
        "ours": "" if verdict.value is None else f"{verdict.value:.2f}",
        "n": counts if verdict.n_seeds else "",
        "interval": "" if low is None or high is None else f"{low:.2f} to {high:.2f}",
        "margin": "" if verdict.margin is None else f"{verdict.margin:.3g}",
        "verdict": verdict.verdict,
        "reason": verdict.reason,
    }


def _commands(verdicts: Sequence[Verdict]) -> list[str]:
    """Commands for what was not attempted, each once, with how many claims it serves."""
    missing = [one.command for one in verdicts if one.verdict == NOT_ATTEMPTED and one.command]
    return [f"{command}  # {missing.count(command)} claims" for command in dict.fromkeys(missing)]


def _print_statements(console: Console, statements: Sequence[Judged]) -> None:
    _print_lines(console, "The paper's statements", [])
    for one in statements:
        printed = f"; the paper's numbers: {one.printed}" if one.printed else ""
        where = f"{one.statement.text} ({one.statement.place})"
        text = f"{one.holding}: {where} {one.reason}{printed}"
        console.print(text, markup=False, soft_wrap=True)
        for finding in one.findings:
            interval = "not run"
            if finding.difference is not None:
                interval = f"{finding.difference:+.2f}"
            if finding.low is not None:
                interval += f" [{finding.low:+.2f}, {finding.high:+.2f}]"
            given = f", given {finding.given}" if finding.given else ""
            line = f"  {finding.holding}: {finding.what} {interval} ({finding.scale}{given})"
            console.print(line, markup=False, soft_wrap=True)


def _print_lines(console: Console, title: str, lines: Sequence[str]) -> None:
    if title:
        console.print(f"\n{title}", style="bold", markup=False)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _csv(found: Judgement, verdicts: Sequence[Verdict]) -> str:
    """One line per verdict, each with what was judged by."""
    stream = io.StringIO()
    columns = [
        "claim", "printed", "spread", "verdict", "reason", "cell", "value", "low", "high", "margin",
        "n_seeds", "n_folds", "n_clips", "given", "scale", "command", "claims_sha256", "table",
    ]  # fmt: skip
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for one in verdicts:
        row = one.model_dump(exclude={"claim"}) | {
            "claim": one.claim.id,
            "printed": one.claim.printed,
            "spread": "" if one.claim.spread is None else f"{one.claim.spread:g}",
            "claims_sha256": found.claims_sha256,
            "table": found.table,
        }
        numbers = {
            key: f"{row[key]:.4f}"
            for key in ("value", "low", "high", "margin")
            if row[key] is not None
        }
        writer.writerow(row | numbers)
    return stream.getvalue()


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
