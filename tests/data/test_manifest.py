import numpy as np
import polars as pl
import pytest
import torch

from bat.audio.pcm import to_float32, to_int16
from bat.data.manifest import (
    MANIFEST_SCHEMA,
    leak_check,
    mixture_clips,
    render,
    speaker_clips,
)
from bat.data.shards import PcmStore, write_pcm
from bat.data.tables import read_table, write_table
from bat.errors import BatError

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def speakers(ledger, store):
    return speaker_clips(ledger.table, store)


@pytest.fixture(scope="module")
def mixtures(speakers):
    return mixture_clips(speakers, seed=0)


def components(manifest):
    return manifest.explode("components").unnest("components")


def clip_of(*parts):
    names = ("recording_id", "start_sample", "samples", "gain_db")
    return pl.DataFrame({"components": [[dict(zip(names, part, strict=True)) for part in parts]]})


# --- task A -----------------------------------------------------------------------------------


def test_the_fixture_gives_120_clips_in_five_folds(speakers):
    assert speakers.height == 120
    assert speakers["fold"].value_counts().sort("fold").rows() == [(fold, 24) for fold in range(5)]
    folds = speakers.select("meeting", "fold").unique().sort("fold").rows()
    assert folds == [(f"meeting-{fold}", fold) for fold in range(5)]


def test_speaker_clips_are_windows_without_overlap(speakers, store):
    for (recording_id,), parts in components(speakers).group_by("recording_id"):
        starts = sorted(parts["start_sample"].to_list())
        assert all(start % RATE_HZ == 0 for start in starts)
        assert len(set(starts)) == len(starts)
        assert starts[-1] + RATE_HZ <= store.length(recording_id)


def test_a_speaker_clip_is_its_window_unchanged(speakers, store):
    clip = speakers.row(1, named=True)
    part = clip["components"][0]
    expected = to_float32(store.pcm(part["recording_id"]))[part["start_sample"] :][:RATE_HZ]
    np.testing.assert_array_equal(render(speakers[1:2], store)[0].numpy(), expected)
    assert clip["group"] == [part["recording_id"]]
    assert clip["labels"] == [part["recording_id"].split("/")[1]]


def test_nearly_silent_windows_and_the_rest_are_dropped(ledger, tmp_path):
    first = ledger.table.head(1)
    loud, soft = np.full(RATE_HZ, 0.004, np.float32), np.full(RATE_HZ, 0.002, np.float32)
    pcm = to_int16(np.concatenate([loud, soft, loud, loud[:-1]]))
    write_pcm(tmp_path / "p", tmp_path / "i", [(first["recording_id"][0], pcm)], rate_hz=RATE_HZ)
    clips = speaker_clips(first, PcmStore(tmp_path / "p", tmp_path / "i"))
    assert components(clips)["start_sample"].to_list() == [0, 2 * RATE_HZ]


def test_only_ok_recordings_become_clips(ledger, store, speakers):
    lost = ledger.table["recording_id"][0]
    status = pl.when(pl.col("recording_id") == lost).then(pl.lit("short")).otherwise("status")
    clips = speaker_clips(ledger.table.with_columns(status=status), store)
    assert clips.height == speakers.height - 3
    assert lost not in components(clips)["recording_id"]


# --- task B -----------------------------------------------------------------------------------


def test_mixtures_depend_on_the_seed_alone(speakers, mixtures):
    assert mixture_clips(speakers, seed=0).equals(mixtures)
    assert not mixture_clips(speakers, seed=1).equals(mixtures)


def test_a_meetings_mixtures_do_not_depend_on_other_meetings(speakers, mixtures):
    without_first = speakers.filter(pl.col("meeting") != "meeting-0")
    rest = mixtures.filter(pl.col("meeting") != "meeting-0")
    assert mixture_clips(without_first, seed=0).equals(rest)


def test_mixtures_have_one_to_three_different_speakers_of_one_meeting(mixtures):
    assert set(mixtures["labels"].list.len()) == {1, 2, 3}
    for clip in mixtures.iter_rows(named=True):
        found = [part["recording_id"].split("/")[:2] for part in clip["components"]]
        assert {meeting for meeting, _ in found} == {clip["meeting"]}
        assert sorted(speaker for _, speaker in found) == clip["labels"]
        assert clip["group"] == sorted(part["recording_id"] for part in clip["components"])


def test_mixtures_are_made_of_speaker_clips(speakers, mixtures):
    windows = set(components(speakers).select("recording_id", "start_sample").iter_rows())
    assert set(components(mixtures).select("recording_id", "start_sample").iter_rows()) <= windows


def test_gains_spread_over_the_allowed_range(speakers):
    gains_db = components(mixture_clips(speakers, seed=0, mixtures_per_clip=5.0))["gain_db"]
    assert -6 <= gains_db.min() < -5.8
    assert 5.8 < gains_db.max() <= 6
    assert abs(gains_db.mean()) < 0.3
    quiet = mixture_clips(speakers, seed=0, max_gain_db=1.0)
    assert components(quiet)["gain_db"].abs().max() <= 1


def test_the_number_of_mixtures_follows_the_clips_of_a_meeting(speakers):
    shortened = pl.concat([speakers.filter(pl.col("fold") == 0).head(8), speakers[24:48]])
    counts = mixture_clips(shortened, seed=0, mixtures_per_clip=1.5)["fold"].value_counts()
    assert dict(counts.iter_rows()) == {0: 12, 1: 36}


def test_a_meeting_with_one_speaker_gives_mixtures_of_one(speakers):
    alone = speakers.filter(pl.col("labels") == ["speaker-0"]).head(3)
    assert set(mixture_clips(alone, seed=0)["labels"].list.len()) == {1}


# --- rendering --------------------------------------------------------------------------------


def test_a_mixture_is_the_sum_of_its_scaled_components(store):
    first, second = store.recording_ids[:2]
    found = render(clip_of((first, 0, 800, -6.0), (second, 16, 800, 2.0)), store)
    expected = 10 ** (-6 / 20) * store.read(first, 0, 800) + 10 ** (2 / 20) * store.read(
        second, 16, 800
    )
    assert found.shape == (1, 800)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-6)


def test_a_mixture_beyond_full_scale_is_divided_by_its_peak(store):
    part = (store.recording_ids[0], 0, 16_000, 40.0)
    found = render(clip_of(part), store)[0]
    assert float(found.abs().max()) == 1.0
    window = torch.from_numpy(store.read(*part[:3]))
    torch.testing.assert_close(found, window / window.abs().max())


def test_all_mixtures_of_the_fixture_are_finite_and_within_full_scale(mixtures, store):
    waveforms = render(mixtures, store)
    assert waveforms.shape == (120, RATE_HZ)
    assert float(waveforms.abs().max()) <= 1.0


def test_clips_of_different_lengths_are_refused(store):
    name = store.recording_ids[0]
    with pytest.raises(BatError, match="components differ in length"):
        render(clip_of((name, 0, 800, 0.0), (name, 0, 900, 0.0)), store)
    both = pl.concat([clip_of((name, 0, 800, 0.0)), clip_of((name, 0, 900, 0.0))])
    with pytest.raises(BatError, match="clips of one length"):
        render(both, store)
    with pytest.raises(BatError, match="clips of one length"):
        render(both.head(0), store)


# --- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["speakers", "mixtures"])
def test_leaving_a_meeting_out_leaks_nothing(task, request):
    manifest = request.getfixturevalue(task)
    meetings = manifest["meeting"].unique().to_list()
    for test in meetings:
        rest = [meeting for meeting in meetings if meeting != test]
        leak_check(manifest, train_meetings=rest, test_meetings=[test])


def test_a_recording_on_both_sides_is_refused(mixtures):
    shared = mixtures[0]["components"].to_list()[0]
    rows = mixtures.select("meeting", "components").iter_rows()
    crossed = [shared if meeting == "meeting-1" else parts for meeting, parts in rows]
    crossed = mixtures.with_columns(pl.Series("components", crossed, mixtures.schema["components"]))
    with pytest.raises(BatError, match=r"recordings are in both.*meeting-0/speaker"):
        leak_check(crossed, train_meetings=["meeting-0"], test_meetings=["meeting-1"])


def test_a_meeting_on_both_sides_is_refused(speakers):
    with pytest.raises(BatError, match="8 recordings are in both"):
        leak_check(speakers, train_meetings=["meeting-0"], test_meetings=["meeting-0"])


@pytest.mark.parametrize(("train", "test"), [([], ["meeting-0"]), (["meeting-0"], ["meeting-9"])])
def test_a_side_without_clips_is_refused(speakers, train, test):
    with pytest.raises(BatError, match="clips on both sides"):
        leak_check(speakers, train_meetings=train, test_meetings=test)


# --- on disk ----------------------------------------------------------------------------------


def test_a_manifest_survives_the_way_to_disk_byte_for_byte(mixtures, tmp_path):
    for name in ("one", "two"):
        write_table(mixtures, tmp_path / name, MANIFEST_SCHEMA)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_table(tmp_path / "one", MANIFEST_SCHEMA).equals(mixtures)


@pytest.mark.parametrize(
    "change",
    [
        {"task": pl.lit("other")},
        {"fold": pl.lit(-1, pl.Int64)},
        {"labels": pl.lit(["b", "a"])},
        {"labels": pl.lit([], pl.List(pl.String))},
        {"clip_id": pl.lit("same")},
    ],
)
def test_a_table_that_is_no_manifest_is_refused(mixtures, tmp_path, change):
    with pytest.raises(BatError, match="manifest: "):
        write_table(mixtures.with_columns(**change), tmp_path / "m", MANIFEST_SCHEMA)
