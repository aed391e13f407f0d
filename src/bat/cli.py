"""The command line: one command per stage, and the audit of what they made.

The workflow calls the stage commands; by hand they serve to rerun one job. Heavy libraries are
imported by the stages, so that ``--help`` answers at once.
"""

import errno
import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bat.audit.commands import audit_app
from bat.errors import BatError
from bat.options import AsJson, Common, File, Files, Log, Out, Params, SomeFiles, Text, Threads
from bat.planning.start import Start
from bat.pretraining.resources import Resources
from bat.runtime import (
    INTERRUPTED,
    end_cleanly,
    limit_threads,
    rank,
    start_log,
    under_torchrun,
)
from bat.slurm.requeue import ask_to_be_run_again
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
app.add_typer(audit_app, name="audit")
ledger_app = typer.Typer(no_args_is_help=True, help="Compare and select recordings by ledger.")
app.add_typer(ledger_app, name="ledger")


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
    *resources: object,
) -> None:
    """Run one job of a stage; roles without files are left out.

    Of the ranks that torchrun starts only the first enters the job, and so writes; the others
    work for it.
    """
    params = Common.of(context).params
    _begin(context)
    from bat.workflow import Plan

    settings = Plan(params).settings(stage, selection)
    files = {role: [Path(f) for f in files] for role, files in inputs.items() if files}
    wanted = lambda: Plan(params).wanted(stage, **selection)  # noqa: E731
    _do(stage, selection, settings, files, out, wanted, *resources)


def _begin(context: typer.Context) -> None:
    """Prepare this process for the work of a stage."""
    common = Common.of(context)
    limit_threads(common.threads)
    start_log(common.log if rank() == 0 else None)
    end_cleanly()
    end_when_superseded()


def _do(
    stage: str,
    selection: Mapping[str, str],
    settings: Any,
    inputs: Mapping[str, list[Path]],
    out: Path,
    wanted: Callable[[], str],
    *resources: object,
) -> None:
    """Do the work of one job, and record it."""
    from bat.provenance.job import Job
    from bat.workflow import code_of_job

    module = importlib.import_module(f"bat.stages.{stage}")
    job = Job(
        stage=stage,
        selection=selection,
        settings=settings.model_dump(mode="json"),
        inputs=inputs,
        folder=out,
        code=code_of_job(stage, settings),
        determinism=_determinism(module, settings),
        wanted=wanted,
    )
    if rank() != 0:
        module.run(job, settings, *resources)
        return
    with job:
        module.run(job, settings, *resources)
    logging.getLogger(__name__).info("%s: wrote %s", " ".join([stage, *selection.values()]), out)


def _determinism(module: ModuleType, settings: Any) -> str:
    """How exactly a rebuild repeats a stage; of some it depends on the settings."""
    of_settings = getattr(module, "determinism", None)
    determinism: str = module.DETERMINISM if of_settings is None else of_settings(settings)
    return determinism


def _planned(context: typer.Context) -> "Plan":
    """Return the plan of the experiment, for stages that read many results."""
    from bat.workflow import Plan

    common = Common.of(context)
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
def acquire(
    context: typer.Context,
    dataset: Text,
    out: Out,
    mirror: Annotated[
        str | None, typer.Option(envvar="BAT_MIRROR", help="Folder or address in the net's place.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="BAT_OFFLINE", help="Use only what is here.")
    ] = False,
    connections: Annotated[
        int, typer.Option(min=1, envvar="BAT_CONNECTIONS", help="Files to fetch at a time.")
    ] = 4,
    scratch: Annotated[
        Path, typer.Option(envvar="BAT_SCRATCH", help="Where archives lie meanwhile.")
    ] = Path("data/scratch"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what it will take.")
    ] = False,
) -> None:
    """Fetch a data set of the catalogue archive by archive, and keep its recordings as PCM.

    An interrupted run goes on where it was: start the same command again.

    Example: bat --params config/paper.yaml acquire --dataset esc50 --out data/source/esc50
    """
    given = {"MIRROR": mirror, "OFFLINE": "1" if offline else None}
    given |= {"CONNECTIONS": str(connections), "SCRATCH": str(scratch)}
    os.environ.update({f"BAT_{name}": value for name, value in given.items() if value is not None})
    if dry_run:
        from bat.acquisition.forecast import print_forecast

        settings = _planned(context).settings("acquire", {"dataset": dataset})
        print_forecast(
            settings.source.name,
            settings.source.mirror,
            parts=settings.parts,
            revision=settings.source.revision,
            rate_hz=settings.rate_hz,
            folder=scratch,
        )
        return
    _run(context, "acquire", {"dataset": dataset}, {}, out)


@app.command()
def account(context: typer.Context, dataset: Text, recordings: File, lists: File, out: Out) -> None:
    """Make the ledger of an acquired data set: what became of every entry of its lists.

    Example: bat account --dataset esc50 --recordings data/source/esc50/recordings.parquet
    --lists data/source/esc50/lists.zip --out data/pcm/esc50
    """
    inputs = {"recordings": [recordings], "lists": [lists]}
    _run(context, "account", {"dataset": dataset}, inputs, out)


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


CheckpointFolder = Annotated[
    Path, typer.Option(envvar="BAT_CHECKPOINTS", help="Folder for checkpoints.")
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(envvar="BAT_CHECKPOINT_MINUTES", min=0, help="Most minutes between checkpoints."),
]
CheckpointSteps = Annotated[
    int | None,
    typer.Option(envvar="BAT_CHECKPOINT_STEPS", min=1, help="Most steps between checkpoints."),
]
CheckpointsKept = Annotated[
    int, typer.Option(envvar="BAT_CHECKPOINTS_KEPT", min=1, help="Checkpoints that are kept.")
]
MetricsFolder = Annotated[Path, typer.Option(envvar="BAT_METRICS", help="Folder for metrics.")]
Workers = Annotated[
    int, typer.Option(envvar="BAT_WORKERS", min=0, help="Threads that prepare clips, per rank.")
]

NumberOfRanks = Annotated[
    int,
    typer.Option(
        # What SLURM allots to the job, where nothing else is said.
        envvar=["BAT_RANKS", "SLURM_GPUS_ON_NODE"],
        min=1,
        help="Processes that train together, 1 per GPU.",
    ),
]


@app.command()
def pretrain(
    context: typer.Context,
    model: Text,
    group: Text,
    manifest: File,
    out: Out,
    spectrograms: SomeFiles = None,
    pcm: SomeFiles = None,
    checkpoints: CheckpointFolder = Resources.checkpoints,
    checkpoint_minutes: CheckpointMinutes = Resources.checkpoint_minutes,
    checkpoint_steps: CheckpointSteps = Resources.checkpoint_steps,
    checkpoints_kept: CheckpointsKept = Resources.checkpoints_kept,
    metrics: MetricsFolder = Resources.metrics,
    workers: Workers = Resources.workers,
    ranks: NumberOfRanks = 1,
) -> None:
    """Pretrain an encoder on the parts of one group.

    Interrupted by SIGTERM, SIGUSR1 or Ctrl-C it writes a checkpoint and ends with status 75; the
    same command goes on from there. --ranks starts several processes on this machine; on several
    machines torchrun does: torchrun ... -m bat pretrain ...

    Example: bat pretrain --model bat-mini --group early
    --manifest data/manifest/speaker/manifest.parquet
    --spectrograms data/spectrograms/bat/speaker/spectrograms.safetensors
    --out results/pretrain/bat-mini/early
    """
    if ranks > 1 and not under_torchrun() and _is_pretrained(context, model):
        start_log(None)
        end_cleanly()
        from bat.pretraining.launch import launch

        launch(ranks, sys.argv[1:])
        return
    inputs = {"manifest": [manifest], "spectrograms": spectrograms, "pcm": pcm}
    selection = {"model": model, "group": group}
    resources = Resources(
        checkpoints=checkpoints,
        checkpoint_minutes=checkpoint_minutes,
        checkpoint_steps=checkpoint_steps,
        checkpoints_kept=checkpoints_kept,
        metrics=metrics,
        workers=workers,
    )
    _run(context, "pretrain", selection, inputs, out, resources)


def _is_pretrained(context: typer.Context, model: str) -> bool:
    """Tell whether a model is trained here; one that stays as initialised is for one process."""
    settings = _planned(context).params.models.get(model)
    return settings is not None and settings.pretraining is not None


@app.command("weights")
def published_weights(context: typer.Context, weights: Text, out: Out) -> None:
    """Fetch published weights of the catalogue.

    Example: bat weights --weights bat-vit-b16 --out data/source/bat-vit-b16
    """
    _run(context, "weights", {"weights": weights}, {}, out)


@app.command()
def convert(
    context: typer.Context, model: Text, group: Text, out: Out, weights: SomeFiles = None
) -> None:
    """Convert a published checkpoint; a missing or left-over weight is an error.

    Without --weights it is read from the path in the parameters.

    Example: bat convert --model EAT --group as2m --weights data/source/eat-base-epoch30/weights
    --out results/pretrain/EAT/as2m
    """
    selection = {"model": model, "group": group}
    _run(context, "convert", selection, {"weights": weights}, out)


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


@app.command(hidden=True)
def rebuild(
    context: typer.Context,
    record: Annotated[Path, typer.Argument(help="Folder of a record.")],
    out: Out,
    ranks: Annotated[int, typer.Option(min=1, help="Processes that train together.")] = 1,
) -> None:
    """Do again what a record says, from the files that it names, into another folder.

    The record alone says what to do; no parameters are read. See bat audit rerun.

    Example: bat rebuild results/baseline/speaker --out rebuilt
    """
    if ranks > 1 and not under_torchrun():
        start_log(None)
        end_cleanly()
        from bat.pretraining.launch import launch

        launch(ranks, sys.argv[1:])
        return
    _begin(context)
    from bat.provenance.recipe import read_recipe
    from bat.settings import recorded_settings
    from bat.workflow import code_of_job, wanted_digest

    recipe = read_recipe(record)
    settings = recorded_settings(recipe.stage, recipe.settings)
    inputs: dict[str, list[Path]] = {}
    for known in recipe.inputs:
        inputs.setdefault(known.role, []).append(Path(known.path))
    code = code_of_job(recipe.stage, settings)
    wanted = wanted_digest(recipe.stage, recipe.selection, recipe.settings, code)
    _do(recipe.stage, recipe.selection, settings, inputs, out, lambda: wanted)


@app.command()
def conformance(folder: Annotated[Path, typer.Argument(help="Folder of golden vectors.")]) -> None:
    """Compare this installation with vectors of the reference implementation, case by case.

    Example: bat conformance tests/golden
    """
    from bat.conformance.run import print_report

    print_report(folder)


@app.command()
def resampling() -> None:
    """Check that recordings come to 16 kHz as with soxr HQ, on made sounds of 44.1 and 48 kHz.

    Example: bat resampling
    """
    from bat.conformance.resampling import print_report

    print_report()


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
def sources(
    name: Annotated[str | None, typer.Argument(help="Data set or weights; else all.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Ask each address for headers.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print where data sets and weights are published, and whether they still are.

    Example: bat sources audioset --check
    """
    from bat.acquisition.catalogue import read_catalogue
    from bat.acquisition.network import Network
    from bat.acquisition.report import print_contacts, print_sources

    if check:
        network = Network.from_environment()
        print_contacts(read_catalogue(), network, name, as_json=as_json)
    else:
        print_sources(read_catalogue(), name, as_json=as_json)


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

    common = Common.of(context)
    print_plan(common.params, target, start)


@app.command()
def doctor() -> None:
    """Check this machine, its tools and its cluster, and say what to do about each finding.

    Example: bat doctor
    """
    from bat.doctor import print_findings

    print_findings()


Ledgers = Annotated[Path, typer.Option(help="Folder of versions.")]
DEFAULT_LEDGERS = Path("data/ledgers")


@ledger_app.command("versions")
def ledger_versions(
    dataset: Annotated[str, typer.Argument(help="Data set.")], ledgers: Ledgers = DEFAULT_LEDGERS
) -> None:
    """Print the versions of a data set's ledger.

    Example: bat ledger versions audioset
    """
    from bat.data.comparison import print_versions

    print_versions(dataset, ledgers=ledgers)


@ledger_app.command("diff")
def ledger_diff(
    a: Annotated[str, typer.Argument(help="File, or version such as audioset/1.")],
    b: Annotated[str, typer.Argument(help="File, or version; audioset is its newest.")],
    ledgers: Ledgers = DEFAULT_LEDGERS,
    as_json: AsJson = False,
) -> None:
    """Say what differs between two ledgers: exit 0 if nothing, 1 if something, 2 for an error.

    Example: bat ledger diff audioset/1 audioset/2
    """
    from bat.data.comparison import print_differences

    try:
        different = print_differences(a, b, ledgers=ledgers, as_json=as_json)
    except BatError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(int(different))


@ledger_app.command("show")
def ledger_show(
    ledger: Annotated[str, typer.Argument(help="File, or version such as audioset/1.")],
    ledgers: Ledgers = DEFAULT_LEDGERS,
) -> None:
    """Print a ledger's counts by part and status, and the reasons.

    Example: bat ledger show data/pcm/meetings/ledger.parquet
    """
    from bat.data.comparison import print_ledger

    print_ledger(ledger, ledgers=ledgers)


@ledger_app.command("select")
def ledger_select(
    name: Annotated[str, typer.Option(help="Name of the comparison set.")],
    out: Annotated[Path, typer.Option(help="File to write it to.")],
    ledger: SomeFiles = None,
    ids: Annotated[Path | None, typer.Option(help="List of recording ids, one a line.")] = None,
    part: Annotated[list[str] | None, typer.Option(help="Parts to choose from.")] = None,
    how: Annotated[str | None, typer.Option(help="ok, intersection or difference.")] = None,
) -> None:
    """Choose the recordings that count, so that two numbers are of the same ones.

    One ledger gives its usable recordings, several those that all of them have; with difference,
    those that the first has and no other.

    Example: bat ledger select --name both-copies --ledger a/ledger.parquet
    --ledger b/ledger.parquet --part eval --out sets/both-copies.parquet
    """
    from bat.data.selections import print_selection

    print_selection(name=name, out=out, ledgers=ledger or (), ids=ids, parts=part or (), how=how)


@app.command()
def score(
    context: typer.Context,
    heads: File,
    manifest: File,
    tokens: File,
    run: Annotated[str | None, typer.Option(help="One of the heads, as fold/seed.")] = None,
    part: Annotated[list[str] | None, typer.Option(help="Parts; else the test parts.")] = None,
    remap_labels: Annotated[
        bool, typer.Option("--remap-labels", help="Bring classes into order by name.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write the scores to.")] = None,
) -> None:
    """Use trained heads on the cached tokens of another manifest.

    The tokens must come from the encoder that a head was trained on. A head of another order of
    classes is refused, unless --remap-labels is given.

    Example: bat score --heads results/probe/bat-mini/speaker/cgp/all/heads.safetensors
    --manifest data/manifest/speaker/manifest.parquet
    --tokens data/tokens/bat-mini/early/speaker/tokens.safetensors --run meeting-3/0
    """
    common = Common.of(context)
    limit_threads(common.threads)
    from bat.stages.scoring import Question, print_scores

    asked = Question(
        heads=heads, manifest=manifest, tokens=tokens, run=run, parts=part or (), remap=remap_labels
    )
    print_scores(asked, out=out)


@app.command()
def show(table: Annotated[Path, typer.Argument(help="Main table.")]) -> None:
    """Print the main table on the screen, with a sign at cells that others reran.

    Example: bat show results/tables/main.csv
    """
    from bat.audit.marks import signs_of
    from bat.evaluation.display import print_table

    signs, legend = signs_of(table.parent)
    print_table(table, signs=signs, legend=legend)


def main() -> None:
    """Run the command line; a problem the user can mend is one line, not a traceback."""
    try:
        app(prog_name="bat")
    except BatError as error:
        _complain(str(error))
    except OSError as error:
        _complain(_system_problem(error))
    except SystemExit as end:
        if end.code == INTERRUPTED:
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
