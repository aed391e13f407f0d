import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bat.data.pcm_store import PCM_INDEX_SCHEMA, PcmStore, PcmWriter
from bat.data.shards import read_spectrograms, read_tokens, write_spectrograms, write_tokens
from bat.errors import BatError

PCM = {
    "meeting-0/speaker-0/a": np.arange(-500, 500, dtype=np.int16),
    "meeting-0/speaker-1/b": np.full(300, 7, np.int16),
    "meeting-1/speaker-0/c": np.arange(40, dtype=np.int16),
}
CLIPS = ["clip-0", "clip-1", "会议"]


def write_pcm(folder, recordings):
    files = folder / "pcm.npy", folder / "pcm.parquet"
    with PcmWriter(*files, rate_hz=16_000) as writer:
        for recording_id, pcm in recordings:
            writer.add(recording_id, pcm)
    return files


@pytest.fixture
def pcm_files(tmp_path):
    return write_pcm(tmp_path, PCM.items())


@pytest.fixture
def spectrogram():
    return torch.randn(3, 1, 32, 8)


@pytest.fixture
def tokens():
    return {"cls": torch.randn(2, 3, 6).half(), "patches": torch.randn(2, 3, 6, 4, 2).half()}


# --- PCM --------------------------------------------------------------------------------------


def test_recordings_come_back_as_they_were(pcm_files):
    store = PcmStore(*pcm_files)
    assert store.recording_ids == tuple(PCM)
    assert store.rate_hz == 16_000
    for recording_id, pcm in PCM.items():
        assert store.length(recording_id) == len(pcm)
        np.testing.assert_array_equal(store.pcm(recording_id), pcm)


def test_a_window_is_read_as_float32_of_full_scale(pcm_files):
    window = PcmStore(*pcm_files).read("meeting-0/speaker-0/a", 400, 200)
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window, np.arange(-100, 100) / 32768)


@pytest.mark.parametrize(("start", "samples"), [(-1, 5), (900, 101), (2000, 1), (0, -1)])
def test_a_window_beyond_its_recording_is_refused(pcm_files, start, samples):
    with pytest.raises(BatError, match="meeting-0/speaker-0/a has 1000 samples"):
        PcmStore(*pcm_files).read("meeting-0/speaker-0/a", start, samples)


def test_an_unknown_recording_is_refused(pcm_files):
    with pytest.raises(BatError, match="no such recording: d"):
        PcmStore(*pcm_files).length("d")


def test_the_same_pcm_gives_the_same_bytes(pcm_files, tmp_path):
    (tmp_path / "again").mkdir()
    for one, other in zip(pcm_files, write_pcm(tmp_path / "again", PCM.items()), strict=True):
        assert one.read_bytes() == other.read_bytes()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_samples_are_those_of_one_npy_file(tmp_path_factory, lengths, random):
    folder = tmp_path_factory.mktemp("pcm")
    waveforms = [
        np.array([random.randint(-32768, 32767) for _ in range(length)], np.int16)
        for length in lengths
    ]
    found, _ = write_pcm(folder, ((str(number), pcm) for number, pcm in enumerate(waveforms)))
    np.save(folder / "expected.npy", np.concatenate(waveforms))
    assert found.read_bytes() == (folder / "expected.npy").read_bytes()


def test_a_view_of_samples_is_written_like_a_copy(tmp_path):
    write_pcm(tmp_path, [("a", np.arange(20, dtype=np.int16)[::2])])
    np.testing.assert_array_equal(np.load(tmp_path / "pcm.npy"), np.arange(0, 20, 2))


def test_a_store_whose_writing_failed_is_refused(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        PcmWriter(tmp_path / "p", tmp_path / "i", rate_hz=16_000) as writer,
    ):
        writer.add("a", np.ones(5, np.int16))
        raise ZeroDivisionError
    with pytest.raises(BatError, match="expected a Parquet table"):
        PcmStore(tmp_path / "p", tmp_path / "i")


def test_a_store_that_is_overwritten_in_vain_is_refused(pcm_files):
    with pytest.raises(ZeroDivisionError), PcmWriter(*pcm_files, rate_hz=16_000) as writer:
        for recording_id, pcm in PCM.items():
            writer.add(recording_id, pcm)
        raise ZeroDivisionError
    with pytest.raises(BatError, match=r"expected int16 \[1340\].*found int16 \[0\]"):
        PcmStore(*pcm_files)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_pcm_store_is_refused(pcm_files, which, kept):
    content = pcm_files[which].read_bytes()
    length = kept if isinstance(kept, int) else int(kept * len(content))
    pcm_files[which].write_bytes(content[:length])
    with pytest.raises(BatError, match=pcm_files[which].name):
        PcmStore(*pcm_files)


def test_samples_of_another_store_are_refused(pcm_files):
    np.save(pcm_files[0], np.zeros(5, np.int16))
    with pytest.raises(BatError, match=r"expected int16 \[1340\].*found int16 \[5\]"):
        PcmStore(*pcm_files)


def test_an_index_may_list_a_part_of_the_samples_in_any_order(tmp_path):
    files = tmp_path / "p", tmp_path / "i"
    with PcmWriter(*files, rate_hz=8_000) as writer:
        places = [writer.append(np.full(n, n, np.int16)) for n in (3, 4, 5)]
        index = [("c", places[2], 5, 8_000), ("a", places[0], 3, 8_000), ("again", 0, 3, 8_000)]
        writer.list_only(pl.DataFrame(index, list(PCM_INDEX_SCHEMA.columns), orient="row"))
    store = PcmStore(*files)
    assert places == [0, 3, 7]
    assert store.recording_ids == ("c", "a", "again")
    assert [store.pcm(name).tolist() for name in store.recording_ids] == [[5] * 5, [3] * 3, [3] * 3]
    with pytest.raises(BatError, match="no such recording: b"):
        store.pcm("b")


def test_an_index_that_reaches_beyond_the_samples_is_refused(tmp_path):
    files = tmp_path / "p", tmp_path / "i"
    with PcmWriter(*files, rate_hz=8_000) as writer:
        writer.append(np.ones(5, np.int16))
        index = [("a", 0, 5, 8_000), ("b", 3, 3, 8_000)]
        writer.list_only(pl.DataFrame(index, list(PCM_INDEX_SCHEMA.columns), orient="row"))
    with pytest.raises(BatError, match=r"expected int16 \[6\] or more.*found int16 \[5\]"):
        PcmStore(*files)


def test_pickled_samples_are_refused(pcm_files):
    np.save(pcm_files[0], np.array([object()]), allow_pickle=True)
    with pytest.raises(BatError, match="expected an npy file"):
        PcmStore(*pcm_files)


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ([], "at least one recording"),
        ([("a", np.zeros(5, np.float32))], "expected int16"),
        ([("a", np.zeros((2, 5), np.int16))], "expected int16"),
        ([("a", np.zeros(5, np.int16))] * 2, "two recordings are called a"),
    ],
)
def test_wrong_pcm_is_not_written(tmp_path, recordings, message):
    with pytest.raises(BatError, match=message):
        write_pcm(tmp_path, recordings)


# --- spectrograms and tokens ------------------------------------------------------------------


def test_spectrograms_come_back_as_they_were(tmp_path, spectrogram):
    write_spectrograms(tmp_path / "s", CLIPS, spectrogram)
    shard = read_spectrograms(tmp_path / "s")
    assert shard.clip_ids == tuple(CLIPS)
    assert torch.equal(shard.spectrogram, spectrogram)


def test_tokens_come_back_as_they_were(tmp_path, tokens):
    write_tokens(tmp_path / "t", CLIPS, **tokens)
    shard = read_tokens(tmp_path / "t")
    assert shard.clip_ids == tuple(CLIPS)
    assert torch.equal(shard.cls, tokens["cls"])
    assert torch.equal(shard.patches, tokens["patches"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_either_precision_comes_back_in_its_own_type(tmp_path, spectrogram, tokens, dtype):
    write_spectrograms(tmp_path / "s", CLIPS, spectrogram, dtype=dtype)
    write_tokens(tmp_path / "t", CLIPS, **tokens, dtype=dtype)
    assert torch.equal(read_spectrograms(tmp_path / "s").spectrogram, spectrogram.to(dtype))
    assert read_tokens(tmp_path / "t").cls.dtype == dtype
    assert read_tokens(tmp_path / "t").patches.dtype == dtype


def test_other_types_of_number_are_not_written(tmp_path, spectrogram):
    with pytest.raises(BatError, match="expected all of float16 or all of float32"):
        write_spectrograms(tmp_path / "s", CLIPS, spectrogram, dtype=torch.float64)


def test_tokens_of_two_types_are_refused(tmp_path, tokens):
    mixed = {"cls": tokens["cls"].float(), "patches": tokens["patches"]}
    save_file(mixed, tmp_path / "t", {"clip_ids": '["a", "b", "c"]'})
    with pytest.raises(BatError, match="expected all of float16 or all of float32"):
        read_tokens(tmp_path / "t")


def test_the_same_content_gives_the_same_bytes(tmp_path, spectrogram, tokens):
    for name in "12":
        write_spectrograms(tmp_path / f"s{name}", CLIPS, spectrogram)
        write_tokens(tmp_path / f"t{name}", CLIPS, **tokens)
    assert (tmp_path / "s1").read_bytes() == (tmp_path / "s2").read_bytes()
    assert (tmp_path / "t1").read_bytes() == (tmp_path / "t2").read_bytes()


def test_a_view_is_written_like_a_copy(tmp_path, spectrogram):
    write_spectrograms(tmp_path / "1", CLIPS, spectrogram.transpose(2, 3))
    write_spectrograms(tmp_path / "2", CLIPS, spectrogram.transpose(2, 3).clone())
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, 0.99])
def test_a_truncated_shard_is_refused(tmp_path, spectrogram, kept):
    path = tmp_path / "s"
    write_spectrograms(path, CLIPS, spectrogram)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(BatError, match="expected a safetensors file"):
        read_spectrograms(path)


def test_an_absent_shard_is_refused(tmp_path):
    with pytest.raises(BatError, match="expected a safetensors file"):
        read_tokens(tmp_path / "absent")


def test_a_shard_of_another_kind_is_refused(tmp_path, spectrogram):
    write_spectrograms(tmp_path / "s", CLIPS, spectrogram)
    with pytest.raises(BatError, match=r"expected \['cls', 'patches'\]"):
        read_tokens(tmp_path / "s")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(2, 1, 32, 8), r"expected spectrogram as \['N', '1', 'T', 'F'\] with 3 clips"),
        (torch.zeros(3, 2, 32, 8), "found .3, 2, 32, 8."),
        (torch.zeros(3, 32, 8), "found .3, 32, 8."),
        (torch.zeros(3, 1, 32, 8).double(), "expected all of float16 or all of float32"),
    ],
)
def test_a_foreign_file_of_the_wrong_shape_is_refused(tmp_path, tensor, message):
    metadata = {"clip_ids": '["a", "b", "c"]'}
    save_file({"spectrogram": tensor}, tmp_path / "s", metadata)
    with pytest.raises(BatError, match=message):
        read_spectrograms(tmp_path / "s")


def test_tokens_whose_axes_do_not_agree_are_not_written(tmp_path, tokens):
    with pytest.raises(BatError, match="expected patches as"):
        write_tokens(tmp_path / "t", CLIPS, cls=tokens["cls"][:1], patches=tokens["patches"])
    with pytest.raises(BatError, match="expected cls as"):
        write_tokens(tmp_path / "t", CLIPS[:2], **tokens)


def test_values_that_are_not_finite_are_not_written(tmp_path, spectrogram, tokens):
    spectrogram[0, 0, 0, 0] = torch.nan
    with pytest.raises(BatError, match="not finite"):
        write_spectrograms(tmp_path / "s", CLIPS, spectrogram)
    with pytest.raises(BatError, match="patches has values that are not finite"):
        write_tokens(
            tmp_path / "t", CLIPS, cls=tokens["cls"], patches=tokens["patches"].float() * 1e6
        )
