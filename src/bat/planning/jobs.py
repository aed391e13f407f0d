"""The jobs of a run, as Snakemake itself plans them."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bat.errors import BatError
from bat.planning.start import Start

# Stages whose results are taken as given, by where the work starts.
_GIVEN: dict[Start, frozenset[str]] = {
    Start.SOURCE: frozenset(),
    Start.CHECKPOINT: frozenset({"pretrain", "weights", "convert"}),
    Start.EMBEDDINGS: frozenset({"pretrain", "weights", "convert", "embed"}),
    Start.METRICS: frozenset({"probe", "finetune", "baseline"}),
}
_SNAKEFILE = Path(__file__).resolve().parents[3] / "Snakefile"
_RULE = re.compile(r"^(?:local)?rule (\w+):$")
_FIELD = re.compile(r"^    (input|output|wildcards): (.*)$")


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """One job: its rule, its wildcards by name, and its files."""

    rule: str
    wildcards: dict[str, str]
    inputs: frozenset[str]
    outputs: frozenset[str]


def planned_jobs(params: Path, target: str, start: Start = Start.SOURCE) -> list[PlannedJob]:
    """Return what a run would do now, by a dry run of Snakemake.

    Parameters
    ----------
    params
        Parameter file of the experiment.
    target
        File or rule, as given to Snakemake.
    start
        Where the work starts: what comes before is taken as given, and so is what only that needs.

    Raises
    ------
    BatError
        Where Snakemake cannot plan the run.
    """
    jobs = parse_dry_run(_dry_run(params, target))
    return needed(jobs, _GIVEN[start])


def parse_dry_run(text: str) -> list[PlannedJob]:
    """Read the jobs out of what ``snakemake --dry-run`` prints.

    Raises
    ------
    BatError
        Where the jobs are not as many as Snakemake says at the end.
    """
    jobs: list[PlannedJob] = []
    rule, fields = "", dict[str, str]()
    for line in [*text.splitlines(), ""]:
        begins, field = _RULE.match(line), _FIELD.match(line)
        if field:
            fields[field[1]] = field[2]
        elif not line.startswith("    ") and rule:
            jobs.append(_job(rule, fields))
            rule, fields = "", {}
        if begins:
            rule = begins[1]
    counted, stated = Counter(job.rule for job in jobs), _stated(text)
    if counted != stated:
        raise BatError(
            f"snakemake --dry-run: read {dict(counted)}, but it says {dict(stated)}; this version "
            "of Snakemake prints its plan in another way"
        )
    return jobs


def needed(jobs: list[PlannedJob], given: Iterable[str]) -> list[PlannedJob]:
    """Return the jobs that remain when the results of some rules are given.

    Parameters
    ----------
    jobs
        A whole plan.
    given
        Rules whose jobs need not run; what only they need does not run either.
    """
    given = frozenset(given)
    maker = {file: job for job in jobs for file in job.outputs}
    read = frozenset(file for job in jobs for file in job.inputs)
    waiting = [job for job in jobs if not job.outputs & read and job.rule not in given]
    kept: list[PlannedJob] = []
    seen: set[int] = set()
    while waiting:
        job = waiting.pop()
        if id(job) in seen:
            continue
        seen.add(id(job))
        kept.append(job)
        makers = [maker[file] for file in job.inputs if file in maker]
        waiting += [other for other in makers if other.rule not in given]
    return kept


def _dry_run(params: Path, target: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--dry-run", f"--snakefile={_SNAKEFILE}"]
    command += [f"--directory={Path.cwd()}", target, "--configfile", str(params)]
    # a cluster's profile in the environment would have SLURM asked for nothing
    environment = {k: v for k, v in os.environ.items() if k != "SNAKEMAKE_PROFILE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BatError(f"snakemake cannot plan {target}: {_problem(done.stdout + done.stderr)}")
    return done.stdout + done.stderr


def _problem(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line or "Exception" in line]
    after = lines[lines.index(named[0]) :] if named else lines[-3:]
    return " ".join(after)[:500]


def _job(rule: str, fields: dict[str, str]) -> PlannedJob:
    pairs = [pair.split("=", 1) for pair in _split(fields.get("wildcards", ""))]
    return PlannedJob(
        rule=rule,
        wildcards=dict(pairs),
        inputs=frozenset(_split(fields.get("input", ""))),
        outputs=frozenset(_split(fields.get("output", ""))),
    )


def _split(text: str) -> list[str]:
    return [part for part in text.split(", ") if part]


def _stated(text: str) -> Counter[str]:
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.split() == ["job", "count"]]
    stated: Counter[str] = Counter()
    for line in lines[starts[0] + 2 :] if starts else []:
        name, count = line.split()
        if name == "total":
            break
        stated[name] = int(count)
    return stated
