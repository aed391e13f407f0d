"""The way back from a number as a tree on the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from bat.evaluation.cells import Cell
from bat.progress import readable_bytes

_SETTINGS_SHOWN = 12
_WIDTH = 1000
_REASONS_SHOWN = 5
# The files that a chain is followed by come first, whatever the alphabet says.
_FIRST = ("predictions.parquet", "metrics.json", "heads.safetensors")
Jobs = Mapping[str, Mapping[str, Any]]


def print_tree(cell: Cell, jobs: Jobs, tables: str) -> None:
    """Print a cell with its statistics, its runs, and the jobs behind it.

    Parameters
    ----------
    jobs
        As `bat.audit.trace.trace` describes them, by folder.
    tables
        Folder of the main table.
    """
    root = Tree(_text(f"{cell.name}: {cell.text}", "bold"))
    _add_statistics(root, cell)
    printed = root.add(_title(tables, jobs[tables]))
    _add_lines(printed, jobs[tables], whole=False)
    shown = {tables}
    for folder in cell.folders:
        _add_job(root, folder, jobs, shown)
    # Lines are not broken: a hash in two halves can be neither searched for nor copied.
    Console(highlight=False, width=_WIDTH).print(root, soft_wrap=True)


def _add_statistics(root: Tree, cell: Cell) -> None:
    """Say what the number is the mean of: a line for each fold, with the values of its seeds."""
    node = root.add(
        _text(
            f"mean of {cell.n_folds} folds x {cell.n_seeds} seeds; standard deviation over both; "
            f"interval over draws of {cell.n_clips} test clips"
        )
    )
    folds: dict[str, list[str]] = {}
    for run in cell.runs:
        folds.setdefault(run.fold, []).append(f"seed {run.seed}: {100 * run.value:.2f} %")
    for fold, values in folds.items():
        node.add(_text(f"fold {fold}: {', '.join(values)}"))


def _add_job(above: Tree, folder: str, jobs: Jobs, shown: set[str]) -> None:
    """Add a job and all behind it, each once."""
    job = jobs.get(folder)
    if job is None:
        above.add(_text(f"{folder}: its record cannot be read", "bold red"))
        return
    if folder in shown:
        above.add(_text(f"{job['stage']} {folder} (shown above)", "dim"))
        return
    shown.add(folder)
    node = above.add(_title(folder, job))
    makers = list(dict.fromkeys(known["path"].rpartition("/")[0] for known in job["inputs"]))
    new = [maker for maker in makers if maker not in shown]
    _add_lines(node, job, whole=bool(new or not makers))
    if not new and makers:  # as one line: a cell may consist of many jobs that read the same
        node.add(_text(f"read what is shown above: {', '.join(makers)}", "dim"))
        return
    for maker in sorted(makers, key=lambda maker: maker.startswith("data/manifest/")):
        _add_job(node, maker, jobs, shown)


def _title(folder: str, job: Mapping[str, Any]) -> Text:
    return _text(f"{job['stage']} {folder}", "bold cyan")


def _add_lines(node: Tree, job: Mapping[str, Any], *, whole: bool) -> None:
    """Describe one job; not whole where a job like it was described before."""
    for output in sorted(job["outputs"], key=_place):
        name = output["path"].rpartition("/")[2]
        size = readable_bytes(output["bytes"])
        node.add(_text(f"{name}  {size}  sha256 {output['sha256']}", "green"))
    node.add(_text(f"record {job['record']}, {job['determinism']}"))
    for line in _ran(job["run"]):
        node.add(_text(line))
    if whole:
        node.add(_text(f"settings: {_summary(job['settings'])}"))
        lock = job["environment_lock"][:16]
        node.add(_text(f"code {job['code'][:16]}, environment lock {lock}"))
    for line in (*_heard(job), *_ledger(job)):
        node.add(_text(line, "yellow"))


def _place(output: Mapping[str, Any]) -> tuple[int, str]:
    name = output["path"].rpartition("/")[2]
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def _ran(log: Mapping[str, Any] | None) -> Iterator[str]:
    """Say when and where a job ran."""
    if log is None:
        yield "no run log: when and where it ran is not known"
        return
    git = log.get("git") or {}
    commit = (git.get("commit") or "none")[:12] + (" and changes" if git.get("dirty") else "")
    machine = log.get("gpu") or log.get("cpu")
    job = f", SLURM job {log['slurm_job_id']}" if log.get("slurm_job_id") else ""
    yield (
        f"ran {log.get('started')} for {log.get('wall_s')} s on {log.get('host')} ({machine})"
        f"{job}, commit {commit}"
    )


def _summary(settings: Mapping[str, Any]) -> str:
    """Name the first settings, and how many more there are."""
    # Precision is the same everywhere: what is particular to the job comes first.
    flat = list(_flat(dict(sorted(settings.items(), key=lambda item: item[0] == "compute"))))
    more = len(flat) - _SETTINGS_SHOWN
    shown = ", ".join(flat[:_SETTINGS_SHOWN])
    return (shown or "none") + (f" and {more} more (--json)" if more > 0 else "")


def _flat(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and len(value) > 3:
        yield f"{name} {len(value)} values"
    elif value is not None:
        yield f"{name} {value}"


def _heard(job: Mapping[str, Any]) -> Iterator[str]:
    if heard := job.get("heard"):
        yield f"heard {heard['clips']} clips of {heard['recordings']} recordings"


def _ledger(job: Mapping[str, Any]) -> Iterator[str]:
    """Say how many recordings are used, and why the others are not."""
    ledger = job.get("ledger")
    if ledger is None:
        return
    counts = ", ".join(f"{count} {status}" for status, count in ledger["statuses"].items())
    yield f"ledger: {ledger['rows']} entries: {counts}"
    for row in ledger["not_used"][:_REASONS_SHOWN]:
        yield f"  {row['rows']} {row['status']}: {row['reason']}"
    if (more := len(ledger["not_used"]) - _REASONS_SHOWN) > 0:
        yield f"  {more} more reasons (--json)"


def _text(line: str, style: str = "") -> Text:
    return Text(line, style=style)
