"""``bat audit``: the commands of the audit. What they need is imported when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from bat.options import AsJson, Common, Tables

audit_app = typer.Typer(no_args_is_help=True, help="Trace and verify results.")
DEFAULT_TABLES = Path("results/tables")


@audit_app.command("trace")
def trace(
    cell: Annotated[str, typer.Argument(help="model,method,task,metric or the record's id.")],
    tables: Tables = DEFAULT_TABLES,
    verify: Annotated[bool, typer.Option("--verify", help="Rehash every file on the way.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the whole chain behind a number, down to the source archive.

    Example: bat audit trace 'main.csv#bat-mini,cgp,speaker,accuracy' --verify
    """
    from bat.audit.trace import print_trace

    print_trace(cell, tables, verify=verify, as_json=as_json)


@audit_app.command("verify")
def verify(
    context: typer.Context,
    folder: Annotated[
        list[Path] | None, typer.Argument(help="Only records below these; else all results.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Threads that hash; else one per core.")
    ] = None,
    recompute: Annotated[
        bool | None,
        typer.Option(help="Compute cells anew from predictions; else if it takes only seconds."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rehash everything behind the tables and figures; name what is wrong and what depends on it.

    Exit status 1 if there is a problem.

    Example: bat audit verify
    """
    from bat.audit.verification import print_report, verify_experiment, verify_folders

    if folder:
        report = verify_folders(folder, jobs=jobs)
    else:
        from bat.workflow import Plan

        report = verify_experiment(Plan(Common.of(context).params), jobs=jobs, recompute=recompute)
    print_report(report, as_json=as_json)
