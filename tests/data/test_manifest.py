import hashlib
import json

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.audio.pcm import to_float32, to_int16
from bat.data.labels import LabelOrder
from bat.data.ledger import LEDGER_SCHEMA
from bat.data.manifest import (
    MANIFEST_SCHEMA,
    leak_check,
    mixture_clips,
    read_manifest,
    render,
    whole_clips,
    window_clips,
    write_manifest,
)
from bat.data.pcm_store import PCM_INDEX_SCHEMA, PcmStore, PcmWriter
from bat.data.tables import make_table, write_table
from bat.errors import BatError

RATE_HZ = 16_000
SPEAKERS = [f"speaker-{number}" for number in range(9)]
MIXING = {"mixtures_per_clip": 1.0, "maximum_speakers": 3, "gain_range_db": 6.0}


def classes_of(*names):
    return LabelOrder(name="test/given", classes=names)


@pytest.fixture(scope="module")
def windows(ledger, store):
    return window_clips(ledger, store, clip_s=1.0, minimum_rms=0.003)


@pytest.fixture(scope="module")
def mixtures(windows):
    return mixture_clips(windows, seed=0, **MIXING)


@pytest.fixture
def make_data(tmp_path):
    """Return a function that makes a ledger and a store of recordings given by their columns."""

    def make(*recordings):
        rows = []
        with PcmWriter(tmp_path / "p", tmp_path / "i", rate_hz=RATE_HZ) as writer:
            for number, recording in enumerate(recordings):
                pcm = recording.pop("pcm", np.ones(2 * RATE_HZ, np.int16))
                defaults = {
                    "recording_id": f"recording-{number}",
                    "part": "train",
                    "labels": [],
                    "events": [],
                    "bytes": 0,
                    "status": "ok",
                    "reason": "",
                    "attempts": 1,
                }
                rows.append(dict.fromkeys(LEDGER_SCHEMA.columns) | defaults | recording)
                writer.add(rows[-1]["recording_id"], pcm)
        return make_table(rows, LEDGER_SCHEMA), PcmStore(tmp_path / "p", tmp_path / "i")

    return make


def event(label, onset_s, offset_s):
    return {"label": label, "onset_s": onset_s, "offset_s": offset_s}


def components(manifest):
    return manifest.explode("components").unnest("components")


def clip_of(*parts):
    names = ("recording_id", "start_sample", "samples", "gain_db")
    return pl.DataFrame({"components": [[dict(zip(names, part, strict=True)) for part in parts]]})


def digest(manifest):
    columns = ("clip_id", "part", "group", "labels", "components")
    rows = [
        [*clip[:-1], [list(component.values()) for component in clip[-1]]]
        for clip in manifest.select(columns).iter_rows()
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


# --- windows ----------------------------------------------------------------------------------


def test_the_fixture_gives_120_clips_in_five_parts(windows):
    assert windows.height == 120
    counts = windows["part"].value_counts().sort("part").rows()
    assert counts == [(f"meeting-{number}", 24) for number in range(5)]


def test_windows_follow_each_other_without_overlap(windows, store):
    for (recording_id,), found in components(windows).group_by("recording_id"):
        starts = sorted(found["start_sample"].to_list())
        assert all(start % RATE_HZ == 0 for start in starts)
        assert len(set(starts)) == len(starts)
        assert starts[-1] + RATE_HZ <= store.length(recording_id)


def test_a_clip_is_its_window_unchanged(windows, store):
    clip = windows.row(1, named=True)
    part = clip["components"][0]
    expected = to_float32(store.pcm(part["recording_id"]))[part["start_sample"] :][:RATE_HZ]
    np.testing.assert_array_equal(render(windows[1:2], store)[0].numpy(), expected)
    assert clip["group"] == [part["recording_id"]]
    assert clip["labels"] == [part["recording_id"].split("/")[1]]


def test_nearly_silent_windows_and_the_rest_are_dropped(make_data):
    loud, soft = np.full(RATE_HZ, 0.004, np.float32), np.full(RATE_HZ, 0.002, np.float32)
    pcm = to_int16(np.concatenate([loud, soft, loud, loud[:-1]]))
    clips = window_clips(*make_data({"pcm": pcm}), clip_s=1.0, minimum_rms=0.003)
    assert components(clips)["start_sample"].to_list() == [0, 2 * RATE_HZ]


def test_only_ok_recordings_become_clips(ledger, store, windows):
    lost = ledger["recording_id"][0]
    status = pl.when(pl.col("recording_id") == lost).then(pl.lit("short")).otherwise("status")
    clips = window_clips(ledger.with_columns(status=status), store, clip_s=1.0, minimum_rms=0.003)
    assert clips.height == windows.height - 3
    assert lost not in components(clips)["recording_id"]


def test_a_window_has_the_stretches_of_events_that_lie_inside(make_data):
    events = [event("dog", 0.25, 0.5), event("cat", 0.75, 1.5), event("rain", 1.0, 9.0)]
    data = make_data({"labels": ["rain", "dog", "cat"], "events": events, "transcript": "no"})
    clips = window_clips(*data, clip_s=1.0, minimum_rms=0.0)
    assert clips["events"].to_list() == [
        [event("dog", 0.25, 0.5), event("cat", 0.75, 1.0)],
        [event("cat", 0.0, 0.5), event("rain", 0.0, 1.0)],
    ]
    assert clips["labels"].to_list() == [["cat", "dog", "rain"]] * 2
    assert clips["transcript"].to_list() == [None, None]


# --- mixtures ---------------------------------------------------------------------------------


def test_the_clips_of_the_fixture_are_those_of_the_first_release(windows, mixtures):
    assert digest(windows) == "a3ce8730ae2a69f379a3c9189f9916c2dfe4b42503be327c666fc807bb0d2531"
    assert digest(mixtures) == "6c56b61d034aeaab34013d748e36f83dc515819f527fa4ee933c3c7022c554cb"


def test_mixtures_depend_on_the_seed_alone(windows, mixtures):
    assert mixture_clips(windows, seed=0, **MIXING).equals(mixtures)
    assert not mixture_clips(windows, seed=1, **MIXING).equals(mixtures)


def test_a_parts_mixtures_do_not_depend_on_the_clips_of_others(windows, mixtures):
    of_first = windows["part"] == "meeting-0"
    fewer = pl.concat([windows.filter(of_first).head(3), windows.filter(~of_first)])
    found = mixture_clips(fewer, seed=0, **MIXING).filter(pl.col("part") != "meeting-0")
    assert found.equals(mixtures.filter(pl.col("part") != "meeting-0"))


def test_mixtures_have_one_to_three_different_speakers_of_one_part(mixtures):
    assert set(mixtures["labels"].list.len()) == {1, 2, 3}
    for clip in mixtures.iter_rows(named=True):
        found = [part["recording_id"].split("/")[:2] for part in clip["components"]]
        assert {meeting for meeting, _ in found} == {clip["part"]}
        assert sorted(speaker for _, speaker in found) == clip["labels"]
        assert clip["group"] == sorted(part["recording_id"] for part in clip["components"])


def test_mixtures_are_made_of_windows(windows, mixtures):
    known = set(components(windows).select("recording_id", "start_sample").iter_rows())
    assert set(components(mixtures).select("recording_id", "start_sample").iter_rows()) <= known


def test_gains_spread_over_the_allowed_range(windows):
    many = mixture_clips(windows, seed=0, **MIXING | {"mixtures_per_clip": 5.0})
    gains_db = components(many)["gain_db"]
    assert -6 <= gains_db.min() < -5.8
    assert 5.8 < gains_db.max() <= 6
    assert abs(gains_db.mean()) < 0.3
    quiet = mixture_clips(windows, seed=0, **MIXING | {"gain_range_db": 1.0})
    assert components(quiet)["gain_db"].abs().max() <= 1


def test_the_number_of_mixtures_follows_the_clips_of_a_part(windows):
    shortened = pl.concat([windows.head(8), windows[24:48]])
    mixed = mixture_clips(shortened, seed=0, **MIXING | {"mixtures_per_clip": 1.5})
    assert dict(mixed["part"].value_counts().iter_rows()) == {"meeting-0": 12, "meeting-1": 36}


def test_a_part_with_one_speaker_gives_mixtures_of_one(windows):
    alone = windows.filter(pl.col("labels") == ["speaker-0"]).head(3)
    assert set(mixture_clips(alone, seed=0, **MIXING)["labels"].list.len()) == {1}


@pytest.mark.parametrize("labels", [[], ["cat", "dog"]])
def test_windows_of_no_or_several_speakers_are_not_mixed(make_data, labels):
    several = window_clips(*make_data({"labels": labels}), clip_s=1.0, minimum_rms=0.0)
    with pytest.raises(BatError, match="recording-0@0: expected one label"):
        mixture_clips(several, seed=0, **MIXING)


# --- whole recordings -------------------------------------------------------------------------


def test_a_recording_is_a_clip_with_all_that_the_list_says_of_it(make_data):
    events = [event("dog", 0.25, 0.5), event("cat", 1.9, 2.5)]
    recording = {"labels": ["dog", "cat", "dog"], "events": events, "transcript": "good dog"}
    ledger, store = make_data(
        recording | {"pcm": np.ones(700, np.int16)},
        {"part": "test", "status": "corrupt", "reason": "cut off"},
        {"part": "test"},
    )
    clips = whole_clips(ledger, store.index)
    assert clips["clip_id"].to_list() == ["recording-0", "recording-2"]
    assert clips["part"].to_list() == ["train", "test"]
    assert clips["group"].to_list() == [["recording-0"], ["recording-2"]]
    assert clips["labels"].to_list() == [["cat", "dog"], []]
    assert clips["events"].to_list() == [events, []]
    assert clips["transcript"].to_list() == ["good dog", None]
    assert components(clips).select("start_sample", "samples", "gain_db").rows() == [
        (0, 700, 0.0),
        (0, 2 * RATE_HZ, 0.0),
    ]


def whole_clip(row, samples):
    """The clip that a recording is, made by itself."""
    name = row["recording_id"]
    component = {"recording_id": name, "start_sample": 0, "samples": samples, "gain_db": 0.0}
    return {
        "clip_id": name,
        "part": row["part"],
        "group": [name],
        "labels": sorted(set(row["labels"])),
        "events": row["events"],
        "transcript": row["transcript"],
        "components": [component],
    }


def store_types():
    return {name: column.dtype.type for name, column in PCM_INDEX_SCHEMA.columns.items()}


RECORDINGS = st.fixed_dictionaries(
    {
        "part": st.sampled_from(["train", "test"]),
        "labels": st.lists(st.sampled_from(["dog", "cat", "é", "会", "Dog", "dog, barking"])),
        "events": st.lists(st.just(event("dog", 0.25, 0.5)), max_size=2),
        "transcript": st.sampled_from([None, "", "good dog"]),
        "status": st.sampled_from(["ok", "ok", "short"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDINGS, min_size=1, max_size=8))
def test_tables_of_whole_recordings_are_those_of_one_after_the_other(tmp_path_factory, recordings):
    folder = tmp_path_factory.mktemp("whole")
    rows = [
        dict.fromkeys(LEDGER_SCHEMA.columns)
        | {"recording_id": str(n), "bytes": 0, "attempts": 1, **recording}
        | {"reason": "" if recording["status"] == "ok" else "0.1 s"}
        for n, recording in enumerate(recordings)
    ]
    ok = [(row, 5 + n) for n, row in enumerate(rows) if row["status"] == "ok"]
    # An index may have recordings that the ledger lacks, and any order.
    of_index = [("other", 0, 1, 10), *((row["recording_id"], 0, n, 10) for row, n in ok[::-1])]
    index = pl.DataFrame(of_index, store_types(), orient="row")
    clips = whole_clips(make_table(rows, LEDGER_SCHEMA), index)
    expected = make_table([whole_clip(row, samples) for row, samples in ok], MANIFEST_SCHEMA)
    assert clips.equals(expected)
    for name, table in (("found", clips), ("expected", expected)):
        write_table(table, folder / name, MANIFEST_SCHEMA)
    assert (folder / "found").read_bytes() == (folder / "expected").read_bytes()


def test_whole_recordings_need_a_place_in_the_index(make_data):
    ledger, store = make_data({}, {})
    with pytest.raises(BatError, match="PCM store: no such recording: recording-1"):
        whole_clips(ledger, store.index.head(1))


SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_chunks_go_to_parts_by_their_position(make_data):
    ledger, store = make_data(
        {"part": "noise", "labels": ["silence"], "pcm": np.ones(21 * RATE_HZ - 1, np.int16)},
        {"labels": ["yes"]},
    )
    clips = whole_clips(ledger, store.index, chunks=SHARES, chunked_part="noise")
    assert clips["clip_id"].to_list()[:2] == ["recording-0@0", f"recording-0@{RATE_HZ}"]
    assert clips["part"].to_list() == ["train"] * 16 + ["validation"] * 2 + ["test"] * 2 + ["train"]
    assert clips["labels"].to_list() == [["silence"]] * 20 + [["yes"]]
    assert set(components(clips)["samples"][:20]) == {RATE_HZ}
    assert components(clips)["start_sample"][:20].to_list() == [n * RATE_HZ for n in range(20)]


def test_chunks_stand_where_their_recording_stands(make_data):
    ledger, store = make_data(
        {"part": "train"},
        {"part": "noise", "pcm": np.ones(2 * RATE_HZ, np.int16)},
        {"part": "test"},
    )
    chunks = {"train": 0.5, "test": 0.5}
    clips = whole_clips(ledger, store.index, chunks=chunks, chunked_part="noise")
    assert clips["clip_id"].to_list() == [
        "recording-0",
        "recording-1@0",
        f"recording-1@{RATE_HZ}",
        "recording-2",
    ]


def test_chunks_of_one_recording_may_be_on_both_sides(make_data):
    ledger, store = make_data({"part": "noise", "pcm": np.ones(10 * RATE_HZ, np.int16)})
    clips = whole_clips(ledger, store.index, chunks=SHARES, chunked_part="noise")
    assert clips["group"].to_list() == [[f"recording-0/{part}"] for part in clips["part"]]
    leak_check(clips, train=["train"], validation=["validation"], test=["test"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 70), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_no_chunk_is_lost_or_doubled(tmp_path_factory, seconds, weights):
    folder = tmp_path_factory.mktemp("chunks")
    with PcmWriter(folder / "p", folder / "i", rate_hz=10) as writer:
        writer.add("noise", np.ones(10 * seconds + 9, np.int16))
    row = {"recording_id": "noise", "part": "noise", "labels": [], "events": [], "bytes": 0}
    row |= {"status": "ok", "reason": "", "attempts": 1}
    ledger = make_table([dict.fromkeys(LEDGER_SCHEMA.columns) | row], LEDGER_SCHEMA)
    chunks = {str(number): weight / sum(weights) for number, weight in enumerate(weights)}
    clips = whole_clips(
        ledger, PcmStore(folder / "p", folder / "i").index, chunks=chunks, chunked_part="noise"
    )
    assert components(clips)["start_sample"].to_list() == list(range(0, 10 * seconds, 10))
    counts = dict(clips["part"].value_counts().iter_rows())
    assert all(abs(counts.get(part, 0) - seconds * share) <= 1 for part, share in chunks.items())
    assert clips["part"].to_list() == sorted(clips["part"].to_list())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunks": SHARES}, "belong together"),
        ({"chunked_part": "train"}, "belong together"),
        ({"chunks": {"train": 0.8, "test": 0.1}, "chunked_part": "train"}, "shares of 1"),
        ({"chunks": SHARES, "chunked_part": "nose"}, "'nose'; known parts: train"),
    ],
)
def test_wrong_chunks_are_refused(make_data, options, message):
    ledger, store = make_data({})
    with pytest.raises(BatError, match=message):
        whole_clips(ledger, store.index, **options)


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


def test_clips_of_different_lengths_are_brought_to_one(store):
    name = store.recording_ids[0]
    clips = pl.concat([clip_of((name, 5, 800, 0.0)), clip_of((name, 0, 900, 0.0))])
    found = render(clips, store, samples=850)
    assert found.shape == (2, 850)
    np.testing.assert_array_equal(found[0, :800].numpy(), store.read(name, 5, 800))
    np.testing.assert_array_equal(found[0, 800:].numpy(), np.zeros(50))
    np.testing.assert_array_equal(found[1].numpy(), store.read(name, 0, 850))


def test_a_truncated_mixture_is_divided_by_the_peak_of_what_is_left(tmp_path):
    pcm = np.array([1000, 2000, 30_000], np.int16)
    with PcmWriter(tmp_path / "p", tmp_path / "i", rate_hz=RATE_HZ) as writer:
        writer.add("a", pcm)
    store = PcmStore(tmp_path / "p", tmp_path / "i")
    found = render(clip_of(("a", 0, 3, 0.0), ("a", 0, 3, 0.0)), store, samples=2)
    np.testing.assert_array_equal(found[0].numpy(), 2 * to_float32(pcm[:2]))


# --- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["windows", "mixtures"])
def test_leaving_a_part_out_leaks_nothing(task, request):
    manifest = request.getfixturevalue(task)
    parts = sorted(manifest["part"].unique())
    for number, test in enumerate(parts):
        rest = [part for part in parts if part != test]
        leak_check(manifest, train=rest, test=[test])
        validation = rest[number % 4]
        train = [part for part in rest if part != validation]
        leak_check(manifest, train=train, validation=[validation], test=[test])


@pytest.mark.parametrize(
    ("sides", "crossed"),
    [
        ({"train": ["meeting-0"], "test": ["meeting-1"]}, "train and test"),
        (
            {"train": ["meeting-2"], "validation": ["meeting-0"], "test": ["meeting-1"]},
            "validation and test",
        ),
        (
            {"train": ["meeting-1"], "validation": ["meeting-0"], "test": ["meeting-2"]},
            "train and validation",
        ),
    ],
)
def test_a_recording_on_two_sides_is_refused(mixtures, sides, crossed):
    shared = mixtures["group"][0].to_list()
    group = pl.when(pl.col("part") == "meeting-1").then(pl.lit(shared)).otherwise("group")
    leaking = mixtures.with_columns(group=group)
    with pytest.raises(BatError, match=rf"recordings are in both {crossed}.*meeting-0/speaker"):
        leak_check(leaking, **sides)
    leak_check(mixtures, **sides)


def test_a_part_on_both_sides_is_refused(windows):
    with pytest.raises(BatError, match="8 recordings are in both"):
        leak_check(windows, train=["meeting-0"], test=["meeting-0"])


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({"train": [], "test": ["meeting-0"]}, "train: no part is named"),
        ({"train": ["meeting-0"], "test": []}, "test: no part is named"),
        ({"train": ["meeting-0"], "test": ["meeting-9"]}, "test: part 'meeting-9' has no clip"),
        (
            {"train": ["meeting-0", "meeting-9"], "test": ["meeting-1"]},
            "train: part 'meeting-9' has no clip",
        ),
        (
            {"train": ["meeting-0"], "validation": ["dev"], "test": ["meeting-1"]},
            "validation: part 'dev' has no clip",
        ),
    ],
)
def test_a_side_without_clips_is_refused(windows, sides, message):
    with pytest.raises(BatError, match=f"split: {message}; known parts: meeting-0, meeting-1, "):
        leak_check(windows, **sides)


# --- on disk ----------------------------------------------------------------------------------


def test_a_manifest_survives_the_way_to_disk_byte_for_byte(mixtures, tmp_path):
    classes = SPEAKERS[::-1]
    for name in ("one", "two"):
        write_manifest(tmp_path / name, mixtures, classes_of(*classes))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    manifest, found = read_manifest(tmp_path / "one")
    assert manifest.equals(mixtures)
    assert found == classes_of(*classes)
    assert found.classes == tuple(classes)


def test_events_and_transcripts_survive_the_way_to_disk(make_data, tmp_path):
    recording = {"events": [event("dog", 0.25, 0.5)], "transcript": "good dog"}
    ledger, store = make_data(recording, {})
    clips = whole_clips(ledger, store.index)
    write_manifest(tmp_path / "m", clips, classes_of("dog"))
    assert read_manifest(tmp_path / "m")[0].equals(clips)


@pytest.mark.parametrize(
    "change",
    [
        {"group": pl.lit([], pl.List(pl.String))},
        {"labels": pl.lit(["b", "a"])},
        {"labels": pl.lit(["a", "a"])},
        {"clip_id": pl.lit("same")},
        {"part": pl.lit(None, pl.String)},
        {"extra": pl.lit(1)},
        *(
            {
                "events": pl.lit(
                    [event("speaker-0", *times)], MANIFEST_SCHEMA.columns["events"].dtype.type
                )
            }
            for times in [(-0.1, 1.0), (1.0, 0.5), (0.0, float("inf")), (float("nan"), 1.0)]
        ),
    ],
)
def test_a_table_that_is_no_manifest_is_refused(mixtures, tmp_path, change):
    with pytest.raises(BatError, match="manifest: "):
        write_manifest(
            tmp_path / "m", mixtures.with_columns(**change), classes_of(*SPEAKERS, "a", "b")
        )


def test_a_label_that_is_no_class_is_refused(mixtures, tmp_path):
    with pytest.raises(BatError, match=r"labels among 8 classes, found 1 others.*'speaker-8'"):
        write_manifest(tmp_path / "m", mixtures, classes_of(*SPEAKERS[:-1]))
    write_table(mixtures, tmp_path / "m", MANIFEST_SCHEMA, metadata=classes_of().metadata())
    with pytest.raises(BatError, match=r"labels among 0 classes, found 9 others.*'speaker-0'"):
        read_manifest(tmp_path / "m")


def test_an_event_that_is_no_class_is_refused(make_data, tmp_path):
    ledger, store = make_data({"labels": ["dog"], "events": [event("cat", 0, 1)]})
    clips = whole_clips(ledger, store.index)
    with pytest.raises(BatError, match="found 1 others, the first is 'cat'"):
        write_manifest(tmp_path / "m", clips, classes_of("dog"))


def test_two_classes_of_one_name_are_refused(mixtures, tmp_path):
    with pytest.raises(BatError, match="classes of different names"):
        write_manifest(tmp_path / "m", mixtures, classes_of(*SPEAKERS, "speaker-0"))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "expected 'classes' in the metadata"),
        ({"classes": "a, b"}, "expected classes as"),
        ({"classes": "[]"}, "expected 'order' in the metadata"),
    ],
)
def test_a_manifest_without_classes_is_refused(mixtures, tmp_path, metadata, message):
    write_table(mixtures, tmp_path / "m", MANIFEST_SCHEMA, metadata=metadata)
    with pytest.raises(BatError, match=message):
        read_manifest(tmp_path / "m")


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_damaged_manifest_is_refused(mixtures, tmp_path, kept):
    write_manifest(tmp_path / "m", mixtures, classes_of(*SPEAKERS))
    content = (tmp_path / "m").read_bytes()
    length = kept if isinstance(kept, int) else int(kept * len(content))
    (tmp_path / "m").write_bytes(content[:length])
    with pytest.raises(BatError, match="expected a Parquet table"):
        read_manifest(tmp_path / "m")
