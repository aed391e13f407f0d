r"""Time decoding in this process against one ffmpeg process per clip.

    python benchmarks/decoding.py
    python benchmarks/decoding.py --rounds 50

Made clips of ten seconds, stereo at 44.1 and 48 kHz and mono at 16 kHz, come to 16 kHz from memory,
as acquisition does it. Both ways take turns, clip by clip, on the same core. Printed are clips per
second of that core's time, which hardly depends on what else the machine does, and the ratio, by
the clock too. Then threads share a list of clips on all cores.
"""

import argparse
import io
import os
import platform
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from bat.audio import ffmpeg
from bat.audio.decoding import decode, decode_in_process
from bat.conformance.resampling import RATE_HZ, made_material

LENGTH_S = 10.0
WANTED_RATIO = 4.0
KINDS = [
    ("WAV", 44_100, 2),
    ("FLAC", 44_100, 2),
    ("WAV", 48_000, 2),
    ("FLAC", 48_000, 2),
    ("WAV", 16_000, 1),
]


def clip(container: str, rate_hz: int, channels: int) -> bytes:
    """Ten seconds of something like speech; the second channel has some noise in it."""
    made = made_material(rate_hz)
    stereo = np.stack([made["speech"], 0.8 * made["speech"] + 0.05 * made["noise"]], axis=1)
    repeats = round(LENGTH_S * rate_hz / len(stereo))
    file = io.BytesIO()
    samples = np.tile(stereo, (repeats, 1))[:, :channels]
    soundfile.write(file, samples, rate_hz, format=container, subtype="PCM_16")
    return file.getvalue()


@dataclass
class Spent:
    """Seconds that a way of decoding took: of a core, its processes included, and by the clock."""

    core_s: float = 0.0
    clock_s: float = 0.0

    def add(self, job: Callable[[], object]) -> None:
        core_s, clock_s = core_time_s(), time.perf_counter()
        job()
        self.core_s += core_time_s() - core_s
        self.clock_s += time.perf_counter() - clock_s


def core_time_s() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def by_decode(content: bytes) -> object:
    return decode(content, rate_hz=RATE_HZ)


def by_ffmpeg(content: bytes) -> object:
    return ffmpeg.decode(content, rate_hz=RATE_HZ)


def take_turns(content: bytes, rounds: int) -> tuple[Spent, Spent]:
    """Decode one clip again and again, by `decode` and by ffmpeg in turn."""
    if decode_in_process(content, rate_hz=RATE_HZ) is None:
        raise SystemExit("the clip is left to ffmpeg: there is nothing to compare")
    by_ffmpeg(content)
    own, other = Spent(), Spent()
    for _ in range(rounds):
        own.add(lambda: by_decode(content))
        other.add(lambda: by_ffmpeg(content))
    return own, other


def print_line(name: str, clips: int, own: Spent, other: Spent) -> None:
    per_core = f"{clips / own.core_s:9.1f}{clips / other.core_s:9.1f}"
    ratios = f"{other.core_s / own.core_s:8.1f}{other.clock_s / own.clock_s:14.1f}"
    print(f"{name:<24}{per_core}{ratios}")


def print_ratios(clips: dict[str, bytes], rounds: int) -> None:
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})  # which ffmpeg inherits
    all_own, all_other = Spent(), Spent()
    print(f"{'clips/s per core':<24}{'decode':>9}{'ffmpeg':>9}{'ratio':>8}{'by the clock':>14}")
    for name, content in clips.items():
        own, other = take_turns(content, rounds)
        print_line(name, rounds, own, other)
        for total, some in ((all_own, own), (all_other, other)):
            total.core_s += some.core_s
            total.clock_s += some.clock_s
    os.sched_setaffinity(0, everywhere)
    print_line("all, equally often", rounds * len(clips), all_own, all_other)
    reached = all_other.core_s >= WANTED_RATIO * all_own.core_s
    print(f"wanted: a ratio of at least {WANTED_RATIO:g}: {'reached' if reached else 'missed'}")


def print_scaling(clips: dict[str, bytes], rounds: int) -> None:
    contents = list(clips.values()) * rounds
    for workers in (1, 2, 4):
        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(by_decode, contents))
        spent_s = time.perf_counter() - start
        print(f"{workers} threads on all cores: {len(contents) / spent_s:.1f} clips/s by the clock")


def machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2]
    name = cpu.partition("\n")[0].strip("\t :") or platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="times that each clip is decoded")
    arguments = parser.parse_args()
    print(machine())
    clips = {f"{kind} {rate} Hz x {ch}": clip(kind, rate, ch) for kind, rate, ch in KINDS}
    print_ratios(clips, arguments.rounds)
    print_scaling(clips, arguments.rounds)


if __name__ == "__main__":
    main()
