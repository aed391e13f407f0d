import io
import struct

import ffmpeg
import numpy as np
import pytest
import soundfile
import soxr
import torch

import bat.audio.decoding
import bat.audio.ffmpeg
import bat.compat
from audio.recipes import encoded, noise, tones_and_noise, with_ffmpeg
from bat.audio.ffmpeg import (
    DecodeError,
    DecoderKilledError,
    EmptyRecordingError,
    ffmpeg_binary,
)
from bat.errors import BatError

# isort: split
import torchaudio

HEADER_BYTES = 44


@pytest.fixture(params=[bat.audio.ffmpeg, bat.audio.decoding], ids=["ffmpeg", "decoding"])
def decode(request):
    """ffmpeg alone, and what the rest of the project uses: one contract holds for both."""
    return request.param.decode


def signal_to_error_db(reference, found):
    """Ratio over the part that both have, without the edges."""
    length = min(len(reference), len(found))
    inside = slice(1000, length - 1000)
    error = reference[inside].astype(np.float64) - found[inside]
    return 10 * np.log10(np.square(reference[inside], dtype=np.float64).sum() / (error**2).sum())


# --- what is decoded --------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_pcm_at_the_wanted_rate_comes_back_bit_for_bit(decode, container):
    samples = noise()
    recording = decode(encoded(samples, container=container), rate_hz=16_000)
    np.testing.assert_array_equal(recording.samples, samples)
    assert recording.samples.dtype == np.float32
    assert (recording.native_rate_hz, recording.channels, recording.duration_s) == (16_000, 1, 2.0)


def test_24_bits_are_kept(decode):
    samples = (np.rint(noise() * 0.3 * 2**23) / 2**23).astype(np.float32)
    recording = decode(encoded(samples, subtype="PCM_24"), rate_hz=16_000)
    np.testing.assert_array_equal(recording.samples, samples)


@pytest.mark.parametrize("channels", [2, 6, 7])
def test_channels_are_averaged_with_equal_weights(decode, channels):
    samples = np.stack([noise(seed=seed) for seed in range(channels)], axis=1)
    recording = decode(encoded(samples), rate_hz=16_000)
    np.testing.assert_allclose(recording.samples, samples.mean(axis=1), atol=1e-7)
    assert recording.channels == channels


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_resampled_to_the_same_duration(decode, rate_hz):
    recording = decode(encoded(noise(rate_hz=rate_hz), rate_hz), rate_hz=16_000)
    assert recording.native_rate_hz == rate_hz
    assert recording.rate_hz == 16_000
    assert recording.duration_s == 2.0
    assert abs(len(recording.samples) - 32_000) <= 1


def test_without_a_wanted_rate_the_file_keeps_its_own(decode):
    samples = noise(rate_hz=8_000)
    recording = decode(encoded(samples, 8_000), rate_hz=None)
    np.testing.assert_array_equal(recording.samples, samples)
    assert recording.rate_hz == 8_000


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_resampling_agrees_with_soxr(decode, rate_hz, subtype):
    content = encoded(tones_and_noise(rate_hz), rate_hz, subtype=subtype)
    source, _ = soundfile.read(io.BytesIO(content), dtype="float64")
    reference = soxr.resample(source, rate_hz, 16_000, "HQ")
    assert signal_to_error_db(reference, decode(content, rate_hz=16_000).samples) >= 90


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_resampling_agrees_with_torchaudio_far_below_the_band_edge(decode, rate_hz):
    # torchaudio's short default filter falls off early, so the signal ends at 5 kHz.
    source = tones_and_noise(rate_hz, highest_hz=5_000.0)
    reference = torchaudio.functional.resample(
        torch.from_numpy(source), rate_hz, 16_000, lowpass_filter_width=64
    ).numpy()
    found = decode(encoded(source, rate_hz, subtype="FLOAT"), rate_hz=16_000).samples
    assert signal_to_error_db(reference, found) >= 50


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        ("mp3", ()),
        ("ogg", ("-c:a", "libvorbis")),
        ("opus", ("-c:a", "libopus")),
        ("m4a", ()),
        ("w64", ()),
        ("aiff", ()),
        ("mka", ()),
    ],
)
def test_common_containers_are_decoded_in_full(decode, tmp_path, extension, options):
    recording = decode(with_ffmpeg(tmp_path, extension, *options), rate_hz=16_000)
    assert recording.duration_s == pytest.approx(2.0, abs=0.05)
    assert np.sqrt(np.square(recording.samples).mean()) > 0.02


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "with space.wav",
        'quote\'s "here".wav',
        "line\nbreak.wav",
        "-y.wav",
        "-i",
        "http:x.wav",
        "concat:a|b",
        "pipe:0",
        "image%03d.wav",
        "[a:0];$HOME`id`.wav",
        "会议 Ω ñ.wav",
        "no extension",
        "really flac.mp3",
    ],
)
def test_a_files_name_plays_no_part(decode, tmp_path, name, monkeypatch):
    samples = noise(0.5)
    (tmp_path / name).write_bytes(encoded(samples, container="FLAC"))
    np.testing.assert_array_equal(decode(tmp_path / name, rate_hz=16_000).samples, samples)
    # A relative path is the harder case: nothing stands before the name.
    monkeypatch.chdir(tmp_path)
    relative = (tmp_path / name).relative_to(tmp_path)
    np.testing.assert_array_equal(decode(relative, rate_hz=16_000).samples, samples)


def test_the_name_does_not_appear_in_the_error(decode, tmp_path):
    path = tmp_path / "somebody.wav"
    path.write_text("no sound at all\n" * 100)
    with pytest.raises(DecodeError, match="undecodable") as caught:
        decode(path, rate_hz=16_000)
    assert "somebody" not in str(caught.value)


def test_a_playlist_cannot_make_ffmpeg_open_another_file(decode, tmp_path):
    (tmp_path / "other.wav").write_bytes(encoded(noise()))
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    for text in ("ffconcat version 1.0\nfile {}\n", hls):
        playlist = tmp_path / "playlist.wav"
        playlist.write_text(text.format(tmp_path / "other.wav"))
        with pytest.raises(DecodeError):
            decode(playlist, rate_hz=16_000)


# --- bad files --------------------------------------------------------------------------------


@pytest.mark.parametrize("missing_bytes", [2, 301, 3200, 32_000, 64_000 - 3 * 4096])
def test_a_truncated_wav_is_noticed(decode, missing_bytes):
    with pytest.raises(DecodeError, match="truncated"):
        decode(encoded(noise())[:-missing_bytes], rate_hz=16_000)


@pytest.mark.parametrize(
    ("container", "share"),
    [("FLAC", 0.1), ("FLAC", 0.5), ("FLAC", 0.999), ("MP3", 0.1), ("MP3", 0.5), ("MP3", 0.9)],
)
def test_a_truncated_compressed_file_is_noticed(decode, container, share):
    content = encoded(noise(), container=container, subtype=None)
    with pytest.raises(DecodeError):
        decode(content[: int(share * len(content))], rate_hz=16_000)


def test_a_flac_cut_between_two_frames_is_noticed_by_its_duration(decode):
    content = encoded(noise(), container="FLAC")
    # The code that every frame of 4096 samples starts with.
    last_frame = content.rindex(b"\xff\xf8")
    with pytest.raises(DecodeError, match=r"header promises 2.00 s, decoded 1.79 s"):
        decode(content[:last_frame], rate_hz=16_000)


def test_a_truncated_m4a_is_noticed(decode, tmp_path):
    content = with_ffmpeg(tmp_path, "m4a")
    with pytest.raises(DecodeError, match="undecodable"):
        decode(content[: len(content) // 2], rate_hz=16_000)


def test_a_header_that_promises_nothing_is_empty(decode):
    content = encoded(np.zeros(0, np.float32))
    with pytest.raises(EmptyRecordingError, match="no samples"):
        decode(content, rate_hz=16_000)


def test_a_header_without_its_samples_is_truncated(decode):
    with pytest.raises(DecodeError, match="truncated") as caught:
        decode(encoded(noise())[:HEADER_BYTES], rate_hz=16_000)
    assert not isinstance(caught.value, EmptyRecordingError)


@pytest.mark.parametrize("declared_bytes", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_streamed_wav_of_unknown_size_is_whole(decode, declared_bytes):
    content = bytearray(encoded(noise()))
    content[40:44] = struct.pack("<I", declared_bytes)
    assert decode(bytes(content), rate_hz=16_000).duration_s == 2.0


def test_zero_channels_are_refused(decode):
    content = bytearray(encoded(noise()))
    content[22:24] = b"\0\0"
    with pytest.raises(DecodeError, match="undecodable"):
        decode(bytes(content), rate_hz=16_000)


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"RIFF", b"RIFF\0\0\0\0WAVE", b"text " * 999, bytes(5000)]
)
def test_what_is_no_audio_is_refused(decode, content):
    with pytest.raises(DecodeError, match="undecodable"):
        decode(content, rate_hz=16_000)


def test_a_missing_file_is_refused(decode, tmp_path):
    with pytest.raises(DecodeError, match="no such file"):
        decode(tmp_path / "absent.wav", rate_hz=16_000)


def test_a_killed_decoder_is_not_the_files_fault(tmp_path, monkeypatch):
    killer = tmp_path / "ffmpeg"
    killer.write_text("#!/bin/sh\nkill -9 $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr(bat.audio.ffmpeg, "ffmpeg_binary", lambda: str(killer))
    with pytest.raises(DecoderKilledError, match="signal 9"):
        bat.audio.ffmpeg.decode(encoded(noise()), rate_hz=16_000)


# --- the binary -------------------------------------------------------------------------------


@pytest.fixture
def fresh_binary():
    ffmpeg_binary.cache_clear()
    yield
    ffmpeg_binary.cache_clear()


def test_ffmpeg_on_path_comes_first(tmp_path, monkeypatch, fresh_binary):
    stand_in = tmp_path / "ffmpeg"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg_binary() == str(stand_in)


def test_without_any_ffmpeg_the_error_says_so(tmp_path, monkeypatch, fresh_binary):
    def none():
        raise RuntimeError("none")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bat.audio.ffmpeg.imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(BatError, match="ffmpeg: none on PATH"):
        ffmpeg_binary()


def test_the_binary_has_soxr():
    source = ffmpeg.input("anullsrc=r=8000:cl=mono:d=0.1", format="lavfi")
    output = source.filter("aresample", 16_000, resampler="soxr").output("pipe:", format="f32le")
    assert len(output.run(cmd=ffmpeg_binary(), capture_stdout=True, quiet=True)[0]) == 4 * 1600
