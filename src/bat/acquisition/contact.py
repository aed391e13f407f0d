"""Ask the addresses of the catalogue whether they answer, without fetching anything."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from bat.acquisition.catalogue import (
    HubMirror,
    Mirror,
    PackageMirror,
    Published,
    PublishedDataset,
    own_files,
)
from bat.acquisition.listing import match_repository
from bat.acquisition.network import Network, public
from bat.acquisition.remote import RemoteFile
from bat.errors import BatError

_HEAD_NOT_OFFERED = (405, 501)


@dataclass(frozen=True, kw_only=True)
class Contact:
    """What came back from an address.

    Attributes
    ----------
    entry, mirror : str
        Data set or weights, and which mirror of it; "lists" for what all mirrors need.
    file : str
    address : str
        Without what may be secret in it.
    status : str
        "200" and the like, "here" for a file of a mirror's folder, or why there is none.
    expected_bytes, found_bytes : int or None
        Sizes, as far as they are known or said.
    ranges : bool or None
        Whether an interrupted download can be continued; None where it is not said.
    reachable : bool
    """

    entry: str
    mirror: str
    file: str
    address: str
    status: str
    expected_bytes: int | None = None
    found_bytes: int | None = None
    ranges: bool | None = None
    reachable: bool

    @property
    def size_agrees(self) -> bool | None:
        """Whether the size is the one expected; None where one of them is not known."""
        if self.expected_bytes is None or self.found_bytes is None:
            return None
        return self.expected_bytes == self.found_bytes

    @property
    def good(self) -> bool:
        """Whether the address answers, and nothing contradicts the catalogue."""
        return self.reachable and self.size_agrees is not False


Ask = Callable[[], Contact]


def contact_all(entries: Sequence[Published], network: Network) -> list[Contact]:
    """Ask every address of some entries for its headers, a few at a time.

    Of a repository, its listing is asked for, and one file of each pattern; packages are left to
    pip and not asked for.

    Parameters
    ----------
    entries : sequence of PublishedDataset or PublishedWeights
    network : Network

    Returns
    -------
    list of Contact
        In the order of the catalogue.
    """
    network = replace(network, tries=1)  # this asks how things are, now
    with ThreadPoolExecutor(network.connections) as pool:
        asked = [pool.submit(ask) for entry in entries for ask in _questions(entry, network)]
        return [question.result() for question in asked]


def _questions(entry: Published, network: Network) -> list[Ask]:
    lists = entry.lists if isinstance(entry, PublishedDataset) else []
    questions = [
        _question(entry.name, "lists", file.remote(), url, network)
        for file in lists
        for url in file.urls
    ]
    for mirror in entry.mirrors:
        questions += _questions_of(entry.name, mirror, network)
    return questions


def _questions_of(entry: str, mirror: Mirror, network: Network) -> list[Ask]:
    if isinstance(mirror, PackageMirror):
        return []
    if isinstance(mirror, HubMirror):
        try:
            files = _one_of_each_pattern(mirror, network)
        except BatError as error:
            return [_failure(entry, mirror, str(error))]
    else:
        files = [file.remote() for file in own_files(mirror)]
    return [
        _question(entry, mirror.name, file, url, network) for file in files for url in file.urls
    ]


def _one_of_each_pattern(mirror: HubMirror, network: Network) -> list[RemoteFile]:
    """Take the first file of each pattern: an archive stands for hundreds of its like."""
    matches, _ = match_repository(mirror, mirror.patterns, None, network)
    first: dict[str, RemoteFile] = {}
    for pattern, file in matches:
        first.setdefault(pattern.match, file)
    return list(first.values())


def _failure(entry: str, mirror: HubMirror, problem: str) -> Ask:
    contact = Contact(
        entry=entry,
        mirror=mirror.name,
        file=", ".join(pattern.match for pattern in mirror.patterns),
        address=mirror.repo,
        status=problem,
        reachable=False,
    )
    return lambda: contact


def _question(entry: str, mirror: str, file: RemoteFile, url: str, network: Network) -> Ask:
    def ask() -> Contact:
        place = network.locate(url)
        answer = _look(place) if isinstance(place, Path) else _head(place, network)
        return Contact(
            entry=entry,
            mirror=mirror,
            file=file.name,
            address=str(place) if isinstance(place, Path) else public(place),
            status=answer.status,
            expected_bytes=file.bytes,
            found_bytes=answer.bytes,
            ranges=answer.ranges,
            reachable=answer.reachable,
        )

    return ask


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: str
    bytes: int | None = None
    ranges: bool | None = None
    reachable: bool


def _look(path: Path) -> _Answer:
    if not path.is_file():
        return _Answer(status="no such file", reachable=False)
    return _Answer(status="here", bytes=path.stat().st_size, ranges=True, reachable=True)


def _head(url: str, network: Network) -> _Answer:
    if network.offline:
        return _Answer(status="offline: not asked", reachable=False)
    try:
        with network.session() as session:
            return _answer(_headers(session, url, network.timeout_s))
    except requests.RequestException as error:
        return _Answer(status=f"no answer ({type(error).__name__})", reachable=False)


def _headers(session: requests.Session, url: str, timeout_s: float) -> requests.Response:
    """Ask for the headers alone; a server that does not offer that is asked for the file."""
    response = session.head(url, timeout=timeout_s, allow_redirects=True)
    if response.status_code in _HEAD_NOT_OFFERED:
        response = session.get(url, timeout=timeout_s, stream=True)
        response.close()
    return response


def _answer(response: requests.Response) -> _Answer:
    length = response.headers.get("Content-Length", "")
    ranges = response.headers.get("Accept-Ranges")
    return _Answer(
        status=str(response.status_code),
        bytes=int(length) if response.ok and length.isdecimal() else None,
        ranges=None if ranges is None else "bytes" in ranges,
        reachable=response.ok,
    )
