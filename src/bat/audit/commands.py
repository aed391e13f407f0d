"""``bat audit``: the commands of the audit. What they need is imported when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from bat.errors import BatError
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


@audit_app.command("verify-ledger")
def verify_ledger(
    head: Annotated[Path | None, typer.Option(help="File of a published head.")] = None,
    signers: Annotated[
        Path | None, typer.Option(help="Keys by name, as ssh-keygen has them (allowed signers).")
    ] = None,
    identity: Annotated[str | None, typer.Option(help="Name of whoever signed the head.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the register of records: edited, deleted, moved, back-dated or re-signed entries.

    It also compares the records on disk with their entries. Whether outputs fit their records is
    for bat audit verify.

    Example: bat audit verify-ledger --head head.json --signers signers --identity me@example.org
    """
    from bat.audit.register import print_register_verification
    from bat.provenance.signature import Signer

    if (signers is None) != (identity is None):
        raise BatError("whose signature counts takes both: --signers FILE --identity NAME")
    signer = Signer(allowed=signers, identity=identity) if signers and identity else None
    print_register_verification(head=head, signer=signer, as_json=as_json)


@audit_app.command("publish-head")
def publish_head(
    out: Annotated[Path, typer.Option(help="File to write the head to.")],
    key: Annotated[
        Path | None, typer.Option(help="SSH key to sign with; a public one, if an agent holds it.")
    ] = None,
) -> None:
    """Write down where the register of records ends, to publish it where nobody can change it.

    Example: bat audit publish-head --out head.json --key ~/.ssh/id_ed25519
    """
    from bat.audit.head import publish_head as publish

    publish(out, key=key.expanduser() if key else None)
