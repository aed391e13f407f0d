"""What a WAV or FLAC file says of itself, where its header leaves nothing to doubt.

Decoders differ in what they forgive. This reading forgives nothing: sizes that do not add up, an
unknown chunk or format and every other oddity give None, which is no verdict on the file.

Sources: "Multimedia Programming Interface and Data Specifications 1.0" (IBM and Microsoft, 1991)
with its WAVEFORMATEXTENSIBLE supplement, and RFC 9639 for FLAC.
"""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass

# Beyond these a header is more likely wrong than the recording extraordinary.
_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 1_000, 384_000
_MOST_CHANNELS = 8

_WAV_SUBTYPES = {
    (1, 8): "PCM_U8",
    (1, 16): "PCM_16",
    (1, 24): "PCM_24",
    (1, 32): "PCM_32",
    (3, 32): "FLOAT",
}
_EXTENSIBLE = 0xFFFE
# Every GUID of a WAVE format is its two-byte tag and these bytes.
_WAVE_GUID_END = bytes.fromhex("000000001000800000aa00389b71")
_PLAIN_CHUNKS = {b"fmt ", b"data", b"fact", b"PEAK"}

# Compressed sound in the clothes of 16-bit PCM (a "DTS-WAV"), which ffmpeg recognises: the words
# that start a frame of IEC 61937 and of DTS in its four packings. It looks at the start only, and
# for several frames: one such word may be a chance.
_DISGUISED = tuple(map(bytes.fromhex, ("72f81f4e", "fe7f0180", "7ffe8001", "ff1f00e8", "1fffe800")))
_DISGUISE_SEARCH_BYTES = 1 << 17
_DISGUISE_FRAMES = 3
# AC-3 and MP3 with a tag in front; eleven set bits start a frame of MPEG audio.
_DISGUISED_STARTS = (b"\x0b\x77", b"ID3")

# More frames than this per byte are silence, or a lie that would fill the memory.
_MOST_FRAMES_PER_BYTE = 64

_FLAC_SUBTYPES = {16: "PCM_16", 24: "PCM_24"}
_STREAM_INFO_BYTES = 34
_SMALLEST_BLOCK = 16
# Padding, application data, seek table and comments. Pictures and cue sheets are read in full by
# some decoders, which then stumble over what is wrong in them.
_PLAIN_FLAC_BLOCKS = {1, 2, 3, 4}
# The starts of a frame: in a file whose blocks all have one size, and in any other.
_FLAC_FRAMES = (b"\xff\xf8", b"\xff\xf9")
_SMALLEST_FRAME_BYTES = 10
# The code of a rate and of a sample's bits in the header of a frame.
_FLAC_RATE_CODES = {
    88_200: 1,
    176_400: 2,
    192_000: 3,
    8_000: 4,
    16_000: 5,
    22_050: 6,
    24_000: 7,
    32_000: 8,
    44_100: 9,
    48_000: 10,
    96_000: 11,
}
_FLAC_BITS_CODES = {16: 4, 24: 6}
# Two channels may be stored as left or right and their difference, or as mean and difference.
_FLAC_STEREO_CODES = {1, 8, 9, 10}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file promises.

    Attributes
    ----------
    container, subtype : str
        In the terms of libsndfile: "WAV", "WAVEX" or "FLAC"; "PCM_U8", "PCM_16", "PCM_24",
        "PCM_32" or "FLOAT".
    rate_hz, channels, frames : int
        At least one each.
    pcm_md5 : bytes or None
        MD5 of the samples, which every FLAC encoder that can go back in its file writes.
    """

    container: str
    subtype: str
    rate_hz: int
    channels: int
    frames: int
    pcm_md5: bytes | None = None


def plain_header(content: bytes) -> Header | None:
    """Return the header of a WAV or FLAC file without any oddity, None for everything else.

    Parameters
    ----------
    content : bytes
        Of the whole file.
    """
    try:
        header = _flac_header(content) if content[:4] == b"fLaC" else _wav_header(content)
    except (struct.error, IndexError):  # the file ends in its header
        return None
    if header is None or header.frames < 1 or not 1 <= header.channels <= _MOST_CHANNELS:
        return None
    if header.frames > _MOST_FRAMES_PER_BYTE * len(content):
        return None
    return header if _LOWEST_RATE_HZ <= header.rate_hz <= _HIGHEST_RATE_HZ else None


def _wav_header(content: bytes) -> Header | None:
    chunks = _wav_chunks(content)
    if chunks is None or b"fmt " not in chunks or b"data" not in chunks:
        return None
    data = chunks[b"data"]
    tag, channels, rate_hz, bytes_per_s, frame_bytes, bits = struct.unpack_from(
        "<HHIIHH", chunks[b"fmt "]
    )
    container = "WAVEX" if tag == _EXTENSIBLE else "WAV"
    subtype = _WAV_SUBTYPES.get((_sample_tag(chunks[b"fmt "], tag, bits), bits))
    if subtype is None or (subtype == "PCM_16" and _is_disguised(data)):
        return None
    if channels == 0 or frame_bytes != channels * bits // 8 or len(data) % frame_bytes:
        return None
    frames = len(data) // frame_bytes
    if bytes_per_s != rate_hz * frame_bytes or not _counts(chunks, frames):
        return None
    return Header(
        container=container, subtype=subtype, rate_hz=rate_hz, channels=channels, frames=frames
    )


def _wav_chunks(content: bytes) -> Mapping[bytes, memoryview] | None:
    """Return the chunks by name if they are known, fill the file and none comes twice."""
    riff, riff_bytes, wave = struct.unpack_from("<4sI4s", content)
    if (riff, wave) != (b"RIFF", b"WAVE") or riff_bytes != len(content) - 8:
        return None
    chunks: dict[bytes, memoryview] = {}
    start = 12
    while start < len(content):
        name, size_bytes = struct.unpack_from("<4sI", content, start)
        end = start + 8 + size_bytes
        if end > len(content) or name in chunks or not _is_plain(name, size_bytes, chunks):
            return None
        chunks[name] = memoryview(content)[start + 8 : end]
        start = end + size_bytes % 2  # chunks start at even offsets
    return chunks if start == len(content) else None


def _is_plain(name: bytes, size_bytes: int, earlier: Collection[bytes]) -> bool:
    """Tell whether a chunk may stand where it stands. A list begins with its kind, four bytes."""
    if name == b"LIST":
        return size_bytes >= 4
    return name in _PLAIN_CHUNKS and b"data" not in earlier


def _sample_tag(description: memoryview, tag: int, bits: int) -> int:
    """Return the tag of the samples' format, 0 if the description has anything odd."""
    extra = bytes(description[16:])
    if tag != _EXTENSIBLE:
        return tag if extra in (b"", b"\0\0") else 0
    extra_bytes, valid_bits, _, inner_tag, guid_end = struct.unpack("<HHIH14s", extra)
    plain = (extra_bytes, valid_bits, guid_end) == (22, bits, _WAVE_GUID_END)
    return int(inner_tag) if plain else 0


def _is_disguised(data: memoryview) -> bool:
    start = bytes(data[:_DISGUISE_SEARCH_BYTES])
    # Not ff fe and ff ff, which few MPEG files start with and many recordings: samples near zero.
    is_mpeg = start[:1] == b"\xff" and b"\xe0" <= start[1:2] < b"\xfe"
    if is_mpeg or start.startswith(_DISGUISED_STARTS):
        return True
    return any(start.count(word) >= _DISGUISE_FRAMES for word in _DISGUISED)


def _counts(chunks: Mapping[bytes, memoryview], frames: int) -> bool:
    """Tell whether the second count of the frames, which some files have, is the same."""
    return b"fact" not in chunks or bytes(chunks[b"fact"]) == struct.pack("<I", frames)


def _flac_header(content: bytes) -> Header | None:
    first_frame = _after_flac_metadata(content)
    if first_frame is None or _ends_in_the_start_of_a_frame(content):
        return None
    info = content[8 : 8 + _STREAM_INFO_BYTES]
    # 20 bits of rate, 3 of channels - 1, 5 of bits - 1 and 36 of the number of frames.
    packed = int.from_bytes(info[10:18], "big")
    rate_hz, channels = packed >> 44, (packed >> 41 & 7) + 1
    bits, frames = (packed >> 36 & 31) + 1, packed & ((1 << 36) - 1)
    frame = content[first_frame : first_frame + 8]
    largest_block = int.from_bytes(info[2:4], "big")
    if bits not in _FLAC_SUBTYPES or not any(info[18:34]):
        return None
    if largest_block < max(_SMALLEST_BLOCK, _block_size(frame)):
        return None
    if not _frame_agrees(frame, rate_hz, channels, bits):
        return None
    return Header(
        container="FLAC",
        subtype=_FLAC_SUBTYPES[bits],
        rate_hz=rate_hz,
        channels=channels,
        frames=frames,
        pcm_md5=info[18:34],
    )


def _after_flac_metadata(content: bytes) -> int | None:
    """Return where the first frame starts, None if there is an unusual block before it."""
    kind, size_bytes = content[4] & 0x7F, int.from_bytes(content[5:8], "big")
    if kind != 0 or size_bytes != _STREAM_INFO_BYTES:
        return None
    start = 4
    while True:
        is_last, kind = content[start] >> 7, content[start] & 0x7F
        if start > 4 and kind not in _PLAIN_FLAC_BLOCKS:
            return None
        start += 4 + int.from_bytes(content[start + 1 : start + 4], "big")
        if is_last:
            return start


def _ends_in_the_start_of_a_frame(content: bytes) -> bool:
    """Tell whether so little of another frame may follow the last one that no decoder complains."""
    tail = content[-_SMALLEST_FRAME_BYTES:]
    return tail.endswith(b"\xff") or any(start in tail for start in _FLAC_FRAMES)


def _block_size(frame: bytes) -> int:
    """Return the number of samples in a frame that is the first of its file.

    Where all blocks have one size, only the last may be smaller.
    """
    code = frame[2] >> 4
    if code in (6, 7):  # in one byte or two behind the frame's number, which is a zero byte here
        return int.from_bytes(frame[5:code], "big") + 1
    return 576 << code - 2 if 2 <= code <= 5 else 192 if code == 1 else 1 << code


def _frame_agrees(frame: bytes, rate_hz: int, channels: int, bits: int) -> bool:
    """Tell whether the first frame's header says what the file's header says."""
    starts = frame[:2] == _FLAC_FRAMES[0] and frame[4] == 0
    rate_code, channel_code, bits_code = frame[2] & 15, frame[3] >> 4, frame[3] >> 1 & 7
    channel_codes = _FLAC_STEREO_CODES if channels == 2 else {channels - 1}
    return (
        starts
        and rate_code == _FLAC_RATE_CODES.get(rate_hz)
        and channel_code in channel_codes
        and bits_code == _FLAC_BITS_CODES[bits]
    )
