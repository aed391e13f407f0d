"""``bat audit``: the commands of the audit. What they need is imported when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from bat.errors import BatError
from bat.options import AsJson, Tables

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
