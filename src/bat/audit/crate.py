"""A crate of the run: records and files that others can read, validate and rerun without us.

It conforms to the Provenance Run Crate profile 0.5 (https://w3id.org/ro/wfrun/provenance/0.5) and
lies out its files as the working folder does, so that jobs can be done again in it.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from bat.audit.crate_graph import METADATA, README, RunCrate
from bat.audit.crate_jobs import WORKFLOW
from bat.audit.outcome import Outcome, write_once
from bat.audit.rebuild import Record, chain_of, read_record
from bat.audit.rerun import Request, rerun
from bat.audit.trace import find_cell, todays_cells
from bat.errors import BatError
from bat.evaluation.cells import Cell
from bat.progress import track
from bat.provenance.hashing import canonical_json, sha256_of_file
from bat.provenance.recipe import RECIPE, RUN_LOG, OutputFile, verify_file

_REPOSITORY = Path(__file__).resolve().parents[3]
_OF_THE_PROJECT = ("Snakefile", "workflow/rules/*.smk", "requirements.lock", "LICENSE")
# As pyproject.toml says.
_LICENCE = "MIT"
_TABLES = Path("results/tables")
_README = """# A run of BAT, job by job

Every folder below data and results is what one job wrote. `recipe.json` in it says what determined
the outputs, with the hash of every input and output; `run.json` says when and where the job ran.
`ro-crate-metadata.json` says the same of all of them as a Provenance Run Crate.

With BAT installed at the commit that the run logs name, jobs are done again and compared with:

    bat audit rerun-crate .
"""


def write_crate(
    out: Path,
    *,
    tables: Path = _TABLES,
    cells: Sequence[str] = (),
    with_data: bool = False,
    agent: str | None = None,
) -> dict[str, Any]:
    """Write a crate of the run; its metadata come last.

    Parameters
    ----------
    out
        A new folder.
    tables
        Folder of the main table.
    cells
        Cells to write, with everything behind them; all, and the figures, where none is named.
    with_data
        Whether to include what lies below ``data``, so that jobs can be done again.
    agent
        Who ran the jobs, where it is to be said.

    Raises
    ------
    BatError
        If the folder is not empty, a file does not match its record, or a record was made from
        another version of its input.
    """
    if out.exists() and any(out.iterdir()):
        raise BatError(f"{out}: is not empty; a crate is written to a new folder")
    records = _records(tables, cells)
    included = {path: record for path, record in _files(records) if with_data or _is_result(path)}
    for path, record in track(included.items(), "copying"):
        _copy(path, record, out / path)
    project = list(_project_files(records))
    for path, _ in project:
        _copy_file(_REPOSITORY / path, out / path)
    write_once(out / README, _README)
    project.append((Path(README), _found(out / README)))
    described = [(path, _found(out / path)) for path in included if path.name in (RECIPE, RUN_LOG)]
    crate = RunCrate(
        records,
        {*included, *(path for path, _ in project)},
        licence=_LICENCE,
        agent=agent,
    )
    document = crate.document([*project, *described])
    write_once(out / METADATA, canonical_json(document))
    return document


def _records(tables: Path, cells: Sequence[str]) -> dict[Path, Record]:
    """Return the records of a crate, each after those that made its inputs."""
    if cells:
        results = [Path(f) for cell in cells for f in find_cell(cell, tables).folders]
        folders = [*chain_of(results, Path()), tables]
    else:
        todays_cells(tables)  # refuses a table that is not there, or changed
        figures = tables.with_name("figures")
        made = [figures, tables] if (figures / RECIPE).is_file() else [tables]
        folders = list(chain_of(made, Path()))
    records = {folder: read_record(folder, Path()) for folder in folders}
    for folder, record in records.items():
        if not {"started", "finished"} <= set(record.log):
            raise BatError(f"{folder / RUN_LOG}: missing or damaged; nothing else says when it ran")
    return records


def _files(records: Mapping[Path, Record]) -> Iterator[tuple[Path, Record]]:
    for folder, record in records.items():
        names = [output.name for output in record.recipe.outputs] + [RECIPE]
        names += [RUN_LOG] if (folder / RUN_LOG).is_file() else []
        yield from ((folder / name, record) for name in names)


def _is_result(path: Path) -> bool:
    return path.parts[0] == "results" or path.name in (RECIPE, RUN_LOG)


def _copy(path: Path, record: Record, place: Path) -> None:
    """Copy a file and make sure that the copy is what the record says."""
    _copy_file(path, place)
    output = record.recipe.output(path.name)
    if output is not None and sha256_of_file(place) != output.sha256:
        verify_file(path, record.recipe)  # says what is wrong with the original
        raise BatError(f"{path}: changed while it was copied; write the crate again")


def _copy_file(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)


def _project_files(records: Mapping[Path, Record]) -> Iterator[tuple[Path, OutputFile]]:
    """Yield the workflow, and the lock file where it is the one on record."""
    if not (_REPOSITORY / WORKFLOW).is_file():
        raise BatError(f"{_REPOSITORY / WORKFLOW}: not there; run bat from its repository")
    locks = {record.recipe.environment_lock for record in records.values()}
    for pattern in _OF_THE_PROJECT:
        for path in sorted(_REPOSITORY.glob(pattern)):
            found = _found(path)
            if path.suffix != ".lock" or locks == {found.sha256}:
                yield path.relative_to(_REPOSITORY), found


def _found(path: Path) -> OutputFile:
    return OutputFile(name=path.name, sha256=sha256_of_file(path), bytes=path.stat().st_size)


# The way back


def verify_crate(crate: Path) -> set[Path]:
    """Compare every file in a crate with what its metadata say; return their paths.

    Raises
    ------
    BatError
        Naming the first file that is missing, altered or outside of the crate.
    """
    verified = set()
    for entity in track([one for one in _graph(crate) if _is_file_here(one)], "verifying"):
        name = PurePosixPath(unquote(str(entity["@id"])))
        if name.is_absolute() or ".." in name.parts:
            raise BatError(f"{crate}: {name}: leads out of the crate")
        path = crate / name
        if not path.is_file():
            raise BatError(f"{path}: is missing from the crate")
        expected, found = entity.get("sha256"), sha256_of_file(path)
        if found != expected:
            raise BatError(f"{path}: altered: expected sha256 {expected}, found {found}")
        verified.add(Path(name))
    return verified


def _graph(crate: Path) -> list[dict[str, Any]]:
    path = crate / METADATA
    if not path.is_file():
        raise BatError(f"{path}: not there; {crate} is no crate")
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))["@graph"]
        return [dict(entity) for entity in graph]
    except (ValueError, TypeError, KeyError) as error:
        raise BatError(f"{path}: not the metadata of a crate: {error}") from None


def _is_file_here(entity: Mapping[str, Any]) -> bool:
    kinds = entity.get("@type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return "File" in kinds and ":" not in str(entity.get("@id"))


def rerun_crate(crate: Path, cells: Sequence[str], request: Request) -> Outcome:
    """Do jobs again from a crate alone, and compare with the hashes in it.

    Parameters
    ----------
    cells
        Cells of the crate's table; all where none is named.
    request
        How; its working folder is the crate.

    Raises
    ------
    BatError
        If a file of the crate is not what the metadata say, a recipe does not stand in them, or an
        input is neither in the crate nor rebuilt.
    """
    verified = verify_crate(crate)
    chosen = _cells(crate, cells)
    folders = list(dict.fromkeys(Path(folder) for cell in chosen for folder in cell.folders))
    for folder in chain_of(folders, crate):
        if folder / RECIPE not in verified:
            raise BatError(f"{crate / folder / RECIPE}: does not stand in the crate's metadata")
    return rerun("; ".join(cell.name for cell in chosen), folders, request)


def _cells(crate: Path, cells: Sequence[str]) -> list[Cell]:
    tables = crate / _TABLES
    if cells:
        return [find_cell(cell, tables) for cell in cells]
    here = [
        c for c in todays_cells(tables) if all((crate / f / RECIPE).is_file() for f in c.folders)
    ]
    if not here:
        raise BatError(f"{crate}: holds the records of no cell")
    return here
