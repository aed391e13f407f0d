import http.server
import io
import json
import re
import subprocess
import sys
import threading
import time
import wave
from contextlib import suppress
from itertools import pairwise

import numpy as np
import psutil
import pytest

from bat.acquisition import youtube
from bat.acquisition.youtube import Excerpt, Outcome, classify, clean, fetch_excerpt, fill_gaps
from bat.audio.ffmpeg import decode, ffmpeg_binary
from bat.errors import BatError

RATE_HZ = 16_000
SOUND = np.random.default_rng(0).integers(-9000, 9000, 30 * RATE_HZ).astype("<i2")
# yt-dlp reads a WAV file in packets of 4096 bytes.
PACKET_SAMPLES = 2048
SIGN_IN = "Sign in if you've been granted access to this video"
GONE, LOST, SECRET = "gone-------", "404--------", "private----"


def wav_bytes():
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        writer.writeframes(SOUND.tobytes())
    return file.getvalue()


class Site(http.server.ThreadingHTTPServer):
    """Serves a WAV file as every video, except for those of which `answers` says otherwise."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.media = ("audio/x-wav", wav_bytes())
        self.answers = {GONE: (410, "Gone"), LOST: (404, "Not Found")}
        self.answers[SECRET] = (403, f"Private video. {SIGN_IN}")
        self.hangs = set()
        self.requests = []
        self.let_go = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def locate(self, address):
        return address.replace("https:/", self.url)

    def asked(self):
        """Ids of the videos in the order in which they were first asked for."""
        return list(dict.fromkeys(clip for clip, _ in self.requests))


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, clip = self.path.partition("?v=")
        assert path == "/www.youtube.com/watch"
        self.server.requests.append((clip, time.monotonic()))
        code, reason = self.server.answers.get(clip, (200, "OK"))
        first = [asked for asked, _ in self.server.requests].count(clip) == 1
        if (clip, "page" if first else "media") in self.server.hangs:
            self.server.let_go.wait()
        self.send(code, reason) if code != 200 or reason != "OK" else self.send_media()

    def send_media(self):
        kind, content = self.server.media
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self.send(200, "OK", kind, content)
            return
        start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
        place = f"bytes {start}-{end}/{len(content)}"
        self.send(206, "Partial Content", kind, content[start : end + 1], place)

    def send(self, code, reason, kind="text/html", content=b"<title>x</title>", place=None):
        self.send_response(code, reason)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        if place is not None:
            self.send_header("Content-Range", place)
        self.end_headers()
        self.wfile.write(content)

    def handle(self):
        with suppress(ConnectionError):  # ffmpeg hangs up when it has enough
            super().handle()

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with Site() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.let_go.set()
        server.shutdown()


def excerpt(clip_id, start_s=10.5, end_s=12.5):
    return Excerpt(clip_id=clip_id, start_s=start_s, end_s=end_s)


def samples_of(content):
    return np.rint(decode(content, rate_hz=None).samples * 2**15).astype(int)


def fill(site, folder, clips, maximum_clips=100, seconds=0.0):
    return list(
        fill_gaps(
            [excerpt(clip) for clip in clips],
            folder,
            seconds_between_requests=seconds,
            maximum_clips=maximum_clips,
            locate=site.locate,
        )
    )


def test_an_excerpt_is_that_part_of_the_video_and_nothing_is_left_behind(
    site, tmp_path, monkeypatch
):
    """No configuration, cache or plugin of the user's plays a part either."""
    home = tmp_path / "home"
    (home / "yt-dlp").mkdir(parents=True)
    for config in (home / "yt-dlp/config", home / ".yt-dlp.conf", home / "yt-dlp.conf"):
        config.write_text("--simulate\n")
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.chdir(home)
    before = sorted(tmp_path.rglob("*"))
    found = fetch_excerpt(excerpt("-bcdefghij_"), tmp_path / "folder", locate=site.locate)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "folder"])
    assert (found.clip_id, found.status, found.reason) == ("-bcdefghij_", "ok", "")
    samples = samples_of(found.content)
    assert 2 * RATE_HZ <= len(samples) <= 2 * RATE_HZ + PACKET_SAMPLES
    nominal = int(10.5 * RATE_HZ)
    starts = range(nominal - PACKET_SAMPLES, nominal + PACKET_SAMPLES)
    assert any(np.array_equal(SOUND[start:][: len(samples)], samples) for start in starts)


def test_of_a_video_only_the_sound_is_kept(site, tmp_path):
    make = [ffmpeg_binary(), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=d=6:s=64x64"]
    make += ["-f", "lavfi", "-i", "sine=d=6", "-c:v", "mpeg4", "-c:a", "aac", "x.mp4"]
    subprocess.run(make, cwd=tmp_path, check=True)
    site.media = ("video/mp4", (tmp_path / "x.mp4").read_bytes())
    found = fetch_excerpt(excerpt("abcdefghijk", 2, 4), tmp_path, locate=site.locate)
    assert found.status == "ok"
    assert b"mp4v" not in found.content
    assert decode(found.content, rate_hz=None).duration_s == pytest.approx(2, abs=0.1)


def test_what_the_site_answers_is_told_apart(site, tmp_path):
    site.answers |= {
        "forbidden--": (403, "Forbidden"),
        "toomany----": (429, "Too Many Requests"),
        "unavailable": (503, "Service Unavailable"),
        "nomedia----": (200, "A page"),
    }
    again = "; try again another time"
    expected = {
        GONE: ("removed", "Unable to download webpage: HTTP Error 410: Gone"),
        LOST: ("removed", "Unable to download webpage: HTTP Error 404: Not Found"),
        SECRET: (
            "private",
            f"Unable to download webpage: HTTP Error 403: Private video. {SIGN_IN}",
        ),
        "forbidden--": ("missing", f"Unable to download webpage: HTTP Error 403: Forbidden{again}"),
        "toomany----": (
            "missing",
            f"Unable to download webpage: HTTP Error 429: Too Many Requests{again}",
        ),
        "unavailable": (
            "missing",
            f"Unable to download webpage: HTTP Error 503: Service Unavailable{again}",
        ),
        "nomedia----": ("missing", f"Unsupported URL{again}"),
    }
    found = {clip: fetch_excerpt(excerpt(clip), tmp_path, locate=site.locate) for clip in expected}
    assert {clip: (each.status, each.reason) for clip, each in found.items()} == expected
    assert all(each.content is None for each in found.values())
    # yt-dlp itself must not insist: how often is asked is the caller's affair.
    assert [clip for clip, _ in site.requests] == list(expected)


def test_media_that_are_refused_are_reported_in_the_words_of_ffmpeg(site, tmp_path):
    site.media = ("audio/x-wav", b"RIFF" + bytes(3000))
    found = fetch_excerpt(excerpt("abcdefghijk"), tmp_path, locate=site.locate)
    assert found.status == "missing"
    assert found.reason.endswith("; try again another time")
    assert "Invalid data" in found.reason


def test_credentials_and_addresses_of_a_mirror_are_in_no_message(site, tmp_path):
    def locate(address):
        return site.locate(address).replace("://", "://user:geheim@")

    (found,) = fill_gaps(
        [excerpt(GONE)],
        tmp_path,
        seconds_between_requests=0,
        maximum_clips=1,
        locate=locate,
    )
    site.shutdown()
    site.server_close()
    lost = fetch_excerpt(excerpt("abcdefghijk"), tmp_path, locate=locate)
    assert lost.status == "missing"
    assert "refused" in lost.reason
    for text in (found.reason, lost.reason, (tmp_path / "outcomes.jsonl").read_text()):
        assert not re.search(r"geheim|user|127\.0\.0\.1|://", text), text


@pytest.mark.parametrize("where", ["page", "media"])
def test_a_site_that_hangs_is_left_and_no_process_stays(site, tmp_path, where):
    site.hangs.add(("abcdefghijk", where))
    found = fetch_excerpt(excerpt("abcdefghijk"), tmp_path, locate=site.locate, timeout_s=3)
    assert found == Outcome(
        clip_id="abcdefghijk",
        status="missing",
        reason="no answer within 3 s; try again another time",
    )
    assert len(site.requests) == (1 if where == "page" else 2)
    names = [child.name() for child in psutil.Process().children(recursive=True)]
    assert not [name for name in names if "ffmpeg" in name or "python" in name]
    assert list(tmp_path.iterdir()) == []


PRIVATE = [
    f"ERROR: [youtube] abcdefghijk: Private video. {SIGN_IN}. Use --cookies-from-browser or "
    "--cookies for the authentication. See  https://github.com/yt-dlp/yt-dlp/wiki/FAQ  for how",
    "ERROR: [youtube] abcdefghijk: This video is private",
    f"ERROR: [youtube] abcdefghijk: Private video\n{SIGN_IN}",
]
REMOVED = [
    "ERROR: [youtube] abcdefghijk: Video unavailable",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This video is unavailable",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This video has been removed by the uploader",
    "ERROR: [youtube] abcdefghijk: This video has been removed for violating YouTube's policy on "
    "hate speech. Learn more about combating hate speech in your area.",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This video is no longer available because "
    "the YouTube account associated with this video has been terminated.",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This video is no longer available because "
    "the uploader has closed their YouTube account.",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This video is no longer available due to a "
    "copyright claim by Somebody Ltd.",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This video contains content from SME, who "
    "has blocked it on copyright grounds",
    "ERROR: [youtube] abcdefghijk: This video isn't available anymore",
    "ERROR: [generic] Unable to download webpage: HTTP Error 404: Not Found",
    "ERROR: [youtube] abcdefghijk: Unable to download API page: HTTP Error 410: Gone",
]
MISSING = [
    "ERROR: [youtube] abcdefghijk: Sign in to confirm you're not a bot. Use "
    "--cookies-from-browser or --cookies for the authentication.",
    "ERROR: [youtube] abcdefghijk: Sign in to confirm your age. This video may be inappropriate",
    "ERROR: [youtube] abcdefghijk: Video unavailable. The uploader has not made this video "
    "available in your country",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This video contains content from WMG, who "
    "has blocked it in your country on copyright grounds",
    "ERROR: [youtube] abcdefghijk: Video unavailable. This content isn't available, try again "
    "later. The current session has been rate-limited by YouTube for up to an hour.",
    "ERROR: [youtube] abcdefghijk: Join this channel to get access to members-only content",
    "ERROR: [youtube] abcdefghijk: We're processing this video. Check back later.",
    "ERROR: [youtube] abcdefghijk: Requested format is not available. Use --list-formats",
    "ERROR: [youtube] abcdefghijk: Premieres in 3 hours",
    "ERROR: unable to download video data: HTTP Error 403: Forbidden",
    "ERROR: [youtube] abcdefghijk: Unable to download API page: HTTP Error 503: Service "
    "Unavailable (caused by <HTTPError 503: Service Unavailable>)",
    "ERROR: [youtube] abcdefghijk: Unable to download webpage: [Errno 11] Resource temporarily "
    "unavailable",
    "ERROR: [youtube] abcdefghijk: Failed to resolve 'www.youtube.com' ([Errno -3] Temporary "
    "failure in name resolution)",
    "ERROR: ffmpeg exited with code 8",
    "yt-dlp gave no reason",
]


@pytest.mark.parametrize(
    ("status", "message"),
    [("private", message) for message in PRIVATE]
    + [("removed", message) for message in REMOVED]
    + [("missing", message) for message in MISSING],
)
def test_what_yt_dlp_says_of_youtube_is_told_apart(status, message):
    assert classify(message) == status
    assert re.fullmatch(r"[^\n]{5,200}", clean(message))
    assert not re.search(r"ERROR|://|abcdefghijk|--|caused by", clean(message))


def test_messages_are_made_one_line():
    assert clean(PRIVATE[0]) == f"Private video. {SIGN_IN}"
    assert clean(PRIVATE[2]) == f"Private video {SIGN_IN}"
    assert clean("ERROR: a\x1b[31m\tb\r\nc https://x.y/z?k=v d" + "e" * 999).startswith(
        "a [31m b c d"
    )


@pytest.mark.parametrize(
    "clip_id", ["", "short", "twelve-chars", "with space1", "../../../ab", "abcdefghij\n", "é" * 11]
)
def test_what_is_no_id_of_youtube_is_refused(clip_id):
    with pytest.raises(BatError, match="expected an id of 11 letters"):
        excerpt(clip_id)


@pytest.mark.parametrize("times", [(-1, 2), (3, 3), (5, 4), (0, float("inf")), (float("nan"), 1)])
def test_what_is_no_time_of_a_video_is_refused(times):
    with pytest.raises(BatError, match="abcdefghijk: expected 0 <= start_s < end_s, found"):
        excerpt("abcdefghijk", *times)


def test_without_yt_dlp_it_is_said_how_to_install_it(site, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    with pytest.raises(BatError, match=r"yt-dlp: .* pip install 'bat-pipeline\[youtube\]'"):
        fill(site, tmp_path, ["abcdefghijk"])
    assert site.requests == []


def test_a_mirror_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(BatError, match="expected a mirror with an address"):
        fetch_excerpt(excerpt("abcdefghijk"), tmp_path, locate=lambda _: tmp_path)


def test_requests_for_different_clips_are_as_far_apart_as_asked(site, tmp_path):
    clips = ["first------", LOST, "third------"]
    fill(site, tmp_path, clips, seconds=0.8)
    assert site.asked() == clips
    times = {clip: [at for asked, at in site.requests if asked == clip] for clip in clips}
    for earlier, later in pairwise(clips):
        assert min(times[later]) - max(times[earlier]) >= 0.8


def test_answers_are_kept_and_only_what_may_change_is_asked_again(site, tmp_path):
    clips = ["first------", GONE, SECRET, "toomany----", "more-------"]
    site.answers["toomany----"] = (429, "Too Many Requests")
    first = fill(site, tmp_path, clips, maximum_clips=4)
    assert [outcome.clip_id for outcome in first] == clips[:4]
    assert [outcome.status for outcome in first] == ["ok", "removed", "private", "missing"]
    assert site.asked() == clips[:4]

    del site.answers["toomany----"]
    site.requests.clear()
    second = fill(site, tmp_path, clips, maximum_clips=1)
    assert site.asked() == ["toomany----"]
    assert second[:3] == first[:3]
    assert [outcome.status for outcome in second] == ["ok", "removed", "private", "ok"]

    site.requests.clear()
    assert [outcome.clip_id for outcome in fill(site, tmp_path, clips)] == clips
    assert site.asked() == ["more-------"]


def test_what_is_damaged_on_disk_is_asked_for_again(site, tmp_path):
    (first,) = fill(site, tmp_path, ["first------"])
    (clip,) = (tmp_path / "clips").iterdir()
    assert clip.read_bytes() == first.content
    clip.write_bytes(first.content[:-1])
    site.requests.clear()
    assert fill(site, tmp_path, ["first------"]) == [first]
    assert site.asked() == ["first------"]
    assert clip.read_bytes() == first.content


def test_after_many_failures_in_a_row_the_site_is_left_alone(site, tmp_path, monkeypatch):
    monkeypatch.setattr(youtube, "_GIVE_UP_AFTER", 2)
    clips = [f"toomany---{number}" for number in range(4)]
    site.answers |= dict.fromkeys(clips, (429, "Too Many Requests"))
    found = fill(site, tmp_path, [clips[0], GONE, *clips[1:]])
    assert [outcome.status for outcome in found] == ["missing", "removed", "missing", "missing"]
    assert site.asked() == [clips[0], GONE, *clips[1:3]]


def test_a_line_that_a_crash_cut_off_is_dropped(site, tmp_path):
    fill(site, tmp_path, [GONE])
    journal = tmp_path / "outcomes.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole[:30])
    site.requests.clear()
    fill(site, tmp_path, [GONE, LOST])
    assert site.asked() == [LOST]
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [row["clip_id"] for row in rows] == [GONE, LOST]
    assert journal.read_bytes().startswith(whole)


@pytest.mark.parametrize("line", ["{}", "[]", "rubbish", '{"clip_id": "a"}', ""])
def test_a_damaged_journal_is_refused_with_its_line(site, tmp_path, line):
    (tmp_path / "outcomes.jsonl").write_text(f"{line}\n")
    with pytest.raises(BatError, match=r"outcomes.jsonl: line 1: expected an answer as JSON"):
        fill(site, tmp_path, [GONE])


PROGRAM = """
import sys
from pathlib import Path
from bat.acquisition.youtube import Excerpt, fill_gaps
url, folder, *clips = sys.argv[1:]
excerpts = [Excerpt(clip_id=clip, start_s=10.5, end_s=12.5) for clip in clips]
for outcome in fill_gaps(
    excerpts, Path(folder), seconds_between_requests=0.0, maximum_clips=99,
    locate=lambda address: address.replace("https:/", url),
):
    print(outcome.clip_id, flush=True)
"""


def test_after_sigkill_no_known_answer_is_asked_for_again(site, tmp_path):
    clips = ["first------", GONE, "third------", SECRET]
    expected = fill(site, tmp_path / "whole", clips)
    folder = tmp_path / "killed"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for _ in range(4):
        known = journal_ids(folder)
        site.requests.clear()
        run = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, site.url, str(folder), *clips],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(lambda: site.requests or run.poll() is not None)  # noqa: B023
        time.sleep(rng.uniform(0, 1))
        # yt-dlp is in a session of its own and may outlive its parent by one clip.
        children = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
        run.kill()
        run.wait()
        psutil.wait_procs(children, timeout=20)
        assert not known & set(site.asked())
    assert journal_ids(folder) <= set(clips)
    assert fill(site, folder, clips) == expected
    ids = [json.loads(line)["clip_id"] for line in (folder / "outcomes.jsonl").open()]
    assert sorted(ids) == sorted(clips)
    assert not [path for path in folder.rglob("*") if "asking" in path.name]


def journal_ids(folder):
    path = folder / "outcomes.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {json.loads(line)["clip_id"] for line in lines}


def wait_for(condition, timeout_s=30.0):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()
