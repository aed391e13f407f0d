"""What a server's answer means, or its silence.

Nothing here quotes a server or a library: their texts may hold an address with its credentials.
"""

import os
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
from urllib3.exceptions import HTTPError, IncompleteRead, ReadTimeoutError

from bat.acquisition.network import HUB, public
from bat.acquisition.part import Origin

_CHUNK_BYTES = 2**18
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_SAYS_WHEN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class SetbackError(Exception):
    """An attempt that did not bring a file to its end.

    Attributes
    ----------
    wait_s : float or None
        For how long the server wants to be left alone, where it says so.
    """

    def __init__(self, reason: str, *, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class FruitlessError(SetbackError):
    """The attempt brought nothing; the next may."""


class InterruptionError(SetbackError):
    """The attempt brought something; the next will go on from there."""


class RefusalError(SetbackError):
    """The address will not give the file."""


def ask(
    session: requests.Session, location: str, headers: dict[str, str], timeout_s: float
) -> requests.Response:
    """Ask for a file, of whose body nothing is read yet.

    Raises
    ------
    RefusalError
        If the address cannot be read, or leads nowhere.
    FruitlessError
        If no answer comes.
    """
    try:
        return session.get(
            location,
            headers={"Accept-Encoding": "identity", **headers},
            stream=True,
            timeout=timeout_s,
        )
    except ValueError:
        setback: SetbackError = RefusalError("the address, or where it leads to, cannot be read")
    except requests.TooManyRedirects:
        setback = RefusalError("it leads from address to address without end")
    except (requests.RequestException, HTTPError) as error:
        setback = FruitlessError(_why_no_answer(error, timeout_s))
    # Outside of the handlers, so that the library's error does not hang on to this one.
    raise setback


def check_status(response: requests.Response, url: str) -> None:
    """Raise what the status of an answer means that brings nothing of the file.

    Raises
    ------
    RefusalError
        If asking again would not help.
    FruitlessError
        If it may.
    """
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    reason = _in_words(status)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise RefusalError(f"access is refused ({reason}){_how_to_be_let_in(url)}")
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_s = _retry_after_s(response) if status in _SAYS_WHEN else None
        raise FruitlessError(reason, wait_s=wait_s)
    raise RefusalError(reason)


def _in_words(status: int) -> str:
    """Name a status in the standard's words, not in the server's."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"


def _how_to_be_let_in(url: str) -> str:
    address = public(url)
    if not address.startswith(f"https://{HUB}/"):
        return ""
    page = address.split("/resolve/")[0]
    return (
        f": set HF_TOKEN to a token of yours that may read it, and accept the terms at {page}, "
        "if it has any"
    )


def _retry_after_s(response: requests.Response) -> float | None:
    """Read for how long a server wants to be left alone: seconds, or a date."""
    asked = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    until = _date(asked)
    if until is None:
        return None
    # By the server's own clock, if it shows it.
    now = _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def origin_of(response: requests.Response, url: str, total: int | None) -> Origin:
    """Note what an answer says of a file of `total` bytes."""
    return Origin(
        url=public(url),
        etag=response.headers.get("ETag"),
        modified=response.headers.get("Last-Modified"),
        total=total,
    )


def total_of(response: requests.Response) -> int | None:
    """Read the size of a file that is sent as a whole; None if it is not said."""
    length = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers or not re.fullmatch(r"[0-9]{1,18}", length):
        return None
    return int(length)


def content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Read where the bytes of an answer begin, and the size of the whole; None if unsaid."""
    text = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"\s*bytes\s+([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)\s*", text)
    if found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def body_of(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes of an answer as soon as they come, so that a cut or a hang loses none.

    They are taken as they are sent: where a server calls the compression of an archive an encoding
    of it, undoing that would give other bytes than were published.

    Raises
    ------
    FruitlessError
        If the body ends too early.
    """
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            yield chunk
        return
    except HTTPError as error:
        reason = _why_it_ended(error)
    raise FruitlessError(reason)


def _why_it_ended(error: HTTPError) -> str:
    if isinstance(error, ReadTimeoutError):
        return "the connection hangs"
    if any(isinstance(cause, IncompleteRead) for cause in error.args):
        return "the body ended too early"
    return _with_cause("the connection was cut", error)


def _why_no_answer(error: Exception, timeout_s: float) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {timeout_s:g} s"
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, requests.exceptions.ProxyError):
        return _with_cause("the proxy lets nothing through", error)
    if isinstance(error, requests.exceptions.SSLError):
        return _with_cause("no trusted connection", error)
    return _with_cause("no answer", error)


def _with_cause(text: str, error: BaseException) -> str:
    """Add what the operating system says of it, which names no address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return f"{text} (the host's name is not known)"
        if isinstance(cause, OSError) and cause.errno is not None:
            return f"{text} ({os.strerror(cause.errno)})"
        cause = cause.__cause__ or cause.__context__
    return text
