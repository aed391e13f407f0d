"""The head of the register: its newest entry's hash, to be published where it cannot be changed.

Whoever holds the register can make all of it anew, or cut off its end. What they cannot do is to
make another register that contains a head which is already in a paper, a tag or somebody's mail.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bat.audit.chain import Chain, Problem
from bat.durable import flush
from bat.errors import BatError
from bat.provenance.hashing import canonical_json
from bat.provenance.register import REGISTER, Sha256
from bat.provenance.signature import sign


class Head(BaseModel):
    """An entry of the register, and through it all before.

    Attributes
    ----------
    format
        Version of this description.
    number
        Number of the entry.
    sha256
        SHA-256 of its bytes.
    recorded
        Its time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    number: int = Field(ge=1)
    sha256: Sha256
    recorded: AwareDatetime

    @classmethod
    def of(cls, chain: Chain) -> Self:
        """Return the head of a register as it is now."""
        number = chain.newest
        recorded = chain.entries[number].recorded
        return cls(number=number, sha256=chain.sha256(number), recorded=recorded)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a published head.

        Raises
        ------
        BatError
            Where it is not there, or not a head.
        """
        if not path.is_file():
            raise BatError(f"{path}: no such file; make one: bat audit publish-head --out {path}")
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise BatError(f"{path}: not a head: {' '.join(str(error).split())}") from None

    def text(self) -> str:
        """Return the bytes of its file as text."""
        return canonical_json(self.model_dump(mode="json"))

    def problems(self, chain: Chain) -> Iterator[Problem]:
        """Find out why a register, which may have grown since, is not the one of this head."""
        if self.number > chain.newest:
            what = f"was published as the head; the register was cut short, to {chain.newest}"
        elif self.number not in chain.entries:
            return  # as such a problem already
        elif chain.sha256(self.number) != self.sha256:
            what = "is not the one published as the head: the register was made anew or edited"
        elif chain.entries[self.number].recorded != self.recorded:
            what = "is of another time than the head says"
        else:
            return
        yield Problem(entry=self.number, what=what)


def signature_of(path: Path) -> Path:
    """Return where the signature of a head lies."""
    return path.with_name(path.name + ".sig")


def publish_head(out: Path, *, key: Path | None = None, register: Path = REGISTER) -> None:
    """Write the head of the register to a file, signed where a key is given, and print it.

    Parameters
    ----------
    out
        Where to; the signature lies beside it, named ``.sig``.
    key
        SSH key to sign with.
    register
        Folder of the register.

    Raises
    ------
    BatError
        Where the register has problems, lacks the head that was published there before, or where
        the key cannot be used. Nothing is written then.
    """
    chain = Chain.read(register)
    problems = chain.problems()
    if out.exists():
        problems += Head.read(out).problems(chain)
    if problems:
        raise BatError(
            f"{register}: {len(problems)} problems, the first: {problems[0]}; a head is published "
            "of a whole register only"
        )
    head = Head.of(chain)
    content = head.text().encode()
    signature = sign(content, key) if key else None
    signature_of(out).unlink(missing_ok=True)
    _write(out, content)
    if signature:
        _write(signature_of(out), signature)
    print(f"entry {head.number} of {head.recorded.isoformat()}")  # noqa: T201
    print(f"sha256 {head.sha256}")  # noqa: T201
    signed = f", signed in {signature_of(out)}" if signature else ""
    print(f"written to {out}{signed}; now put it where nobody can change it")  # noqa: T201


def _write(path: Path, content: bytes) -> None:
    """Write a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".partial")
    try:
        draft.write_bytes(content)
        flush(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
