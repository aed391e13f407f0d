"""The plan on the screen: a row for each stage, and how sure its figures are."""

from collections import Counter
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bat.planning.costs import Cost, Costs
from bat.planning.jobs import PlannedJob, planned_jobs
from bat.planning.rates import Known, as_rows, known_rates
from bat.planning.start import Start
from bat.workflow import Plan

# In the order of the work; rules that gather others come last.
_ORDER = (
    "download", "acquire", "inventory", "account", "resample", "prepare", "frontend", "weights",
    "convert", "pretrain", "embed", "probe", "finetune", "baseline", "figure", "audit", "table",
)  # fmt: skip


def print_plan(params: Path, target: str, start: Start) -> None:
    """Print what a run would do and cost.

    Parameters
    ----------
    params
        Parameter file of the experiment.
    target
        File or rule to make.
    start
        Where the work starts.

    Raises
    ------
    BatError
        Where the run cannot be planned.
    """
    plan, known = Plan(params), known_rates()
    jobs = planned_jobs(params, target, start)
    costs = Costs(plan, known.rates)
    console = Console()
    console.print(_table(jobs, costs, f"{target} by {params}, from {start}"))
    for line in _remarks(costs, known):
        console.print(line, highlight=False, soft_wrap=True)


def stage_costs(jobs: list[PlannedJob], costs: Costs) -> dict[str, tuple[int, Cost]]:
    """Return number of jobs and cost of every rule, in the order of the work.

    Scratch is that of the most demanding job; all else is summed.
    """
    counts = Counter(job.rule for job in jobs)
    rank = {rule: place for place, rule in enumerate(_ORDER)}
    rules = sorted(counts, key=lambda rule: (rank.get(rule, len(rank)), rule))
    by_rule = {rule: [costs.of(job) for job in jobs if job.rule == rule] for rule in rules}
    return {rule: (counts[rule], together(by_rule[rule])) for rule in rules}


def together(costs: list[Cost]) -> Cost:
    """Return the sum of costs, of scratch the largest."""
    sums = {part.name: sum(getattr(cost, part.name) for cost in costs) for part in fields(Cost)}
    return Cost(**sums | {"scratch_bytes": max((c.scratch_bytes for c in costs), default=0.0)})


def _table(jobs: list[PlannedJob], costs: Costs, title: str) -> Table:
    table = Table("stage", title=title)
    for column in ("jobs", "GPU-hours", "CPU-hours", "storage", "scratch of a job"):
        table.add_column(column, justify="right")
    rows = stage_costs(jobs, costs)
    for rule, (count, cost) in rows.items():
        table.add_row(rule, f"{count:,}", *_cells(cost))
    table.add_section()
    total = together([cost for _, cost in rows.values()])
    table.add_row("total", f"{len(jobs):,}", *_cells(total))
    return table


def _remarks(costs: Costs, known: Known) -> list[str]:
    rates = [f"{name} {value:.3g} ({origin})" for name, value, origin in as_rows(known)]
    lines = ["Rates of one core or GPU: " + ", ".join(rates) + "."]
    if "assumed" in known.origin.values():
        lines.append(
            "What is assumed may be wrong by a factor of three: run bat plan --calibrate on a "
            "machine of the kind that will do the work."
        )
    if guessed := costs.guessed():
        lines.append(
            f"Not counted yet, taken for 1,000 recordings of 10 s: {', '.join(guessed)}. Plan "
            "again when their manifests are there."
        )
    lines.append(
        "Times are of work, without queues; storage is what stays, scratch what the most "
        "demanding job needs beside it."
    )
    return lines


def _cells(cost: Cost) -> list[str]:
    return [
        _hours(cost.gpu_s),
        _hours(cost.cpu_s),
        _bytes(cost.storage_bytes),
        _bytes(cost.scratch_bytes),
    ]


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    if hours == 0:
        return "-"
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _bytes(number: float) -> str:
    if number == 0:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
