"""How published files are reached: what a machine's connection allows, and where its mirror is.

These are resources, like threads and memory: they change how long a download takes and where it
comes from, never what it brings. So they come from options and the environment, not from the
parameters.
"""

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from huggingface_hub import get_token

from bat import __version__
from bat.errors import BatError

HUB = "huggingface.co"
_REDIRECTS_AT_MOST = 10
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a machine's connection allows.

    Attributes
    ----------
    mirror : str or None
        A folder, or an address to which paths can be added. With it, what is published at
        ``https://HOST/PATH`` is taken from ``<mirror>/HOST/PATH``, and nothing else is asked.
    offline : bool
        Use only what is already there: complete files, or a mirror that is a folder.
    connections : int
        Files that are downloaded at a time.
    timeout_s : float
        How long to wait for a connection, and for the next bytes.
    tries : int
        Tries in a row that bring nothing, after which an address is given up.
    backoff_s, maximum_wait_s : float
        Upper bound of the wait after the first such try, doubled with every further one; and what
        no wait exceeds, not even one that a server asks for.

    Raises
    ------
    BatError
        If a value makes no sense, or the mirror is neither a folder nor an address.
    """

    mirror: str | None = field(default=None, repr=False)
    offline: bool = False
    connections: int = 4
    timeout_s: float = 60.0
    tries: int = 8
    backoff_s: float = 1.0
    maximum_wait_s: float = 300.0

    def __post_init__(self) -> None:
        _check("connections", self.connections, self.connections >= 1, "at least 1")
        _check("tries", self.tries, self.tries >= 1, "at least 1")
        _check("timeout_s", self.timeout_s, self.timeout_s > 0, "more than 0 s")
        _check("backoff_s", self.backoff_s, self.backoff_s >= 0, "0 s or more")
        _check("maximum_wait_s", self.maximum_wait_s, self.maximum_wait_s >= 0, "0 s or more")
        if self.mirror is not None:
            _check_mirror(self.mirror)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read ``BAT_MIRROR``, ``BAT_OFFLINE``, ``BAT_CONNECTIONS``, ``BAT_TIMEOUT_S`` and so on.

        Parameters
        ----------
        environment
            The process's own, unless told otherwise. An empty variable counts as absent.

        Raises
        ------
        BatError
            Naming the variable, what was expected and what was found.
        """
        found = os.environ if environment is None else environment
        values = {
            entry.name: _read(_variable(entry.name), found[_variable(entry.name)], entry.name)
            for entry in fields(cls)
            if found.get(_variable(entry.name))
        }
        return cls(**values)

    @property
    def folder(self) -> Path | None:
        """The mirror, where it is a folder."""
        if self.mirror is None or _is_address(self.mirror):
            return None
        return Path(self.mirror).expanduser()

    def locate(self, url: str) -> str | Path:
        """Say where to get what is published at an address.

        Parameters
        ----------
        url : str
            ``https://HOST/PATH``, perhaps with a query.

        Returns
        -------
        str or Path
            The address itself; or the mirror's, with the query; or the mirror's file, without it.
            A file is named by the decoded path, save that a slash stays ``%2F``.

        Raises
        ------
        BatError
            If this is no address, or its path has a part ``.`` or ``..``.
        """
        parts = _split(url)
        if self.mirror is None:
            return url
        if self.folder is None:
            query = f"?{parts.query}" if parts.query else ""
            return f"{self.mirror.rstrip('/')}/{_host(parts)}{parts.path}{query}"
        names = [unquote(name).replace("/", "%2F") for name in parts.path.split("/") if name]
        return self.folder.joinpath(_host(parts), *names)

    def session(self) -> requests.Session:
        """Open a session that says who asks, and shows a Hub token to the Hub alone."""
        # urllib3 writes whole addresses, with their query, to a log of its own.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        hub = self.locate(f"https://{HUB}/")
        session = _Session(hub if isinstance(hub, str) else None)
        session.headers["User-Agent"] = f"bat-pipeline/{__version__}"
        # Bytes as they were published: their checksum is known, their compressed form's is not.
        session.headers["Accept-Encoding"] = "identity"
        session.max_redirects = _REDIRECTS_AT_MOST
        return session


class _Session(requests.Session):
    """A session that sends the Hub's token to addresses that start with `hub`, and nowhere else."""

    def __init__(self, hub: str | None) -> None:
        super().__init__()
        self._hub = hub
        self._token: str | None = None

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        prepared = super().prepare_request(request)
        # A mirror may want a user and a password of its own; these stand in its address.
        theirs = "Authorization" in prepared.headers and self._hub != f"https://{HUB}/"
        if self._is_hub(prepared.url) and not theirs:
            if self._token is None:
                self._token = get_token() or ""
            if self._token:
                prepared.headers["Authorization"] = f"Bearer {self._token}"
        return prepared

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        super().rebuild_auth(prepared_request, response)
        shown = str(prepared_request.headers.get("Authorization", ""))
        # The mirror's host may serve other hosts' paths, which requests does not tell apart.
        if shown.startswith("Bearer ") and not self._is_hub(prepared_request.url):
            del prepared_request.headers["Authorization"]

    def _is_hub(self, url: str | None) -> bool:
        if self._hub is None or url is None:
            return False
        return _bare(url).startswith(_bare(self._hub)) and not _climbs(urlsplit(url).path)


def public(url: str) -> str:
    """Return an address without user, password, query and fragment, for messages and records.

    Whatever may hold a secret is left out, also of a text that is no proper address.
    """
    scheme, mark, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    if not mark:
        return re.sub(r"^[^/]*:[^/]*@", "", scheme)
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]
    # A password with a slash or a question mark in it breaks an address at the wrong place.
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(:[0-9]*)?", host):
        return f"{scheme}://(unreadable)"
    # An archive of the web has whole addresses in its paths.
    return f"{scheme}://{host}{slash}" + re.sub(r"//[^/]*@", "//", path)


def _variable(name: str) -> str:
    return f"BAT_{name.upper()}"


def _check(name: str, found: float, good: bool, expected: str) -> None:
    if not (good and math.isfinite(found)):
        raise BatError(f"{name} ({_variable(name)}): expected {expected}, found {found}")


def _check_mirror(mirror: str) -> None:
    label = f"mirror ({_variable('mirror')})"
    if not _is_address(mirror):
        if not Path(mirror).expanduser().is_dir():
            raise BatError(
                f"{label}: expected a folder that exists or an address that starts with "
                f"http:// or https://, found {public(mirror)}"
            )
        return
    _split(mirror)
    if "?" in mirror or "#" in mirror:
        raise BatError(f"{label}: expected an address without a query, found {public(mirror)}?...")


def _read(variable: str, text: str, name: str) -> Any:
    """Read the value of a field from the text of its variable."""
    read, expected = _READERS.get(name, (float, "a number"))
    try:
        return read(text)
    except ValueError:
        raise BatError(f"{variable}: expected {expected}, found {text!r}") from None


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "mirror": (str, "a folder or an address"),
    "offline": (_truth, "1 or 0"),
    "connections": (int, "a whole number"),
    "tries": (int, "a whole number"),
}


def _is_address(text: str) -> bool:
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # The port is looked at when it is asked for.
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if good and not _climbs(_host(parts)) and not _climbs(parts.path):
            return parts
    except ValueError:
        pass
    raise BatError(f"{public(url)}: expected an address like https://host/path")


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2].lower()


def _bare(url: str) -> str:
    """Return an address without the user and password that requests takes out of it, or not."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}".lower()


def _climbs(path: str) -> bool:
    """Tell whether a path leads upwards, or may be taken so by whoever decodes it."""
    dotted = re.sub("%2e", ".", path, flags=re.IGNORECASE)
    return any(name in (".", "..") for name in re.split(r"[/\\]|%2[fF]|%5[cC]", dotted))
