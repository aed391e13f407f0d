"""Which files a mirror has: from the catalogue, or from the Hub's own listing of a repository.

A repository is listed at one commit, and every address names that commit, so that a file that is
replaced later is not taken for the one that was listed. The Hub knows the size of every file and
the sha256 of every large one; so a repository needs no checksums in the catalogue.
"""

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from bat.acquisition.catalogue import (
    HubMirror,
    Mirror,
    PackageMirror,
    Pattern,
    PublishedDataset,
    PublishedWeights,
    relative_path,
)
from bat.acquisition.network import HUB, Network
from bat.acquisition.remote import RemoteFile
from bat.errors import BatError

HUB_ADDRESS = f"https://{HUB}"
COMMIT = re.compile(r"[0-9a-f]{40}")
# How the Hub's addresses tell kinds of repositories apart.
_PREFIX = {"dataset": "datasets/", "model": ""}
_TOO_MANY, _SERVER_ERRORS = 429, 500
# Loggers of the Hub's client and of what it uses, by version.
_TALKATIVE = ("huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2")

Match = tuple[Pattern, RemoteFile]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What a mirror has.

    Attributes
    ----------
    files : tuple of RemoteFile
        In an order that depends on nothing but their names: lists first, then what has recordings.
    revision : str or None
        The commit of a repository that was listed; None where addresses are fixed.
    """

    files: tuple[RemoteFile, ...]
    revision: str | None


def list_files(
    dataset: PublishedDataset,
    mirror: str | None = None,
    *,
    parts: Collection[str] | None = None,
    revision: str | None = None,
    network: Network,
) -> Listed:
    """List the files of a data set that a mirror has.

    Parameters
    ----------
    dataset : PublishedDataset
    mirror : str, optional
        Name of the mirror; the first by default.
    parts : collection of str, optional
        Parts that are wanted; files of others are left out. All by default.
    revision : str, optional
        Commit, branch or tag of the repository; the catalogue's by default.
    network : Network

    Raises
    ------
    BatError
        If there is no such mirror or part, the repository does not answer, or it has no file for
        a pattern of the catalogue.
    """
    chosen = dataset.mirror(mirror)
    wanted = _known_parts(dataset, parts)
    lists = [file.remote() for file in dataset.lists if _is_wanted(file.part, wanted)]
    files, commit = _files_of(chosen, wanted, revision, network)
    return Listed(files=_in_order([*lists, *files], dataset.name), revision=commit)


def list_weights(
    weights: PublishedWeights,
    mirror: str | None = None,
    *,
    revision: str | None = None,
    network: Network,
) -> Listed:
    """List the file of pretrained weights that a mirror has; see `list_files`.

    Raises
    ------
    BatError
        Also if the mirror's patterns fit more than one file.
    """
    files, commit = _files_of(weights.mirror(mirror), None, revision, network)
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise BatError(f"{weights.name}: expected one file, found {names}; mend the catalogue")
    return Listed(files=tuple(files), revision=commit)


def match_repository(
    mirror: HubMirror, patterns: Sequence[Pattern], revision: str | None, network: Network
) -> tuple[list[Match], str]:
    """Find the files of a repository for some patterns.

    Parameters
    ----------
    mirror : HubMirror
    patterns : sequence of Pattern
        Of the mirror; a file belongs to the first that matches.
    revision : str or None
        Commit, branch or tag; None for the catalogue's, or else the newest.
    network : Network
        Where its mirror is a folder, the repository is what lies there.

    Returns
    -------
    matches : list of (Pattern, RemoteFile)
    revision : str
        The commit that was listed.

    Raises
    ------
    BatError
        See `list_files`.
    """
    revision = revision or mirror.revision
    place = network.locate(HUB_ADDRESS)
    if isinstance(place, Path):
        found, commit = _in_folder(mirror, place, revision)
    else:
        found, commit = _on_hub(mirror, place, revision, network)
    matches = [match for path in sorted(found) if (match := _match(patterns, found[path]))]
    for pattern in patterns:
        if all(pattern is not matched for matched, _ in matches):
            raise BatError(
                f"{mirror.repo} at {commit}: expected files like {pattern.match}, found none; "
                "take another mirror or revision, or mend the catalogue"
            )
    return matches, commit


def _files_of(
    mirror: Mirror, wanted: Collection[str] | None, revision: str | None, network: Network
) -> tuple[list[RemoteFile], str | None]:
    if isinstance(mirror, HubMirror):
        patterns = [p for p in mirror.patterns if _is_wanted(p.part, wanted)]
        matches, commit = match_repository(mirror, patterns, revision, network)
        return [file for _, file in matches], commit
    if isinstance(mirror, PackageMirror):
        raise BatError(
            f"mirror {mirror.name}: {mirror.package} {mirror.version} is fetched by pip; "
            "use a source of kind package-index"
        )
    if revision is not None:
        raise BatError(f"mirror {mirror.name}: its addresses are fixed; leave the revision out")
    return [file.remote() for file in mirror.files if _is_wanted(file.part, wanted)], None


def _known_parts(dataset: PublishedDataset, parts: Collection[str] | None) -> set[str] | None:
    """Check the parts that are wanted; None stands for all."""
    unknown = sorted(set(parts or ()) - set(dataset.parts))
    if unknown:
        known = ", ".join(dataset.parts) or "none"
        raise BatError(f"{dataset.name}: no such part {unknown[0]!r}; known are {known}")
    return None if parts is None else set(parts)


def _is_wanted(part: str | None, wanted: Collection[str] | None) -> bool:
    return part is None or wanted is None or part in wanted


def _in_order(files: Sequence[RemoteFile], name: str) -> tuple[RemoteFile, ...]:
    ordered = sorted(files, key=lambda file: (file.contents != "file", file.name))
    for first, second in pairwise(sorted(file.name for file in files)):
        if first == second:
            raise BatError(f"{name}: two files are called {first}; mend the catalogue")
    return tuple(ordered)


def _match(patterns: Sequence[Pattern], found: RemoteFile) -> Match | None:
    for pattern in patterns:
        if _fits(found.name, pattern.match):
            return pattern, replace(found, contents=pattern.contents, into=pattern.into)
    return None


def _fits(path: str, pattern: str) -> bool:
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def _remote(
    mirror: HubMirror, path: str, revision: str, *, size: int, sha256: str | None = None
) -> RemoteFile:
    """Describe a file of a repository; its path comes from outside and is not trusted."""
    try:
        name = relative_path(path)
    except ValueError as error:
        raise BatError(f"{mirror.repo} at {revision}: {error}") from None
    url = hf_hub_url(
        mirror.repo, name, repo_type=mirror.repo_type, revision=revision, endpoint=HUB_ADDRESS
    )
    return RemoteFile(name=name, urls=(url,), bytes=size, sha256=sha256)


def _in_folder(
    mirror: HubMirror, hub: Path, revision: str | None
) -> tuple[dict[str, RemoteFile], str]:
    """List what lies in a mirror's folder, where the Hub's addresses lead."""
    revisions = hub / f"{_PREFIX[mirror.repo_type]}{mirror.repo}" / "resolve"
    revision = revision or _only_folder(revisions)
    folder = revisions / revision
    if not folder.is_dir():
        raise BatError(
            f"{folder}: expected the files of {mirror.repo} at revision {revision}, "
            "found no such folder"
        )
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    found = {
        name: _remote(mirror, name, revision, size=path.stat().st_size)
        for name, path in paths.items()
        if path.is_file()
    }
    return found, revision


def _only_folder(revisions: Path) -> str:
    names = sorted(path.name for path in revisions.iterdir()) if revisions.is_dir() else []
    if len(names) == 1:
        return names[0]
    raise BatError(
        f"{revisions}: expected the folder of one revision, found {', '.join(names) or 'none'}; "
        "say which revision is wanted"
    )


def _on_hub(
    mirror: HubMirror, endpoint: str, revision: str | None, network: Network
) -> tuple[dict[str, RemoteFile], str]:
    """Resolve a revision to its commit and list the files there."""
    if network.offline:
        raise BatError(
            f"{mirror.repo}: offline, so the repository cannot be listed; give a mirror that is a "
            "folder, or go online once"
        )
    # A mirror is not the Hub: it is shown no token.
    api = HfApi(endpoint=endpoint, token=False if network.mirror else None)
    about: Any = {"repo_id": mirror.repo, "repo_type": mirror.repo_type}
    with _quiet(network.timeout_s), _explained(mirror, revision):
        commit = _patient(network)(
            api.repo_info, **about, revision=revision, timeout=network.timeout_s
        ).sha
        if commit is None or not COMMIT.fullmatch(commit):
            raise ValueError(f"expected a commit, found {commit!r}")
        tree = list(api.list_repo_tree(**about, revision=commit, recursive=True))
    files = [entry for entry in tree if isinstance(entry, RepoFile)]
    found = {
        file.path: _remote(
            mirror,
            file.path,
            commit,
            size=file.size,
            sha256=file.lfs.sha256 if file.lfs else None,
        )
        for file in files
    }
    return found, commit


def _patient(network: Network) -> Retrying:
    """Try again what may be better next time: no answer, too many requests, a server's error."""
    return Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(network.tries),
        wait=wait_random_exponential(network.backoff_s, max=network.maximum_wait_s),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return status == _TOO_MANY or status >= _SERVER_ERRORS
    return isinstance(error, HTTPError)


@contextmanager
def _quiet(timeout_s: float) -> Iterator[None]:
    """Bound every wait of the Hub's client, and keep addresses out of its log.

    The client has no option for either: it waits for ever while it lists a tree, and it writes
    whole addresses, where a mirror's may have a password.
    """

    def bound(request: Any) -> None:
        request.extensions["timeout"] = dict.fromkeys(
            ("connect", "read", "write", "pool"), timeout_s
        )

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    session = get_session()
    hooks = session.event_hooks
    session.event_hooks = {**hooks, "request": [*hooks["request"], bound]}
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        session.event_hooks = hooks
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _explained(mirror: HubMirror, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into one line; the originals hold addresses."""
    what = f"{mirror.repo} on the Hugging Face Hub"
    try:
        yield
    except HfHubHTTPError as error:
        raise BatError(f"{what}: {_refusal(error, mirror, revision)}") from None
    except (HTTPError, OSError) as error:
        raise BatError(
            f"{what}: no answer ({type(error).__name__}); try again later, or give a mirror"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise BatError(
            f"{what}: expected a listing, found something else; is there a login page between, or "
            "a mirror that has files alone?"
        ) from None


def _refusal(error: HfHubHTTPError, mirror: HubMirror, revision: str | None) -> str:
    """Say why the Hub refused, and what to do."""
    page = f"{HUB_ADDRESS}/{_PREFIX[mirror.repo_type]}{mirror.repo}"
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return f"its owners ask for consent; give it at {page}, then log in with: hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return f"no such repository, or a private one; see {page}, or take another mirror"
    if isinstance(error, RevisionNotFoundError):
        return f"no revision {revision or 'main'}; see {page}/commits/main, or take another mirror"
    if status in (401, 403):
        return f"access refused (status {status}); see {page}, then log in with: hf auth login"
    if status == _TOO_MANY:
        return "too many requests (status 429); wait some minutes, or log in with: hf auth login"
    return f"status {status}; try again later, or take another mirror"
