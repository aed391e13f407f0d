"""What the page knows, as it is written into the page.

Thousands of cells share most of what lies behind them. Records, hashes, settings, lists of modules
and environments are therefore there once, in lists, and are referred to by their index in these.
Every number stands beside the record that it was read from.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["identical", "equivalent", "different", "undecided", "not attempted"]
Holding = Literal["holds", "does not hold", "undecided", "not attempted"]
Index = int


class Plain(BaseModel):
    """A part of the page's data."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(Plain):
    """A file that a job wrote; ``sha256`` is an index in the list of hashes."""

    name: str
    bytes: int
    sha256: Index


class Input(Plain):
    """A file that a job read.

    Attributes
    ----------
    sha256, recipe
        Indices in the list of hashes: of the file, and of the maker's recipe as the job saw it.
    record
        Index in the list of records: what lies there now.
    """

    role: str
    path: str
    sha256: Index
    recipe: Index
    record: Index | None


class Run(Plain):
    """When, where and at what cost a job ran; ``environment`` is an index."""

    started: str | None = None
    finished: str | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    peak_memory_children_bytes: int | None = None
    slurm_job_id: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    environment: Index
    notes: dict[str, Any] = {}


class Code(Plain):
    """The modules that a stage imports: the digest of the whole, and indices of modules."""

    digest: Index
    modules: list[Index]


class Record(Plain):
    """One job: its recipe and its run log.

    ``id`` is None and ``problem`` says why where a folder has no recipe that can be read.
    """

    folder: str
    id: Index | None
    stage: str
    selection: dict[str, str] = {}
    settings: Index | None = None
    inputs: list[Input] = []
    outputs: list[Output] = []
    code: Index | None = None
    environment_lock: Index | None = None
    determinism: str = ""
    run: Run | None = None
    problem: str | None = None


class FoldValues(Plain):
    """What the runs of one fold gave, in percent, by seed."""

    fold: str
    seeds: list[int]
    values: list[float]


class Cell(Plain):
    """One number of the main table, in percent.

    Attributes
    ----------
    record
        First digits of the id that the table gives it.
    records
        Indices of the records of its runs.
    claims
        Indices of the claims that were compared with it.
    mark
        Who ran it, in words.
    """

    model: str
    method: str
    task: str
    metric: str
    mean: float
    std: float
    low: float
    high: float
    n_clips: int
    n_folds: int
    n_seeds: int
    comparison_set: str | None
    folds: list[FoldValues]
    record: str
    records: list[Index]
    claims: list[Index]
    mark: str
    independent: bool


class Claim(Plain):
    """A printed value of the paper, and whether it holds here.

    Attributes
    ----------
    printed
        The value as the paper writes it.
    cell
        Index of the cell that it was compared with; None for a cost, or where there is none.
    ours, low, high, margin
        In percent and points, for a cost in its unit.
    """

    id: str
    version: str
    place: str
    model: str
    method: str
    task: str
    metric: str
    value: float
    spread: float | None
    decimals: int
    source: str
    note: str
    printed: str
    verdict: Verdict
    reason: str
    cell: Index | None
    ours: float | None
    low: float | None
    high: float | None
    margin: float | None
    n_seeds: int
    n_folds: int
    n_clips: int
    given: str
    scale: str
    command: str | None


class Finding(Plain):
    """One difference that a statement is about, in points or blocks."""

    what: str
    holding: Holding
    reason: str
    difference: float | None
    low: float | None
    high: float | None
    given: str
    scale: str


class Statement(Plain):
    """What the paper says in words, tested at the scale that was run.

    ``printed`` says whether the paper's own values agree with it.
    """

    id: str
    text: str
    place: str
    holding: Holding
    reason: str
    printed: str
    findings: list[Finding]


class Reason(Plain):
    """Why some recordings are not used, and the first of them."""

    status: str
    reason: str
    rows: int
    first: str


class Ledger(Plain):
    """Counts of a ledger; ``rows`` has a list of counts by status for every part."""

    record: Index
    dataset: str
    statuses: list[str]
    parts: list[str]
    rows: list[list[int]]
    reasons: list[Reason]
    more_reasons: int


class Manifest(Plain):
    """Clips of a task by part."""

    record: Index
    task: str
    parts: list[str]
    clips: list[int]


class Figure(Plain):
    """A figure with the table that it shows.

    ``image`` is a ``data:`` address, or None where the file is too large to be carried along.
    """

    record: Index
    name: str
    bytes: int
    sha256: Index
    image: str | None
    columns: list[str]
    rows: list[list[str]]


class Verification(Plain):
    """Outcome of a verification: what was rehashed, and how many problems were found.

    ``of_this_table`` is false for one that came before the table that is shown.
    """

    what: str
    finished: str | None
    files: int
    bytes: int
    problems: int
    of_this_table: bool
    record: Index


class Problem(Plain):
    """Something that does not fit, found in the records or by the last verification.

    ``cells`` depend on it; None where these are all that were made from the records.
    """

    text: str
    records: list[Index]
    cells: list[Index] | None = None


class PageData(Plain):
    """Everything on the page.

    Attributes
    ----------
    records
        In an order in which inputs come before what was made from them.
    table
        Index of the record of the main table.
    params
        Parameter file of the experiment, where it is not the default one.
    """

    format: Literal[1] = 1
    params: str | None
    table: Index
    confidence: float
    cells: list[Cell]
    claims: list[Claim]
    statements: list[Statement]
    problems: list[Problem]
    verifications: list[Verification]
    ledgers: list[Ledger]
    manifests: list[Manifest]
    figures: list[Figure]
    records: list[Record]
    settings: list[Any]
    environments: list[dict[str, Any]]
    codes: list[Code]
    modules: list[tuple[str, Index]]
    hashes: list[str]
