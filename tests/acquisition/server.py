"""A web server on this machine that breaks down on demand.

    with FaultServer({"host.org/data/a.zip": b"..."}) as server:
        network = Network(mirror=server.url)        # https://host.org/data/a.zip is served
        server.faults["host.org/data/a.zip"] = [status(503), cut(1000)]

Every GET of a path takes one fault off its list; when the list is empty, the file comes as it
should, unless `always` has a fault for it. Files have a strong ETag, Last-Modified, Content-Length
and ranges with If-Range. `log` tells what was asked.

In a process of its own: ``python -m acquisition.server FOLDER`` (with tests/ on the path) serves
the folder's HOST/PATH files, prints its address and runs until its standard input ends.
"""

import argparse
import hashlib
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

MODIFIED = "Wed, 18 Feb 2026 12:00:00 GMT"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How one answer differs from the right one; made by the functions below."""

    status: int | None = None
    reason: str | None = None
    headers: dict = field(default_factory=dict)
    body: bytes | None = None  # instead of the file's
    etag: str | None = None  # "" for none
    modified: str | None = None  # "" for none
    after: int | None = None  # bytes of the body that are sent, and then ...
    end: str = "close"  # ... close, reset, hang
    hang_s: float = 0.0
    silent_s: float = 0.0  # before anything is sent
    length: int = 0  # added to Content-Length
    ranges: bool = True
    if_range: bool = True
    chunked: bool = False


OK = Fault()


def cut(after, *, end="reset"):
    """The connection breaks after so many bytes of the body."""
    return Fault(after=after, end=end)


def truncated(after):
    """The connection ends in good order, but before the body does."""
    return Fault(after=after, end="close")


def hang(after=0, *, seconds=2.0):
    """Nothing more comes after so many bytes of the body."""
    return Fault(after=after, end="hang", hang_s=seconds)


def silence(seconds=2.0):
    """Not even a status line comes."""
    return Fault(silent_s=seconds)


def status(code, *, reason=None, **headers):
    """Another status: ``status(429, Retry_After="1")``."""
    return Fault(
        status=code,
        reason=reason,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=b"this is not the file",
        ranges=False,
    )


def redirect(to, *, code=302):
    """The file is elsewhere."""
    return status(code, Location=to)


def wrong_length(added):
    """Content-Length is off by so many bytes."""
    return Fault(length=added, end="close")


def wrong_bytes(content, seed=0):
    """The right length, but one byte is another."""
    changed = bytearray(content)
    changed[random.Random(seed).randrange(len(changed))] ^= 1
    return Fault(body=bytes(changed))


def changed(content, **more):
    """The file has another content, and the ETag that goes with it."""
    return Fault(body=content, modified="Thu, 19 Feb 2026 12:00:00 GMT", **more)


def no_ranges(**more):
    """A Range header is ignored."""
    return Fault(ranges=False, **more)


def no_validators(**more):
    """No ETag and no Last-Modified."""
    return Fault(etag="", modified="", **more)


def malformed_chunks(after):
    """A chunked body that turns to nonsense after so many bytes."""
    return Fault(chunked=True, after=after)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that came. `authorization` is the header itself; never print it."""

    method: str
    path: str
    query: str
    range: str | None
    if_range: str | None
    authorization: str | None
    agent: str | None


class FaultServer:
    """Serve files under their HOST/PATH on 127.0.0.1.

    Parameters
    ----------
    files
        Content by "HOST/PATH"; may be changed while the server runs.
    folder
        Serves what is below it, after `files`.
    pace
        Bytes a second of one answer; unlimited at 0.

    Attributes
    ----------
    url : str
        What to give as a mirror.
    faults
        Lists of faults by "HOST/PATH", used up from the front.
    always
        A fault for every answer without one of `faults`.
    log : list of Asked
    """

    def __init__(self, files=None, *, folder=None, pace=0):
        self.files = dict(files or {})
        self.folder = folder
        self.pace = pace
        self.faults = defaultdict(list)
        self.always = {}
        self.log = []
        self.running = 0
        self.most_running = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        serve = partial(self._server.serve_forever, poll_interval=0.01)
        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def content(self, path):
        """Bytes of a file, or None."""
        if path in self.files:
            return self.files[path]
        file = Path(self.folder) / path if self.folder else None
        return file.read_bytes() if file and file.is_file() else None

    def asked(self, path):
        """The requests for a path."""
        return [request for request in self.log if request.path == path]

    def take(self, path):
        with self.lock:
            waiting = self.faults[path]
            return waiting.pop(0) if waiting else self.always.get(path, OK)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_):
        """A client that is gone is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in separate packets would wait for each other's acknowledgement.
    disable_nagle_algorithm = True

    def __init__(self, owner, *arguments):
        self.owner = owner
        super().__init__(*arguments)

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(OK)

    def do_GET(self):
        self._answer(self.owner.take(self._path()))

    def _path(self):
        """The path; with the query where that has a file or an answer of its own."""
        parts, owner = urlsplit(self.path), self.owner
        path = unquote(parts.path).lstrip("/")
        whole = f"{path}?{parts.query}"
        return whole if whole in owner.files or whole in owner.always else path

    def _answer(self, fault):
        owner = self.owner
        with owner.lock:
            owner.log.append(self._asked())
            owner.running += 1
            owner.most_running = max(owner.most_running, owner.running)
        try:
            owner.closing.wait(fault.silent_s)
            if fault.silent_s:
                self._break("close")
            else:
                self._send(fault)
        finally:
            with owner.lock:
                owner.running -= 1

    def _asked(self):
        return Asked(
            method=self.command,
            path=self._path(),
            query=urlsplit(self.path).query,
            range=self.headers["Range"],
            if_range=self.headers["If-Range"],
            authorization=self.headers["Authorization"],
            agent=self.headers["User-Agent"],
        )

    def _send(self, fault):
        content = self.owner.content(self._path()) if fault.body is None else fault.body
        if content is None:
            fault, content = status(404), b"no such file"
        code = fault.status or 200
        validators = _validators(content, fault) if code == 200 else {}
        first = self._first_byte(fault, validators)
        if first is not None and first >= len(content):
            code, validators = 416, {"Content-Range": f"bytes */{len(content)}"}
            body = b""
        elif first is not None:
            code, body = 206, content[first:]
            validators["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        else:
            body = content
        self._send_headers(code, fault, validators, len(body))
        if self.command != "HEAD":
            self._send_body(body, fault)

    def _first_byte(self, fault, validators):
        """Where the answer begins, if it is part of the file."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not (wanted and fault.ranges):
            return None
        condition = self.headers["If-Range"]
        if fault.if_range and condition and condition not in validators.values():
            return None
        return int(wanted[1])

    def _send_headers(self, code, fault, validators, length):
        self.send_response(code, fault.reason)
        if fault.ranges:
            self.send_header("Accept-Ranges", "bytes")
        framing = (
            {"Transfer-Encoding": "chunked"}
            if fault.chunked
            else {"Content-Length": str(length + fault.length)}
        )
        for name, value in {**framing, **validators, **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, body, fault):
        part = body if fault.after is None else body[: fault.after]
        for start in range(0, len(part), 8192):
            piece = part[start : start + 8192]
            if fault.chunked:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            self.wfile.write(piece)
            last = start + 8192 >= len(part)
            if self.owner.pace and not last:
                self.owner.closing.wait(len(piece) / self.owner.pace)
        if fault.chunked:
            self.wfile.write(b"0\r\n\r\n" if fault.after is None else b"nonsense\r\n")
        if fault.after is not None or fault.length:
            self.owner.closing.wait(fault.hang_s)
            self._break(fault.end)

    def _break(self, end):
        self.close_connection = True
        if end == "reset":
            # Without lingering, closing sends a reset instead of an orderly end. What was sent
            # should have left by then.
            time.sleep(0.002)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _validators(content, fault):
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"' if fault.etag is None else fault.etag
    modified = MODIFIED if fault.modified is None else fault.modified
    named = {"ETag": etag, "Last-Modified": modified}
    return {name: value for name, value in named.items() if value}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pace", type=int, default=0)
    options = parser.parse_args()
    with FaultServer(folder=options.folder, pace=options.pace) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
