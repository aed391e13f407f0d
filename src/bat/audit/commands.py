"""``bat audit``: the commands of the audit. What they need is imported when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from bat.options import Common, Tables
from bat.runtime import limit_threads, start_log

audit_app = typer.Typer(no_args_is_help=True, help="Trace and verify results.")
DEFAULT_TABLES = Path("results/tables")


@audit_app.command("trace")
def trace(
    cell: Annotated[str, typer.Argument(help="model,method,task,metric or the record's id.")],
    tables: Tables = DEFAULT_TABLES,
    verify: Annotated[bool, typer.Option("--verify", help="Rehash every file on the way.")] = False,
) -> None:
    """Print the whole chain behind a number, down to the source archive.

    Example: bat audit trace 'main.csv#bat-mini,cgp,speaker,accuracy' --verify
    """
    from bat.audit.trace import print_trace

    print_trace(cell, tables, verify=verify)


@audit_app.command("verify")
def verify(
    folder: Annotated[list[Path] | None, typer.Argument(help="Folders to verify.")] = None,
) -> None:
    """Rehash everything that a recipe describes, and name what does not match.

    Example: bat audit verify results data
    """
    from bat.provenance.lineage import print_verification

    print_verification(folder or [Path("data"), Path("results")])


Page = Annotated[Path, typer.Option(help="File of the page.")]


@audit_app.command("page")
def page(context: typer.Context, out: Page = Path("results/audit/index.html")) -> None:
    """Make the audit page: every number with its lineage, in one file that needs no network.

    A view of the records as they are; make it anew at any time.

    Example: bat audit page
    """
    common = Common.of(context)
    limit_threads(common.threads)
    start_log(common.log)
    from bat.audit.page.command import write_page

    write_page(out, params=common.params)
