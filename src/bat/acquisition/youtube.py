"""Ask YouTube for the clips of AudioSet that no copy has.

This is slow and never complete, and what comes back is not what others trained on: the site codes
its recordings anew from time to time. So it happens only where the parameters ask for it, after
everything else, and every answer is written down::

    <folder>/outcomes.jsonl     a line per answer, in the order in which they came
    <folder>/clips/<sha256>     what was received, in the container that it came in

A video that is private or removed is not asked for again, nor is what is already there. Whatever
else went wrong counts as missing, and the next run asks again.

yt-dlp does the asking, in a process of its own. It reads no configuration and no cookies, keeps no
cache, and its requests are as far apart as the parameters say.
"""

import hashlib
import importlib.util
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bat.audio.ffmpeg import ffmpeg_binary
from bat.errors import BatError
from bat.progress import track

Status = Literal["ok", "private", "removed", "missing"]
Locate = Callable[[str], str | Path]

ADDRESS = "https://www.youtube.com/watch?v={id}"

_LOG = logging.getLogger(__name__)
_CLIP_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_SCRATCH = "asking-"
# One clip takes seconds; a connection that hangs may hold up the rest no longer than this.
_TIMEOUT_S = 300.0
_SOCKET_TIMEOUT_S = 20
# After so many answers in a row that may be different tomorrow, YouTube has had enough of us.
_GIVE_UP_AFTER = 10

# What yt-dlp says, in the order in which it is looked for. Much of what YouTube calls unavailable
# is so only here or now: from this country, at this rate, for a client without an account.
_PRIVATE = re.compile(r"private video|video is private", re.IGNORECASE)
_PASSING = re.compile(
    r"in your country|rate.?limit|try again|later|temporar|not a bot|HTTP Error (?!404|410)",
    re.IGNORECASE,
)
_REMOVED = re.compile(
    r"removed|terminated|unavailable|no longer available|isn't available any ?more|copyright"
    r"|HTTP Error (404|410)",
    re.IGNORECASE,
)
_LONGEST_REASON = 200


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A part of a video.

    Attributes
    ----------
    clip_id : str
        YouTube's id of the video: eleven letters, digits, "_" and "-".
    start_s, end_s : float
        From the video's start.

    Raises
    ------
    BatError
        If this is no such id, or no such time.
    """

    clip_id: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not _CLIP_ID.fullmatch(self.clip_id):
            raise BatError(
                f"YouTube: expected an id of 11 letters, digits, _ and -, found {self.clip_id!r}"
            )
        if not (0 <= self.start_s < self.end_s and math.isfinite(self.end_s)):
            raise BatError(
                f"YouTube: {self.clip_id}: expected 0 <= start_s < end_s, "
                f"found {self.start_s:g} and {self.end_s:g}"
            )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an excerpt.

    Attributes
    ----------
    clip_id : str
    status : {"ok", "private", "removed", "missing"}
        "missing" for whatever may be different another time.
    reason : str
        One line without addresses; empty where the status is "ok".
    content : bytes or None
        The excerpt in the container that YouTube sent, cut between two of its packets and so up
        to a fraction of a second longer than asked for. None unless the status is "ok".
    """

    clip_id: str
    status: Status
    reason: str = ""
    content: bytes | None = None


def fetch_excerpt(
    excerpt: Excerpt,
    folder: Path,
    *,
    seconds_between_requests: float = 0.0,
    address: str = ADDRESS,
    locate: Locate = str,
    timeout_s: float = _TIMEOUT_S,
) -> Outcome:
    """Ask YouTube once for an excerpt of a video's best sound.

    Parameters
    ----------
    excerpt : Excerpt
    folder : Path
        Where yt-dlp works; nothing is left there.
    seconds_between_requests : float
        Of yt-dlp's requests for this excerpt, which are several.
    address : str
        Of a video, with ``{id}`` in it.
    locate : callable
        Say where to get what is published at an address.
    timeout_s : float
        After which the video counts as missing.

    Raises
    ------
    BatError
        If yt-dlp or ffmpeg is not installed, or `locate` says that the video is in a folder.
    """
    _check_installed()
    located = locate(address.format(id=excerpt.clip_id))
    if isinstance(located, Path):
        raise BatError("YouTube: expected a mirror with an address, found one that is a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        command = _command(excerpt, located, seconds_between_requests)
        status, log = _run(command, Path(scratch), timeout_s)
        received = sorted(Path(scratch).iterdir())
        if status == 0 and len(received) == 1:
            return Outcome(clip_id=excerpt.clip_id, status="ok", content=received[0].read_bytes())
    return _failure(excerpt.clip_id, log)


def fill_gaps(
    excerpts: Iterable[Excerpt],
    folder: Path,
    *,
    seconds_between_requests: float,
    maximum_clips: int,
    address: str = ADDRESS,
    locate: Locate = str,
) -> Iterator[Outcome]:
    """Yield what became of excerpts, and ask YouTube for those that are not known yet.

    Parameters
    ----------
    excerpts : iterable of Excerpt
    folder : Path
        Where answers are kept, from one run to the next; of one process at a time.
    seconds_between_requests : float
        The least time from one request's answer to the next request.
    maximum_clips : int
        How many excerpts are asked for in this run; the rest is left for another, and not
        yielded.
    address, locate
        See `fetch_excerpt`.

    Raises
    ------
    BatError
        If yt-dlp or ffmpeg is not installed, or the folder cannot be written or is damaged.
    """
    _check_installed()
    ffmpeg_binary()
    journal = _Journal(folder)

    def ask(excerpt: Excerpt) -> Outcome:
        # Also before the first one: an earlier run may have asked just now.
        time.sleep(seconds_between_requests)
        return fetch_excerpt(
            excerpt,
            folder,
            seconds_between_requests=seconds_between_requests,
            address=address,
            locate=locate,
        )

    return _outcomes(excerpts, journal, ask, maximum_clips)


def _outcomes(
    excerpts: Iterable[Excerpt],
    journal: "_Journal",
    ask: Callable[[Excerpt], Outcome],
    maximum_clips: int,
) -> Iterator[Outcome]:
    asked = in_vain = left = 0
    for excerpt in track(excerpts, "clips from YouTube"):
        outcome = journal.known(excerpt)
        if outcome is None and (asked == maximum_clips or in_vain == _GIVE_UP_AFTER):
            left += 1
            continue
        if outcome is None:
            outcome = ask(excerpt)
            journal.add(excerpt, outcome)
            asked += 1
            in_vain = in_vain + 1 if outcome.status == "missing" else 0
        yield outcome
    if in_vain == _GIVE_UP_AFTER:
        _LOG.warning("YouTube: %d clips in a row were missing; asked for no more", in_vain)
    _LOG.info("YouTube: asked for %d clips, left %d for another run", asked, left)


def _check_installed() -> None:
    if importlib.util.find_spec("yt_dlp") is None:
        raise BatError(
            "yt-dlp: expected it for the clips from YouTube, found it not installed; "
            "run: pip install 'bat-pipeline[youtube]'"
        )


def _command(excerpt: Excerpt, address: str, seconds_between_requests: float) -> list[str]:
    # -P: Python code that lies in the working folder is not imported.
    command = [sys.executable, "-P", "-m", "yt_dlp", "--ignore-config", "--no-plugin-dirs"]
    command += ["--no-cache-dir", "--no-cookies", "--no-cookies-from-browser", "--no-update"]
    command += ["--no-remote-components", "--xff", "never", "--no-playlist"]
    command += ["--color", "never", "--no-progress", "--no-warnings"]
    command += ["--retries", "0", "--extractor-retries", "0"]
    command += ["--socket-timeout", str(_SOCKET_TIMEOUT_S)]
    command += ["--sleep-requests", str(seconds_between_requests)]
    command += ["--format", "bestaudio/best", "--ffmpeg-location", ffmpeg_binary()]
    command += ["--download-sections", f"*{excerpt.start_s:.3f}-{excerpt.end_s:.3f}"]
    # Where there is no stream of sound alone, the pictures stay behind.
    command += ["--downloader-args", "ffmpeg_i:-loglevel error"]
    command += ["--downloader-args", "ffmpeg_o:-vn"]
    return [*command, "--output", "excerpt.%(ext)s", "--", address]


def _run(command: list[str], scratch: Path, timeout_s: float) -> tuple[int | None, str]:
    """Run yt-dlp; return its status, None where it took too long, and its messages."""
    process = subprocess.Popen(
        command,
        cwd=scratch,
        env=os.environ | {"YTDLP_NO_PLUGINS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that its ffmpeg ends with it
    )
    try:
        _, log = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None, f"ERROR: no answer within {timeout_s:g} s"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, log.decode(errors="replace")


def _failure(clip_id: str, log: str) -> Outcome:
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    message = errors[-1] if errors else "yt-dlp gave no reason"
    status = classify(message)
    reason = clean(message)
    if errors and "ffmpeg exited" in message and lines[0] is not message:
        # ffmpeg's own last words come before.
        reason = clean(lines[lines.index(message) - 1])
    if status == "missing":
        reason += "; try again another time"
    return Outcome(clip_id=clip_id, status=status, reason=reason)


def classify(message: str) -> Status:
    """Tell from yt-dlp's message whether asking again is of use: "missing" where it may be."""
    if _PRIVATE.search(message):
        return "private"
    if _REMOVED.search(message) and not _PASSING.search(message):
        return "removed"
    return "missing"


def clean(message: str) -> str:
    """Return a message of yt-dlp in one line, without addresses, hosts and advice on options."""
    text = message.removeprefix("ERROR: ")
    text = re.sub(r"^\[[^]]*\] \S*?: ", "", text)
    text = re.split(r" \(caused by |\. +Use --|; please report", text)[0]
    text = re.sub(r"\w+\(host=[^)]*\): ", "", text)
    text = re.sub(r"\S*://\S*", "", text)
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(text.split())[:_LONGEST_REASON].rstrip(" .:")


class _Journal:
    """The answers so far, on disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "outcomes.jsonl"
        self._clips = folder / "clips"
        self._clips.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_SCRATCH}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        self._rows = dict(self._read())

    def known(self, excerpt: Excerpt) -> Outcome | None:
        """Return an earlier answer that holds; None where there is none."""
        row = self._rows.get(excerpt)
        if row is None or row["status"] == "missing":
            return None
        content = None
        if row["status"] == "ok":
            content = self._content(row["sha256"])
            if content is None:
                return None
        return Outcome(
            clip_id=excerpt.clip_id, status=row["status"], reason=row["reason"], content=content
        )

    def add(self, excerpt: Excerpt, outcome: Outcome) -> None:
        """Keep an answer: first what was received, then the line that tells of it."""
        sha256 = None
        if outcome.content is not None:
            sha256 = hashlib.sha256(outcome.content).hexdigest()
            part = self._clips / f"{sha256}.part"
            _write_synced(part, outcome.content, os.O_TRUNC)
            part.replace(self._clips / sha256)
        row = asdict(excerpt) | {
            "status": outcome.status,
            "reason": outcome.reason,
            "sha256": sha256,
        }
        _write_synced(self._path, json.dumps(row).encode() + b"\n", os.O_APPEND)
        self._rows[excerpt] = row

    def _content(self, sha256: str) -> bytes | None:
        path = self._clips / sha256
        content = path.read_bytes() if path.is_file() else b""
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def _read(self) -> Iterator[tuple[Excerpt, dict[str, Any]]]:
        if not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            # The machine went down in the middle of a line.
            os.truncate(self._path, sum(map(len, lines[:-1])))
            del lines[-1]
        for number, line in enumerate(lines, start=1):
            yield _row(line, f"{self._path}: line {number}")


def _row(line: bytes, label: str) -> tuple[Excerpt, dict[str, Any]]:
    try:
        row = json.loads(line)
        excerpt = Excerpt(**{name: row[name] for name in ("clip_id", "start_s", "end_s")})
        sound = row["status"] in get_args(Status) and isinstance(row["reason"], str)
        sound = sound and (row["status"] == "ok") == isinstance(row["sha256"], str)
    except (ValueError, TypeError, KeyError, BatError):
        sound = False
    if not sound:
        raise BatError(f"{label}: expected an answer as JSON; delete the line to ask again")
    return excerpt, row


def _write_synced(path: Path, content: bytes, flag: int) -> None:
    """Write or append in one go, down to the disk."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BatError(f"{path}: {error.strerror}") from error
