"""Certificates: what somebody else found who reran cells on another machine.

A certificate is a text that names the records that were rerun, by the ids that pin their whole
chains, and says how they compared. It counts for a cell while that cell is made of those records,
if it was signed by somebody whose key is known here, and was not made on the author's machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bat.audit.chain import Chain
from bat.audit.head import Head
from bat.audit.outcome import Outcome, RecordOutcome, now, write_once
from bat.audit.rebuild import read_log
from bat.errors import BatError
from bat.evaluation.cells import Cell
from bat.provenance.hashing import canonical_json, digest
from bat.provenance.register import REGISTER
from bat.provenance.signature import Signer, sign, verify_signature

CERTIFICATES = Path("certificates")
ALLOWED_SIGNERS = CERTIFICATES / "allowed_signers"
NAMESPACE = "bat-certificate"
_SIGNATURE = ".sig"


class Certificate(BaseModel):
    """What was rerun, how it compared, where, and by whom.

    Attributes
    ----------
    who, when
        Of the rerun; the name under which the signer's key is known.
    cells
        Names of the cells whose results were rerun.
    head
        Of the register of records: number and hash of its newest entry.
    outcome
        What the rerun found: record by record the hashes and how the environments differ.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    who: str
    when: str
    cells: list[str]
    head: Head | None
    outcome: Outcome

    def text(self) -> str:
        """Return the bytes of the certificate's file as text."""
        return canonical_json(self.model_dump(mode="json"))


def certify(
    cells: Sequence[Cell], outcome: Outcome, *, who: str, out: Path, key: Path | None = None
) -> Certificate:
    """Write a certificate, and beside it its signature where a key is given.

    Raises
    ------
    BatError
        Where the file is there already, or the key cannot be used.
    """
    certificate = Certificate(
        who=who, when=now(), cells=[cell.name for cell in cells], head=_head(), outcome=outcome
    )
    text = certificate.text()
    # First the signature: a certificate without one would have to be made anew.
    signature = None if key is None else sign(text.encode(), key, namespace=NAMESPACE)
    write_once(out, text)
    if signature is not None:
        write_once(_signature_of(out), signature.decode())
    return certificate


def _head() -> Head | None:
    """Return the head of the register of records, where there is one that can be read."""
    if not REGISTER.is_dir():
        return None
    chain = Chain.read(REGISTER)
    return Head.of(chain) if chain.newest in chain.entries else None


def _signature_of(path: Path) -> Path:
    return path.with_name(path.name + _SIGNATURE)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A certificate file, and what was found about it.

    Attributes
    ----------
    certificate
        None where the file is none.
    signed
        Whether its signature is by the key that is known under its name.
    problems
        What is wrong with it: edited, signed by another, of other records.
    counts_for
        Names of today's cells that it makes independently rerun.
    notes
        Why it does not count for others.
    """

    path: Path
    certificate: Certificate | None
    signed: bool
    problems: list[str]
    counts_for: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_certificates(
    cells: Sequence[Cell],
    folder: Path = CERTIFICATES,
    signers: Path = ALLOWED_SIGNERS,
) -> list[Checked]:
    """Read the certificates in a folder and hold them against today's cells.

    Parameters
    ----------
    cells
        Today's cells of the main table.
    signers
        File of the keys that are known here; see ALLOWED SIGNERS in ssh-keygen(1).
    """
    return [_check(path, cells, signers) for path in sorted(folder.glob("*.json"))]


def _check(path: Path, cells: Sequence[Cell], signers: Path) -> Checked:
    try:
        certificate = read_certificate(path)
    except BatError as error:
        return Checked(path=path, certificate=None, signed=False, problems=[str(error)])
    problems, notes, counts_for = [], [], []
    signed = _signature_of(path).is_file()
    if signed:
        try:
            signer = Signer(allowed=signers, identity=certificate.who)
            content = path.read_bytes()
            verify_signature(content, _signature_of(path), signer, namespace=NAMESPACE)
        except BatError as error:
            signed = False
            problems.append(str(error))
    else:
        notes.append("is not signed, so it counts for nothing")
    known = {cell.name: cell for cell in cells}
    for name in certificate.cells:
        if name not in known or not _of_these_records(certificate, known[name]):
            problems.append(f"{name}: is of other records than today's table")
        elif why := _why_not(certificate, known[name]):
            notes.append(f"{name}: {why}")
        elif signed:
            counts_for.append(name)
    return Checked(
        path=path,
        certificate=certificate,
        signed=signed,
        problems=problems,
        counts_for=counts_for,
        notes=notes,
    )


def read_certificate(path: Path) -> Certificate:
    """Read a certificate.

    Raises
    ------
    BatError
        Where it is something else, or was edited without keeping its canonical form.
    """
    content = path.read_bytes()
    try:
        certificate = Certificate.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BatError(f"not a certificate: {key}: {first['msg']}") from None
    if certificate.text().encode() != content:
        raise BatError("was edited: its text is not the canonical text of its content")
    return certificate


def _of_the_cell(certificate: Certificate, cell: Cell) -> list[RecordOutcome]:
    """Return what was found of the results that a cell is made of, in its order."""
    by_folder = {one.folder: one for one in certificate.outcome.records}
    return [by_folder[folder] for folder in cell.folders if folder in by_folder]


def _of_these_records(certificate: Certificate, cell: Cell) -> bool:
    """Tell whether the records that were rerun are those that a cell is made of."""
    ids = [one.record for one in _of_the_cell(certificate, cell)]
    if len(ids) != len(cell.folders) or not ids:
        return False
    return (ids[0] if len(ids) == 1 else digest(ids)).startswith(cell.record)


def _why_not(certificate: Certificate, cell: Cell) -> str | None:
    """Say why a certificate of these records does not make a cell independently rerun."""
    for one in _of_the_cell(certificate, cell):
        if not one.holds:
            return f"did not repeat: {one.folder}: {one.difference or one.because}"
        author, here = _hosts(one)
        if author is None:
            return f"{one.folder}: no run log says where the author's run was"
        if author == here:
            return f"was rerun on the machine of the author's run, {here}"
    return None


def _hosts(one: RecordOutcome) -> tuple[str | None, str | None]:
    """Return the host of the author's run, by the run log here or else by theirs, and theirs."""
    here = one.here.get("host")
    in_certificate = one.environment.get("host", [here])[0]
    return read_log(Path(one.folder)).get("host", in_certificate), here


def print_certificates(checked: Sequence[Checked], cells: Sequence[Cell]) -> None:
    """Print every certificate and what it is worth.

    Raises
    ------
    BatError
        If one was edited, is signed by another than it says, or is of other records.
    """
    for line in _lines(checked):
        print(line)  # noqa: T201
    rerun = {name for one in checked for name in one.counts_for}
    print(  # noqa: T201
        f"{len(checked)} certificates; {len(rerun)} of {len(cells)} cells independently rerun"
    )
    wrong = [f"{one.path}: {problem}" for one in checked for problem in one.problems]
    if wrong:
        raise BatError(f"{len(wrong)} problems with certificates, the first: {wrong[0]}")


def _lines(checked: Sequence[Checked]) -> Iterator[str]:
    for one in checked:
        if one.certificate is None:
            yield f"{one.path}: {'; '.join(one.problems)}"
            continue
        how = "signed" if one.signed else "not signed"
        chain = ", with all behind them" if one.certificate.outcome.chain else ""
        yield (
            f"{one.path}: {one.certificate.who}, {one.certificate.when}, {how}; "
            f"{len(one.certificate.cells)} cells{chain}, counts for {len(one.counts_for)}"
        )
        for line in (*one.problems, *one.notes):
            yield f"  {line}"
