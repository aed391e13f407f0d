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


@audit_app.command("claims")
def claims(
    context: typer.Context,
    tables: Tables = DEFAULT_TABLES,
    verdict: Annotated[
        str | None, typer.Option(help="Show only claims with this verdict, e.g. different.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Of the paper: v1 or v2; else both.")] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file to write the verdicts to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the paper's printed values and statements with the results that are here.

    Example: bat audit claims --verdict identical
    """
    from bat.audit.claims import print_judgement
    from bat.workflow import Plan

    print_judgement(
        Plan(Common.of(context).params),
        tables, version=version, verdict=verdict, as_json=as_json, out=out,
    )  # fmt: skip


@audit_app.command("simulate")
def simulate(
    context: typer.Context,
    trials: Annotated[int, typer.Option(min=100, help="Results drawn for each case.")] = 10_000,
    seeds: Annotated[
        list[int] | None, typer.Option(min=1, help="Seeds of a result; repeat. Else 3, 5 and 10.")
    ] = None,
) -> None:
    """Count how often verdicts are wrong, on made results whose truth is known.

    Example: bat audit simulate --trials 500 --seeds 3
    """
    from bat.paper.simulation import print_rates
    from bat.paper.simulation import simulate as simulated
    from bat.workflow import Plan

    settings = Plan(Common.of(context).params).params.equivalence
    print_rates(simulated(settings, seeds=seeds or [3, 5, 10], trials=trials))
