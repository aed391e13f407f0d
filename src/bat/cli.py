"""The command line: one command per stage, and the audit of what they made.

The workflow calls the stage commands; by hand they serve to rerun one job. Heavy libraries are
imported by the stages, so that ``--help`` answers at once.
"""

import errno
import importlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bat.errors import BatError
from bat.planning.start import Start
from bat.runtime import PARAMS_FILE, end_cleanly, limit_threads, start_log
from bat.slurm.requeue import RESUBMIT, ask_to_be_run_again
from bat.slurm.runs import end_when_superseded

if TYPE_CHECKING:
    from bat.workflow import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="BAT as a pipeline: every number can be traced, rebuilt and verified.\n\n"
    "Run the whole default experiment:  snakemake --cores 2 results/tables/main.csv\n\n"
    "Where does a number come from?     bat audit trace 'bat-mini,cgp,speaker,accuracy'\n\n"
    "Does everything still hold?        bat audit verify",
)
audit_app = typer.Typer(no_args_is_help=True, help="Trace and verify results.")
app.add_typer(audit_app, name="audit")

Params = Annotated[Path, typer.Option(envvar=PARAMS_FILE, help="Parameter file of the experiment.")]
Out = Annotated[Path, typer.Option(help="Folder for the outputs and their recipe.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the numerical libraries.")]
Log = Annotated[Path | None, typer.Option(help="File to write the log to, beside the screen.")]
Files = Annotated[list[Path], typer.Option(help="Input files; repeat the option for more.")]
SomeFiles = Annotated[
    list[Path] | None, typer.Option(help="Input files; repeat the option for more.")
]
File = Annotated[Path, typer.Option(help="Input file.")]
Text = Annotated[str, typer.Option()]


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of the program that every stage shares."""

    params: Path = Path("params.yaml")
    threads: int = 1
    log: Path | None = None


@app.callback()
def common_options(
    context: typer.Context,
    params: Params = Common.params,
    threads: Threads = Common.threads,
    log: Log = Common.log,
) -> None:
    """Remember the options that every stage shares."""
    context.obj = Common(params=params, threads=threads, log=log)


def _run(
    context: typer.Context,
    stage: str,
    selection: Mapping[str, str],
    inputs: Mapping[str, Sequence[Path | str] | None],
    out: Path,
) -> None:
    """Run one job of a stage; roles without files are left out."""
    common: Common = context.find_object(Common) or Common()
    params = common.params
    limit_threads(common.threads)
    start_log(common.log)
    end_cleanly()
    end_when_superseded()
    from bat.provenance.job import Job
    from bat.workflow import Plan

    plan = Plan(params)
    settings = plan.settings(stage, selection)
    module = importlib.import_module(f"bat.stages.{stage}")
    with Job(
        stage=stage,
        selection=selection,
        settings=settings.model_dump(mode="json"),
        inputs={role: [Path(f) for f in files] for role, files in inputs.items() if files},
        folder=out,
        code=plan.code(stage, selection),
        determinism=module.DETERMINISM,
        wanted=lambda: Plan(params).wanted(stage, **selection),
    ) as job:
        module.run(job, settings)
    logging.getLogger(__name__).info("%s: wrote %s", " ".join([stage, *selection.values()]), out)


def _planned(context: typer.Context) -> "Plan":
    """Return the plan of the experiment, for stages that read many results."""
    from bat.workflow import Plan

    common: Common = context.find_object(Common) or Common()
    return Plan(common.params)


@app.command()
def download(context: typer.Context, dataset: Text, out: Out) -> None:
    """Fetch the archive of a data set and check its hash.

    Example: bat download --dataset meetings --out data/source/meetings
    """
    _run(context, "download", {"dataset": dataset}, {}, out)


@app.command()
def inventory(context: typer.Context, dataset: Text, out: Out) -> None:
    """Hash every file of a data set that lies in a folder.

    Example: bat inventory --dataset esc50 --out data/source/esc50
    """
    _run(context, "inventory", {"dataset": dataset}, {}, out)


@app.command()
def resample(context: typer.Context, dataset: Text, source: File, out: Out) -> None:
    """Account for every recording of a data set and bring the usable ones to one rate, mono.

    Example: bat resample --dataset meetings --source data/source/meetings/archive
    --out data/pcm/meetings
    """
    _run(context, "resample", {"dataset": dataset}, {"source": [source]}, out)


@app.command()
def prepare(context: typer.Context, task: Text, ledger: File, pcm: Files, out: Out) -> None:
    """Make the manifest of a task's clips.

    Example: bat prepare --task speaker --ledger data/pcm/meetings/ledger.parquet
    --pcm data/pcm/meetings/pcm.npy --pcm data/pcm/meetings/index.parquet
    --out data/manifest/speaker
    """
    _run(context, "prepare", {"task": task}, {"ledger": [ledger], "pcm": pcm}, out)


@app.command()
def frontend(
    context: typer.Context,
    frontend: Text,
    task: Text,
    manifest: File,
    pcm: Files,
    out: Out,
) -> None:
    """Cache the spectrograms of every clip of a task.

    Example: bat frontend --frontend bat --task speaker
    --manifest data/manifest/speaker/manifest.parquet --pcm data/pcm/meetings/pcm.npy
    --pcm data/pcm/meetings/index.parquet --out data/spectrograms/bat/speaker
    """
    inputs = {"manifest": [manifest], "pcm": pcm}
    selection = {"frontend": frontend, "task": task}
    _run(context, "frontend", selection, inputs, out)


@app.command()
def pretrain(
    context: typer.Context,
    model: Text,
    group: Text,
    manifest: File,
    out: Out,
    spectrograms: SomeFiles = None,
    pcm: SomeFiles = None,
) -> None:
    """Pretrain an encoder on the parts of one group.

    Example: bat pretrain --model bat-mini --group early
    --manifest data/manifest/speaker/manifest.parquet
    --spectrograms data/spectrograms/bat/speaker/spectrograms.safetensors
    --out results/pretrain/bat-mini/early
    """
    inputs = {"manifest": [manifest], "spectrograms": spectrograms, "pcm": pcm}
    selection = {"model": model, "group": group}
    _run(context, "pretrain", selection, inputs, out)


@app.command()
def convert(context: typer.Context, model: Text, group: Text, out: Out) -> None:
    """Convert a published checkpoint; a missing or left-over weight is an error.

    Example: bat convert --model eat --group as2m --out results/pretrain/eat/as2m
    """
    _run(context, "convert", {"model": model, "group": group}, {}, out)


@app.command()
def embed(
    context: typer.Context,
    model: Text,
    group: Text,
    task: Text,
    encoder: File,
    spectrograms: File,
    out: Out,
) -> None:
    """Cache the tokens of every block for every clip of a task.

    Example: bat embed --model bat-mini --group early --task speaker
    --encoder results/pretrain/bat-mini/early/encoder.safetensors
    --spectrograms data/spectrograms/bat/speaker/spectrograms.safetensors
    --out data/tokens/bat-mini/early/speaker
    """
    inputs = {"encoder": [encoder], "spectrograms": [spectrograms]}
    selection = {"model": model, "group": group, "task": task}
    _run(context, "embed", selection, inputs, out)


@app.command()
def probe(
    context: typer.Context,
    model: Text,
    task: Text,
    method: Text,
    manifest: File,
    out: Out,
    tokens: SomeFiles = None,
    encoder: SomeFiles = None,
    spectrograms: SomeFiles = None,
    pcm: SomeFiles = None,
    part: Text = "all",
) -> None:
    """Train and test a probe, on cached tokens or on the live encoder.

    Example: bat probe --model bat-mini --task speaker --method cgp
    --manifest data/manifest/speaker/manifest.parquet
    --tokens data/tokens/bat-mini/early/speaker/tokens.safetensors
    --tokens data/tokens/bat-mini/late/speaker/tokens.safetensors
    --out results/probe/bat-mini/speaker/cgp/all
    """
    inputs = {
        "manifest": [manifest],
        "tokens": tokens,
        "encoder": encoder,
        "spectrograms": spectrograms,
        "pcm": pcm,
    }
    selection = {"model": model, "task": task, "method": method, "part": part}
    _run(context, "probe", selection, inputs, out)


@app.command()
def finetune(
    context: typer.Context,
    model: Text,
    task: Text,
    manifest: File,
    encoder: Files,
    out: Out,
    spectrograms: SomeFiles = None,
    pcm: SomeFiles = None,
    part: Text = "all",
) -> None:
    """Fine-tune a whole encoder and test it, for every fold and seed of a part.

    Example: bat finetune --model bat-mini --task speaker
    --manifest data/manifest/speaker/manifest.parquet
    --encoder results/pretrain/bat-mini/early/encoder.safetensors
    --encoder results/pretrain/bat-mini/late/encoder.safetensors
    --spectrograms data/spectrograms/bat/speaker/spectrograms.safetensors
    --out results/finetune/bat-mini/speaker/all
    """
    inputs = {
        "manifest": [manifest],
        "encoder": encoder,
        "spectrograms": spectrograms,
        "pcm": pcm,
    }
    selection = {"model": model, "task": task, "part": part}
    _run(context, "finetune", selection, inputs, out)


@app.command()
def baseline(
    context: typer.Context,
    task: Text,
    manifest: File,
    spectrograms: File,
    out: Out,
) -> None:
    """Logistic regression on the mean and deviation of every mel bin.

    Example: bat baseline --task speaker --manifest data/manifest/speaker/manifest.parquet
    --spectrograms data/spectrograms/bat/speaker/spectrograms.safetensors
    --out results/baseline/speaker
    """
    inputs = {"manifest": [manifest], "spectrograms": [spectrograms]}
    _run(context, "baseline", {"task": task}, inputs, out)


@app.command()
def figure(context: typer.Context, out: Out) -> None:
    """Draw the figures, each with the table of numbers behind it.

    It reads every result that the parameters name; the workflow makes them first.

    Example: bat figure --out results/figures
    """
    _run(context, "figure", {}, _planned(context).figure_files(), out)


@audit_app.command("run")
def audit_run(context: typer.Context, out: Out) -> None:
    """Verify every record behind the results (the stage that the table waits for)."""
    plan = _planned(context)
    results = [file for files in plan.table_files().values() for file in files]
    _run(context, "audit", {}, {"results": [*results, *plan.figures()]}, out)


@app.command()
def table(context: typer.Context, out: Out) -> None:
    """Assemble the main table from verified metrics and predictions.

    It reads every result that the parameters name; the workflow makes them first.

    Example: bat table --out results/tables
    """
    inputs = _planned(context).table_files() | {"audit": ["results/audit/verified.json"]}
    _run(context, "table", {}, inputs, out)


@app.command()
def conformance(folder: Annotated[Path, typer.Argument(help="Folder of golden vectors.")]) -> None:
    """Compare this installation with vectors of the reference implementation, case by case.

    Example: bat conformance tests/golden
    """
    from bat.conformance.run import print_report

    print_report(folder)


@app.command()
def sizes(
    classes: Annotated[int, typer.Option(min=1, help="Number of classes of the probes.")] = 527,
) -> None:
    """Print the number of parameters of the paper's encoders and probes.

    Example: bat sizes --classes 527
    """
    from bat.sizes import print_sizes

    print_sizes(classes)


@app.command()
def differences(context: typer.Context) -> None:
    """Print where the paper and its reference code disagree, and which parameter switches it.

    Example: bat --params config/paper.yaml differences
    """
    from bat.paper.differences import print_differences, read_differences

    experiment = _planned(context).params.model_dump(mode="json")
    print_differences(read_differences(), experiment=experiment)


@app.command()
def plan(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="File or rule.")] = "results/tables/main.csv",
    start: Annotated[Start, typer.Option("--from", help="Where the work starts.")] = Start.SOURCE,
    measure: Annotated[
        bool, typer.Option("--calibrate", help="Measure this machine instead.")
    ] = False,
) -> None:
    """Print the jobs of a run and what they would cost, before anything runs.

    Example: bat --params config/paper.yaml plan --from checkpoint
    """
    if measure:
        from bat.planning.calibrate import calibrate

        calibrate()
        return
    from bat.planning.report import print_plan

    common: Common = context.find_object(Common) or Common()
    print_plan(common.params, target, start)


@app.command()
def doctor() -> None:
    """Check this machine, its tools and its cluster, and say what to do about each finding.

    Example: bat doctor
    """
    from bat.doctor import print_findings

    print_findings()


Results = Annotated[Path, typer.Option(help="Folder of the main table.")]
DEFAULT_TABLES = Path("results/tables")


@audit_app.command("trace")
def audit_trace(
    cell: Annotated[str, typer.Argument(help="model,method,task,metric or the record's id.")],
    tables: Results = DEFAULT_TABLES,
    verify: Annotated[bool, typer.Option("--verify", help="Rehash every file on the way.")] = False,
) -> None:
    """Print the whole chain behind a number, down to the source archive.

    Example: bat audit trace 'main.csv#bat-mini,cgp,speaker,accuracy' --verify
    """
    from bat.provenance.lineage import print_trace

    print_trace(cell, tables, verify=verify)


@audit_app.command("verify")
def audit_verify(
    folder: Annotated[list[Path] | None, typer.Argument(help="Folders to verify.")] = None,
) -> None:
    """Rehash everything that a recipe describes, and name what does not match.

    Example: bat audit verify results data
    """
    from bat.provenance.lineage import print_verification

    print_verification(folder or [Path("data"), Path("results")])


@app.command()
def show(table: Annotated[Path, typer.Argument(help="Main table.")]) -> None:
    """Print the main table on the screen.

    Example: bat show results/tables/main.csv
    """
    from bat.evaluation.display import print_table

    print_table(table)


def main() -> None:
    """Run the command line; a problem the user can mend is one line, not a traceback."""
    try:
        app(prog_name="bat")
    except BatError as error:
        _complain(str(error))
    except OSError as error:
        _complain(_system_problem(error))
    except SystemExit as end:
        if end.code == RESUBMIT:
            ask_to_be_run_again()
        raise


def _complain(message: str) -> NoReturn:
    logger = logging.getLogger("bat")
    if logger.handlers:
        logger.error("error: %s", message)
    else:
        typer.echo(f"error: {message}", err=True)
    sys.exit(1)


def _system_problem(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}the disk is full; free some space and run the same command again"
    return f"{where}{error.strerror or error}"


if __name__ == "__main__":
    main()
