"""Measuring a machine: the rates that plans are made of, in about half a minute."""

import io
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from bat.audio import frontends
from bat.audio.ffmpeg import decode
from bat.models.encoder import AudioTransformer
from bat.planning.flops import TRAINING, transformer_flop
from bat.planning.rates import as_rows, keep, known_rates
from bat.provenance.hashing import sha256_of_file

_SECONDS_EACH = 3.0
_CLIP_S, _RATE_HZ = 10, 16_000
_FRAMES, _MEL_BINS = 128, 128


def calibrate() -> None:
    """Measure this machine, keep its rates and print them."""
    path = keep(measure())
    console = Console()
    for name, value, origin in as_rows(known_rates()):
        console.print(f"{name:14} {value:10.3g}  {origin}", highlight=False)
    console.print(f"kept in {path}", highlight=False)


def measure() -> dict[str, float]:
    """Return the rates of one core of this machine, and of its GPU where there is one."""
    torch.set_num_threads(1)
    measured = {
        "start_s": _start_s(),
        "hash_bytes_s": _hash_bytes_s(),
        "decode_x": _decode_x(),
        "frontend_x": _frontend_x(),
        "cpu_flop_s": _training_flop_s(torch.device("cpu"), width=192, depth=3, clips=8),
    }
    if torch.cuda.is_available():
        gpu = torch.device("cuda")
        measured["gpu_flop_s"] = _training_flop_s(gpu, width=768, depth=12, clips=256)
    return measured


def _seconds(work: Callable[[], object]) -> float:
    """Time one call of some work, over as many as fit into a few seconds; the first warms up."""
    work()
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < _SECONDS_EACH:
        work()
        calls += 1
    return (time.perf_counter() - started) / calls


def _start_s() -> float:
    imports = "import snakemake.cli, torch, polars, sklearn, bat.workflow, bat.provenance.job"
    return _seconds(lambda: subprocess.run([sys.executable, "-c", imports], check=True))


def _hash_bytes_s() -> float:
    with tempfile.NamedTemporaryFile() as file:
        size = file.write(bytes(64 * 2**20))
        file.flush()
        return size / _seconds(lambda: sha256_of_file(Path(file.name)))


def _decode_x() -> float:
    noise = np.random.default_rng(0).normal(0, 3000, _CLIP_S * 48_000).astype("<i2")
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(noise.tobytes())
    return _CLIP_S / _seconds(lambda: decode(content.getvalue(), rate_hz=_RATE_HZ))


def _frontend_x() -> float:
    frontend = frontends.build("bat")
    waveform = torch.randn(4, _CLIP_S * _RATE_HZ)
    return 4 * _CLIP_S / _seconds(lambda: frontend(waveform))


def _training_flop_s(device: torch.device, *, width: int, depth: int, clips: int) -> float:
    """Train an encoder on clips of as many patches as a student sees of ten seconds."""
    encoder = AudioTransformer(width=width, depth=depth, heads=width // 64).to(device)
    clips_B1TF = torch.randn(clips, 1, _FRAMES, _MEL_BINS, device=device)
    tokens = (_FRAMES // 16) * (_MEL_BINS // 16) + 1

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = encoder(clips_B1TF).patches.square().mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    forward = transformer_flop(width=width, depth=depth, tokens=tokens, mlp_ratio=4.0)
    return TRAINING * clips * forward / _seconds(step)
