"""``bat audit``: the commands of the audit. What they need is imported when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from bat.errors import BatError
from bat.options import AsJson, Common, Tables
from bat.runtime import limit_threads, start_log

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

    Exit status 1 if there is a problem. The outcome is kept in results/audit/verification.json, for
    the audit page.

    Example: bat audit verify
    """
    from bat.audit.verification import keep, print_report, verify_experiment, verify_folders

    if folder:
        report = verify_folders(folder, jobs=jobs)
    else:
        from bat.workflow import Plan

        report = verify_experiment(Plan(Common.of(context).params), jobs=jobs, recompute=recompute)
        keep(report)
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


Chain = Annotated[bool, typer.Option("--chain", help="Everything behind it too.")]
WithThisCode = Annotated[
    bool,
    typer.Option("--with-this-code", help="Although code or packages are others now."),
]
Fetch = Annotated[bool, typer.Option("--fetch", help="Also what came from the net or the user.")]
Scratch = Annotated[Path | None, typer.Option(help="Where to rebuild.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave what was rebuilt there.")]
Times = Annotated[int, typer.Option(min=1, help="Rebuilds, which must repeat one another.")]


@audit_app.command("rerun")
def rerun(
    asked: Annotated[str, typer.Argument(help="Cell, stage, or folder of a record.")],
    times: Times = 1,
    chain: Chain = False,
    with_this_code: WithThisCode = False,
    fetch: Fetch = False,
    scratch: Scratch = None,
    keep: Keep = False,
    tables: Tables = DEFAULT_TABLES,
) -> None:
    """Do recorded jobs again, from verified inputs, and compare with what is on record.

    Example: bat audit rerun 'bat-mini,cgp,speaker,accuracy' --times 2
    """
    from bat.audit.outcome import store
    from bat.audit.rerun import Request, folders_of, report, rerun

    request = Request(
        times=times,
        chain=chain,
        with_this_code=with_this_code,
        fetch=fetch,
        scratch=scratch,
        keep=keep,
    )
    outcome = rerun(asked, folders_of(asked, tables), request)
    print(f"kept as {store(outcome)}")  # noqa: T201
    report(outcome)


@audit_app.command("certify")
def certify(
    cells: Annotated[list[str], typer.Option("--cells", help="Cell; repeat the option for more.")],
    out: Annotated[Path, typer.Option(help="File to write the certificate to.")],
    name: Annotated[str, typer.Option(help="Who you are, as your key is known by.")],
    key: Annotated[Path | None, typer.Option(help="SSH key to sign with.")] = None,
    times: Times = 1,
    chain: Chain = False,
    with_this_code: WithThisCode = False,
    fetch: Fetch = False,
    scratch: Scratch = None,
    tables: Tables = DEFAULT_TABLES,
) -> None:
    """Rerun cells on this machine and certify how they compared.

    Example: bat audit certify --cells bat-mini,cgp,speaker,accuracy --name me@example.org
    --key ~/.ssh/id_ed25519 --out certificates/me.json
    """
    from bat.audit.certificates import certify
    from bat.audit.rerun import Request, report, rerun
    from bat.audit.trace import find_cell

    if out.exists():
        raise BatError(f"{out}: is there already; nothing is overwritten")
    found = [find_cell(cell, tables) for cell in cells]
    folders = list(dict.fromkeys(Path(folder) for cell in found for folder in cell.folders))
    request = Request(
        times=times, chain=chain, with_this_code=with_this_code, fetch=fetch, scratch=scratch
    )
    outcome = rerun("; ".join(cell.name for cell in found), folders, request)
    certify(found, outcome, who=name, out=out, key=key)
    print(f"{out}: certificate of {len(outcome.records)} records")  # noqa: T201
    report(outcome)


Folder = Annotated[Path, typer.Option(help="Folder of certificates.")]
Signers = Annotated[Path, typer.Option(help="Keys that are known here, one a line.")]


@audit_app.command("certificates")
def certificates(
    folder: Folder = Path("certificates"),
    signers: Signers = Path("certificates/allowed_signers"),
    tables: Tables = DEFAULT_TABLES,
) -> None:
    """List the certificates, check them, and say for which cells they count.

    Example: bat audit certificates
    """
    from bat.audit.certificates import check_certificates, print_certificates
    from bat.audit.trace import todays_cells

    cells = todays_cells(tables)
    print_certificates(check_certificates(cells, folder, signers), cells)


SomeCells = Annotated[
    list[str] | None, typer.Option("--cells", help="Cell; repeat the option for more. Else all.")
]


@audit_app.command("crate")
def crate(
    out: Annotated[Path, typer.Option(help="New folder for the crate.")],
    cells: SomeCells = None,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Include what jobs need to be done again.")
    ] = False,
    agent: Annotated[str | None, typer.Option(help="Who ran the jobs.")] = None,
    tables: Tables = DEFAULT_TABLES,
) -> None:
    """Write the run as an RO-Crate (Provenance Run Crate 0.5), from the records of its jobs.

    Example: bat audit crate --out crate --with-data
    """
    from bat.audit.crate import verify_crate, write_crate

    document = write_crate(out, tables=tables, cells=cells or (), with_data=with_data, agent=agent)
    print(f"{out}: {len(verify_crate(out))} files, {len(document['@graph'])} entities")  # noqa: T201


@audit_app.command("rerun-crate")
def rerun_crate(
    crate: Annotated[Path, typer.Argument(help="Folder of a crate.")],
    cells: SomeCells = None,
    times: Times = 1,
    chain: Chain = False,
    with_this_code: WithThisCode = False,
    fetch: Fetch = False,
    scratch: Scratch = Path(),
    keep: Keep = False,
    out: Annotated[Path | None, typer.Option(help="File to write the outcome to.")] = None,
) -> None:
    """Do jobs again from a crate alone, and compare with the hashes in it.

    Example: bat audit rerun-crate crate --cells bat-mini,cgp,speaker,accuracy
    """
    from bat.audit.crate import rerun_crate
    from bat.audit.outcome import write_once
    from bat.audit.rerun import Request, report
    from bat.provenance.hashing import canonical_json

    request = Request(
        times=times,
        chain=chain,
        with_this_code=with_this_code,
        fetch=fetch,
        scratch=scratch,
        keep=keep,
        base=crate,
    )
    outcome = rerun_crate(crate, cells or (), request)
    if out is not None:
        write_once(out, canonical_json(outcome.model_dump(mode="json")))
    report(outcome)


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
