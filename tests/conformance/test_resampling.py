"""The check of resampling, and what it must not let pass."""

import io
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr
import torch
from typer.testing import CliRunner

import bat.compat  # noqa: F401  (must come before torchaudio)
from bat.audio.decoding import decode
from bat.audio.ffmpeg import Recording, ffmpeg_binary
from bat.cli import app
from bat.conformance.resampling import (
    DECODERS,
    LOWEST_AGREEMENT_DB,
    NATIVE_RATES_HZ,
    RATE_HZ,
    agreement_db,
    check_resampling,
    made_material,
    print_report,
)
from bat.errors import BatError

# isort: split
import torchaudio

CASES = len(NATIVE_RATES_HZ) * 4 * 2 * len(DECODERS)


def as_recording(samples):
    return Recording(
        samples=samples.astype(np.float32),
        rate_hz=RATE_HZ,
        native_rate_hz=44_100,
        channels=1,
        duration_s=2.0,
    )


def by_ffmpegs_own_resampler(content):
    command = [ffmpeg_binary(), "-v", "error", "-i", "-", "-ar", str(RATE_HZ), "-f", "f32le", "-"]
    output = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    return as_recording(np.frombuffer(output, "<f4"))


def by_torchaudios_default(content):
    samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
    resampled = torchaudio.functional.resample(torch.from_numpy(samples), rate_hz, RATE_HZ)
    return as_recording(resampled.numpy())


OTHERS = {"swr": by_ffmpegs_own_resampler, "torchaudio": by_torchaudios_default}


def decoded(content, **changes):
    return replace(decode(content, rate_hz=RATE_HZ), **changes)


def shifted(content):
    return decoded(content, samples=np.roll(decoded(content).samples, 1))


def of_another_rate(content):
    samples, rate_hz = soundfile.read(io.BytesIO(content))
    return as_recording(soxr.resample(samples, rate_hz * 1.001, RATE_HZ, "VHQ")[: 2 * RATE_HZ])


def a_little_louder(content):
    return decoded(content, samples=decoded(content).samples * np.float32(1.001))


def in_12_bits(content):
    return decoded(content, samples=np.rint(decoded(content).samples * 2048) / np.float32(2048))


def clipped(content):
    return decoded(content, samples=np.clip(decoded(content).samples, -0.2, 0.2))


def resampled_without_a_filter(content):
    samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    return as_recording(np.interp(time_s, np.arange(len(samples)) / rate_hz, samples))


# --- this project's decoding ------------------------------------------------------------------


def test_the_command_prints_a_line_per_case_and_all_pass():
    done = CliRunner().invoke(app, ["resampling"])
    assert done.exit_code == 0
    *lines, last = done.output.splitlines()
    assert last == f"{CASES} of {CASES} cases agree with soxr HQ to 70 dB below 7000 Hz"
    line = re.compile(
        r"(noise|sweep|tones|speech), (44100|48000) Hz, (WAV|FLAC), (in-process|ffmpeg) +"
        r"([0-9.]+) dB +([0-9.]+) dB in 16 bits  pass"
    )
    found = [line.fullmatch(text) for text in lines]
    assert len({match.groups()[:4] for match in found}) == len(found) == CASES
    assert all(float(match[5]) >= 80 and float(match[6]) >= 75 for match in found)


def test_both_ways_of_decoding_give_the_same_samples():
    for rate_hz in NATIVE_RATES_HZ:
        for samples in made_material(rate_hz).values():
            file = io.BytesIO()
            soundfile.write(file, samples, rate_hz, format="FLAC", subtype="PCM_16")
            one, other = (decode(file.getvalue()) for decode in DECODERS.values())
            np.testing.assert_array_equal(one.samples, other.samples)


@pytest.mark.parametrize("rate_hz", NATIVE_RATES_HZ)
def test_the_material_is_exact_in_16_bits_and_has_something_above_half_the_new_rate(rate_hz):
    for samples in made_material(rate_hz).values():
        np.testing.assert_array_equal(np.rint(samples * 32768) / 32768, samples)
        power = np.square(np.abs(np.fft.rfft(samples)))
        frequency_hz = np.fft.rfftfreq(len(samples), 1 / rate_hz)
        assert 0.001 < power[frequency_hz > 8_000].sum() / power.sum() < 0.9
        assert np.abs(samples).max() == 0.5


# --- other resamplers do not pass -------------------------------------------------------------


@pytest.mark.parametrize("name", OTHERS)
def test_the_usual_default_resamplers_fail_every_case(name):
    cases = list(check_resampling({name: OTHERS[name]}))
    assert len(cases) == 16
    for case in cases:
        assert not case.passed
        assert not case.problem
        assert 20 < case.float_db < LOWEST_AGREEMENT_DB


# Measured on noise: 38 and 18 dB from 6 to 7 kHz, 97 and 69 dB below 1 kHz.
@pytest.mark.parametrize(("name", "near_edge_db"), [("swr", 45), ("torchaudio", 25)])
@pytest.mark.parametrize("rate_hz", NATIVE_RATES_HZ)
def test_other_resamplers_differ_near_the_band_edge_and_not_far_below(name, near_edge_db, rate_hz):
    samples = made_material(rate_hz)["noise"]
    reference = soxr.resample(samples, rate_hz, RATE_HZ, "HQ")
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="PCM_16")
    other, own = OTHERS[name](file.getvalue()).samples, decoded(file.getvalue()).samples
    assert agreement_db(other, reference, from_hz=6_000) < near_edge_db
    assert agreement_db(own, reference, from_hz=6_000) > 75
    assert agreement_db(other, reference, to_hz=1_000) > 60


# --- planted faults ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        shifted,
        of_another_rate,
        a_little_louder,
        in_12_bits,
        clipped,
        resampled_without_a_filter,
    ],
)
def test_a_planted_fault_fails(fault):
    failed = [case.name for case in check_resampling({"planted": fault}) if not case.passed]
    assert any(name.startswith("noise") for name in failed)
    assert len(failed) >= 8


def test_a_sample_that_is_not_a_number_fails():
    def holed(content):
        samples = decoded(content).samples.copy()
        samples[5000] = np.nan
        return decoded(content, samples=samples)

    cases = list(check_resampling({"planted": holed}))
    assert {case.problem for case in cases} == {"samples that are not finite"}
    assert not any(case.passed for case in cases)
    reference = np.ones(1000)
    assert not agreement_db(np.full(1000, np.nan), reference) >= LOWEST_AGREEMENT_DB


def test_a_lost_sample_fails_with_the_number_of_samples():
    cut = {"planted": lambda content: decoded(content, samples=decoded(content).samples[1:])}
    problems = {case.problem for case in check_resampling(cut)}
    assert problems == {"expected 32000 samples at 16000 Hz, found 31999 at 16000 Hz"}


def test_a_file_that_the_fast_way_leaves_to_ffmpeg_is_a_failure_of_the_fast_way(capsys):
    with pytest.raises(
        BatError, match=r"resampling: 16 of 16 cases failed, the first: noise, 44100"
    ):
        print_report({"in-process": lambda _: None})
    assert capsys.readouterr().out.count("not decoded by this decoder  fail") == 16


def test_the_same_samples_agree_without_limit():
    reference = np.random.default_rng(0).standard_normal(1000)
    assert agreement_db(reference, reference) == np.inf
    assert agreement_db(reference * 1.001, reference) == pytest.approx(60)
