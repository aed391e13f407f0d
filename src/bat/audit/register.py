"""Whether the register of records is what the jobs wrote, and the records on disk those in it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bat.audit.chain import Chain, Problem
from bat.audit.head import Head, signature_of
from bat.errors import BatError
from bat.provenance.hashing import sha256_of_file
from bat.provenance.lineage import recorded_folders
from bat.provenance.recipe import RECIPE, RUN_LOG, how_to_rebuild, read_recipe
from bat.provenance.register import REGISTER, Entry, folder_in_register
from bat.provenance.signature import Signer, verify_signature

ROOTS = (Path("data"), Path("results"))


@dataclass(frozen=True, kw_only=True)
class RegisterVerification:
    """What was verified of a register, and what was found.

    Attributes
    ----------
    entries
        Number of entries.
    newest
        Head of the register as it is now; None where its last entry cannot be read.
    records
        Number of records on disk.
    gone
        Folders in the register without a record on disk: removed since, or never published because
        the job was cut short. Not a problem by itself.
    head
        The published head that it was compared with.
    signature
        What ssh-keygen said of the head's signature; None where it was not asked or refused it.
    problems
        What does not fit.
    """

    entries: int
    newest: Head | None
    records: int
    gone: list[str]
    head: Head | None
    signature: str | None
    problems: list[Problem]


def verify_register(
    *,
    roots: Iterable[Path] = ROOTS,
    head: Path | None = None,
    signer: Signer | None = None,
    register: Path = REGISTER,
) -> RegisterVerification:
    """Verify the register, the records on disk against it, and it against a published head.

    Records are compared by their own hashes. Whether outputs fit their records is another question:
    `bat.provenance.lineage.print_verification` rehashes them.

    Parameters
    ----------
    roots
        Folders in which records are looked for, relative to the working folder.
    head
        File of a head that was published.
    signer
        Whose signature of the head counts.
    register
        Folder of the register.

    Raises
    ------
    BatError
        Where there is no register, or a file that was asked for is missing or unreadable.
    """
    folders = list(recorded_folders(roots))
    chain = Chain.read(register)
    problems = [*chain.problems(), *_problems_on_disk(folders, register)]
    published = Head.read(head) if head else None
    if published:
        problems += published.problems(chain)
    signature = None
    if signer:
        signature, refused = _verify_signature(head, signer)
        problems += refused
    on_disk = {folder_in_register(folder) for folder in folders}
    return RegisterVerification(
        entries=len(chain.contents),
        newest=Head.of(chain) if chain.newest in chain.entries else None,
        records=len(folders),
        gone=sorted(set(chain.by_folder) - on_disk),
        head=published,
        signature=signature,
        problems=problems,
    )


def print_register_verification(
    *,
    head: Path | None = None,
    signer: Signer | None = None,
    as_json: bool = False,
    register: Path = REGISTER,
) -> None:
    """Verify the register and print the outcome.

    Raises
    ------
    BatError
        With the number of problems, after each was printed; where there is no register.
    """
    found = verify_register(head=head, signer=signer, register=register)
    for line in [_json(found)] if as_json else _lines(found):
        print(line)  # noqa: T201
    if found.problems:
        raise BatError(f"{len(found.problems)} problems, the first: {found.problems[0]}")


def _json(found: RegisterVerification) -> str:
    heads = {
        name: None if value is None else value.model_dump(mode="json")
        for name, value in (("newest", found.newest), ("head", found.head))
    }
    # not asdict of the whole: it would copy the heads as they are
    plain = {"entries": found.entries, "records": found.records, "gone": found.gone}
    problems = [asdict(problem) for problem in found.problems]
    return json.dumps(
        plain | heads | {"signature": found.signature, "problems": problems},
        indent=1,
        ensure_ascii=False,
    )


def _lines(found: RegisterVerification) -> Iterator[str]:
    yield from map(str, found.problems)
    if found.newest:
        yield f"newest: entry {found.newest.number} of {found.newest.recorded.isoformat()}, " + (
            f"sha256 {found.newest.sha256}"
        )
    if found.head:
        yield f"head: entry {found.head.number} of {found.head.recorded.isoformat()}"
    else:
        yield (
            "head: none given; a register that was cut short or made anew as a whole passes without"
        )
    if found.signature:
        yield f"signature: {found.signature}"
    elif found.head:
        yield "signature: not verified"
    yield (
        f"{found.entries} entries, {found.records} records on disk, {len(found.gone)} registered "
        f"folders without a record, {len(found.problems)} problems"
    )


def _verify_signature(head: Path | None, signer: Signer) -> tuple[str | None, list[Problem]]:
    if head is None:
        raise BatError("a signature is one of a published head: give it too, --head FILE")
    try:
        return verify_signature(head.read_bytes(), signature_of(head), signer), []
    except BatError as error:
        return None, [Problem(what=str(error))]


# --- records on disk ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Hashes of a record's two files; None where one is missing."""

    recipe: str | None
    run_log: str | None


def _problems_on_disk(folders: Iterable[Path], register: Path) -> list[Problem]:
    """Compare records with the newest entries of their folders.

    Doubtful ones are looked at twice: a job may have published between two looks. Between a
    record on disk and its entry there is no such moment, for a job removes the old recipe first
    and moves the new one last, with the entry in between.
    """
    doubtful, problems = list(folders), dict[Path, list[Problem]]()
    for _ in range(2):
        looks = {folder: _look(folder) for folder in doubtful}
        chain = Chain.read(register)
        problems = {folder: list(_compare(folder, look, chain)) for folder, look in looks.items()}
        doubtful = [folder for folder in doubtful if problems[folder]]
        if not doubtful:
            break
    return [problem for folder in doubtful for problem in problems[folder]]


def _look(folder: Path) -> _Found:
    return _Found(recipe=_hash(folder / RECIPE), run_log=_hash(folder / RUN_LOG))


def _hash(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except FileNotFoundError:
        return None


def _compare(folder: Path, found: _Found, chain: Chain) -> Iterator[Problem]:
    """Say what does not fit between a record and the newest entry of its folder."""
    name = folder_in_register(folder) or str(folder)
    entry = chain.by_folder.get(name)
    if found.recipe is None:  # taken away meanwhile
        return
    if entry is None:
        yield Problem(
            folder=name,
            what=f"its record is not in the register: no job of this folder wrote it; "
            f"{how_to_rebuild(folder / RECIPE)}",
        )
        return
    if found.recipe != entry.recipe:
        yield Problem(folder=name, entry=entry.number, what=_other_recipe(found, entry, chain))
    elif found.run_log != entry.run_log:
        how = "is missing" if found.run_log is None else "was edited, or is of another run"
        yield Problem(folder=name, entry=entry.number, what=f"{RUN_LOG} {how}")
    else:
        for what in _disagreements(folder, entry, chain):
            yield Problem(folder=name, entry=entry.number, what=what)


def _other_recipe(found: _Found, newest: Entry, chain: Chain) -> str:
    for number, entry in chain.entries.items():
        if (entry.folder, entry.recipe) == (newest.folder, found.recipe):
            return f"the record of entry {number} lies there instead: an older one was put back"
    return f"{RECIPE} is not the one registered: edited, or not written by a job of this folder"


def _disagreements(folder: Path, entry: Entry, chain: Chain) -> Iterator[str]:
    """Say where an entry that names a record by its hashes contradicts it all the same."""
    try:
        recipe = read_recipe(folder)
        run = json.loads((folder / RUN_LOG).read_bytes())
        started, finished = (datetime.fromisoformat(run[key]) for key in ("started", "finished"))
        in_order = started <= finished <= entry.recorded
    except BatError as error:
        yield str(error)
        return
    except (OSError, ValueError, KeyError, TypeError):  # also: times without a zone
        yield f"{RUN_LOG} is not a run log"
        return
    if recipe.stage != entry.stage:
        yield f"is of stage {entry.stage}, its record of stage {recipe.stage}"
    if run["recipe"] != entry.recipe:
        yield f"{RUN_LOG} is of another recipe"
    if not in_order:
        yield (
            f"back-dated: recorded at {entry.recorded.isoformat()}, of a job from "
            f"{started.isoformat()} to {finished.isoformat()}"
        )
    for known in recipe.inputs:
        if chain.first_of_recipe.get(known.recipe, 0) > entry.number:
            yield f"reordered: its input {known.path} was registered after it"
