"""A wrong parameter is one line that names the key, what was found and what is allowed."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bat.errors import BatError
from bat.params import load, parse
from params.conftest import REPOSITORY, at, changed, default_content, wide_content, with_change

NAMED_BY_THE_USER = {
    ("datasets",), ("tasks",), ("groups",), ("frontends",), ("models",), ("probes",),
    # names of parts, of files, of methods and of front ends
    ("datasets", "words", "excluded"),
    ("tasks", "words", "clips", "chunks", "into"),
    ("tasks", "words", "input", "frontends"),
    ("tasks", "words", "recipes"),
    ("models", "own", "encoder", "options"),
    # of metrics
    ("equivalence", "margins"),
}  # fmt: skip
# Checked when they are put over what they change, not as sections of their own.
CHANGES_OF_OTHERS = [("tasks", "words", "input", "frontends"), ("tasks", "words", "recipes")]


def sections(content, path=()):
    """Paths of every section whose keys the schema fixes."""
    if path not in NAMED_BY_THE_USER:
        yield path
    for key, value in content.items():
        if isinstance(value, dict) and path not in CHANGES_OF_OTHERS:
            yield from sections(value, (*path, key))


SECTIONS = sorted(sections(wide_content()))


def complaint(content):
    with pytest.raises(BatError) as caught:
        parse(content, "mine.yaml")
    text = str(caught.value)
    assert len(text.splitlines()) == 1, text
    assert "http" not in text
    assert text.startswith("mine.yaml: ")
    return text.removeprefix("mine.yaml: ")


def complaint_about(dotted, value):
    return complaint(changed(default_content(), dotted, value))


def complaint_about_wide(dotted, value):
    return complaint(changed(wide_content(), dotted, value))


def test_the_default_parameters_are_valid():
    params = load(REPOSITORY / "params.yaml")
    folds = params.folds("speaker")
    assert [fold.name for fold in folds] == [f"meeting-{index}" for index in range(5)]
    assert {params.group_of("speaker", fold) for fold in folds} == set(params.groups)


def test_the_wide_parameters_are_valid():
    params = parse(wide_content(), "params.yaml")
    assert set(params.tasks) - set(params.labelled) == {"heard", "quiet", "scenes"}


def test_a_pretraining_group_never_tests_on_what_it_hears():
    params = load(REPOSITORY / "params.yaml")
    for task in params.labelled:
        for fold in params.folds(task):
            heard = params.groups[params.group_of(task, fold)].pretrain
            assert not set(fold.test) & set(heard)


def test_leaving_one_out_trains_on_all_others():
    for fold in load(REPOSITORY / "params.yaml").folds("speaker"):
        assert fold.test == [fold.name]
        assert sorted(fold.train + fold.test) == [f"meeting-{index}" for index in range(5)]
        assert fold.validation == []


def test_a_split_is_one_fold_with_the_sides_that_it_names():
    (fold,) = parse(wide_content(), "").folds("rooms")
    assert (fold.name, fold.train, fold.test) == ("test", ["train", "validation"], ["test"])
    (fold,) = parse(changed(wide_content(), "tasks/rooms/folds/test", ["one", "two"]), "").folds(
        "rooms"
    )
    assert fold.name == "one-two"


# --- unknown keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("section", SECTIONS, ids=lambda path: ".".join(path) or "(top)")
def test_an_unknown_key_is_named_with_its_value_and_what_is_allowed(section):
    content = wide_content()
    here = at(content, *section)
    allowed = sorted(here)
    here["surprise"] = 17
    text = complaint(content)
    start = ".".join([*section, "surprise"]) + ": unknown key (value 17); allowed: "
    assert text.startswith(start)
    named = text.removeprefix(start).split(", ")
    assert set(named) >= set(allowed)
    assert "surprise" not in named


@settings(max_examples=60)
@given(
    section=st.sampled_from(SECTIONS),
    key=st.text(min_size=1, max_size=12),
    value=st.one_of(
        st.none(), st.integers(), st.text(), st.lists(st.text(max_size=3)), st.floats()
    ),
)
def test_any_unknown_key_gives_one_line(section, key, value):
    content = wide_content()
    here = at(content, *section)
    if key not in here:
        here[key] = value
        text = complaint(content)
        assert "unknown key (value " in text
        assert (key if key.isprintable() else repr(key)) in text


@pytest.mark.parametrize("key", ["[key]", "Model", "literal[1]"])
def test_an_unknown_key_that_looks_like_a_tag_of_the_validator_is_named(key):
    content = changed(default_content(), f"models/bat-mini/{key}", 1)
    text = complaint(content)
    assert text.startswith(f"models.bat-mini.{key}: unknown key (value 1); allowed: encoder, ")


@pytest.mark.parametrize(
    ("dotted", "value", "expected"),
    [
        ("tasks/words/recipes/cgp", {"surprise": 17}, ["cgp on words: surprise: ", "17"]),
        ("tasks/words/recipes/probes", {"surprise": 17}, ["lp on words: surprise: ", "17"]),
        ("tasks/words/recipes/finetune", {"surprise": 17}, ["finetune on words: surprise: ", "17"]),
        ("tasks/words/recipes/cgp", {"prototypes": "8"}, ["cgp on words: prototypes: ", "'8'"]),
        ("tasks/words/recipes/finetune", {"mixup": 2.5}, ["finetune on words: mixup: ", "2.5"]),
        ("tasks/words/input/frontends", {"bat": {"surprise": 17}},
         ["front end bat on words: surprise: ", "17"]),
        ("tasks/words/input/frontends", {"bat": {"hop": 0}},
         ["front end bat on words: hop: ", "found 0"]),
    ],
)  # fmt: skip
def test_a_change_that_does_not_fit_what_it_changes_is_named(dotted, value, expected):
    text = complaint_about_wide(dotted, value)
    for part in expected:
        assert part in text
    assert len(text) < 300


def test_a_recipe_may_not_break_what_it_changes():
    text = complaint_about_wide("tasks/words/recipes/cgp", {"warmup_steps": 9999})
    assert "cgp on words" in text
    assert "warmup_steps 9999 must be below steps 200" in text
    # the settings themselves, some thirty of them, would bury the message
    assert len(text) < 200
    assert ": :" not in text


def test_a_recipe_of_all_probes_may_name_only_what_all_have():
    text = complaint_about_wide("tasks/words/recipes/probes", {"prototypes": 5})
    assert "lp on words: prototypes: " in text


# --- wrong values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("datasets/meetings/rate_hz", "16000"),
        ("datasets/meetings/rate_hz", 16000.0),
        ("datasets/meetings/rate_hz", True),
        ("datasets/meetings/rate_hz", None),
        ("datasets/meetings/rate_hz", 0),
        ("datasets/meetings/maximum_bad_share", 1.5),
        ("datasets/meetings/minimum_duration_s", -0.1),
        ("datasets/meetings/source/sha256", "ABC"),
        ("datasets/meetings/source/package", "speaker box"),
        ("datasets/meetings/excluded", ["x.wav"]),
        ("datasets/words/source/path", 3),
        ("datasets/scenes/layout/order", "random"),
        ("tasks/speaker/clips/clip_s", "1.0"),
        ("tasks/speaker/clips/clip_s", True),
        ("tasks/speaker/clips/clip_s", [1.0]),
        ("tasks/speaker/clips/clip_s", float("nan")),
        ("tasks/speaker/clips/clip_s", float("inf")),
        ("tasks/speaker/clips/minimum_rms", float("nan")),
        ("tasks/speaker/input/cached", "yes"),
        ("tasks/speaker/input/cached", 1),
        ("tasks/speaker/input/samples", 0),
        ("tasks/speaker/input/minimum_frames", -1),
        ("tasks/speaker/input/padding", "silence"),
        ("tasks/speaker/loss", "asymmetric"),
        ("tasks/mixture/loss", "cross_entropy"),
        ("tasks/mixture/clips/seed", "7"),
        ("tasks/words/clips/chunks/into/train", 1.5),
        ("tasks/words/transforms/roll", 1),
        ("tasks/words/transforms/gaussian_noise", -0.1),
        ("tasks/words/sampling/clips_per_epoch", 0),
        ("tasks/words/selection/every", 0),
        ("tasks/words/test_batch_size", 0),
        ("tasks/rooms/decoding/threshold", 1.1),
        ("tasks/rooms/decoding/median_filter", 0),
        ("frontends/bat/statistics/mean", None),
        ("frontends/published/scale", 0.0),
        ("frontends/published/statistics/deviation", 0.0),
        ("models/bat-mini/encoder/position_order", "sideways"),
        ("models/bat-mini/pretraining/ema/start", "0.999"),
        ("models/bat-mini/pretraining/decoder/depth", 2.0),
        ("models/bat-mini/pretraining", 3),
        ("models/bat-mini/pretraining/keep", "both"),
        ("models/bat-mini/encoder", None),
        ("models/bat-mini/tasks", "speaker"),
        ("models/eat/weights/layout", "mae"),
        ("models/eat/weights/branch", "teacher"),
        ("models/eat/weights/sha256", "ABC"),
        ("models/own/encoder/factory", "encoder.py"),
        ("models/own/encoder/factory", "encoder.py:not a name"),
        ("models/own/encoder/options", [1]),
        ("probes/cgp/dropout", -0.1),
        ("probes/lp/pooling", "max"),
        ("probes/head2toe/lasso", -1.0),
        ("probes/vqt/head_norm", 0),
        ("probes/asr/hidden", 0),
        ("finetuning/learning_rate", 0),
        ("finetuning/betas", 0.9),
        ("finetuning/colour_noise", 1.5),
        ("finetuning/masks", 3),
        ("baseline/maximum_iterations", 0),
        ("seeds/pretrain", -1),
        ("statistics/seed", -1),
        ("statistics/confidence", 1.5),
        ("equivalence/margin", 0.0),
        ("equivalence/margin", "0.5"),
        ("equivalence/margins", [1.0]),
        ("equivalence/confidence", 1.0),
        ("equivalence/confidence", 0.1),
        ("figures/frontends/clip", -1),
        ("grain/probe", "clip"),
        ("compute/float32_matmul_precision", "low"),
        ("compute/training", "float16"),
        ("pretraining_clips", None),
    ],
)
def test_a_wrong_value_is_shown_beside_its_key(dotted, value):
    content = wide_content()
    if dotted.startswith("frontends/bat/statistics/"):
        content["frontends"]["bat"]["statistics"] = {"mean": 0.5, "deviation": 0.2}
    text = complaint(changed(content, dotted, value))
    assert text.startswith(dotted.replace("/", ".") + ": ")
    assert f"found {value!r}" in text


@pytest.mark.parametrize("margins", [{"WER": -1.0}, {"wer": 1.0}, {"WER": "1"}])
def test_margins_are_those_of_known_metrics(margins):
    (metric,) = margins
    text = complaint_about("equivalence/margins", margins)
    assert text.startswith(f"equivalence.margins.{metric}: ")


@pytest.mark.parametrize("value", ["training", 1, True])
def test_statistics_are_those_of_pretraining_or_given_or_none(value):
    text = complaint_about("frontends/bat/statistics", value)
    assert text.startswith("frontends.bat.statistics")
    assert "found " in text


@pytest.mark.parametrize(("dotted", "length"), [("finetuning/betas", 1), ("finetuning/betas", 3)])
def test_a_list_of_the_wrong_length_is_named(dotted, length):
    assert complaint_about(dotted, [0.9] * length).startswith("finetuning.betas: ")


def test_an_entry_of_a_list_is_named_by_its_index():
    assert complaint_about("finetuning/betas", [0.9, "x"]).startswith("finetuning.betas.1: ")


def test_a_long_value_is_cut_short():
    assert len(complaint_about("datasets/meetings/rate_hz", "x" * 100_000)) < 200


def test_a_long_value_in_a_recipe_is_cut_short():
    text = complaint_about_wide("tasks/words/recipes/cgp", {"prototypes": "x" * 100_000})
    assert len(text) < 200


# Keys that have a default, by the section that they are in.
OPTIONAL = {
    "kind", "inner", "inner_sha256", "excluded", "classes", "chunks", "samples", "minimum_frames",
    "only",
    "padding", "frontends", "recipes",
    "transforms", "sampling", "selection", "test_batch_size", "validation",
    "roll", "random_crop", "gaussian_noise", "pretraining", "weights", "branch", "tasks", "methods",
    "time_patches", "pretrained", "options", "micro_batch_size", "explosion",
    "mirror", "published", "path", "sha256",
}  # fmt: skip
ALL_OPTIONAL = {("figures",), ("tasks", "words", "transforms")}


@pytest.mark.parametrize("section", [s for s in SECTIONS if s not in ALL_OPTIONAL], ids=".".join)
def test_a_missing_key_is_named(section):
    here = at(wide_content(), *section)
    # a foreign encoder says itself what it is
    foreign = {"depth", "patch_size"} if here.get("kind") in ("timm", "adapter") else set()
    # of a file one must say where it is and what it is; weights may be those of the catalogue
    of_file = (
        {"path", "sha256"} if here.get("kind") in ("file", "folder", "package-index") else set()
    )
    required = [key for key in here if key not in (OPTIONAL | foreign) - of_file]
    if section[:1] == ("tasks",) and len(section) == 2:
        required = [key for key in required if key != "loss"] + ["methods"] * (
            section[1] not in ("heard", "quiet", "scenes")
        )
    for key in required:
        content = wide_content()
        del at(content, *section)[key]
        text = complaint(content)
        assert text.startswith(".".join([*section, key]) + ": this key is missing")


@pytest.mark.parametrize(
    ("section", "kinds"),
    [
        ("datasets/meetings/source", ["package-index", "file", "folder"]),
        ("datasets/meetings/layout", ["meetings", "esc50", "speech-commands", "audioset",
                                      "dcase2016-task2", "birdset", "librispeech", "csv"]),
        ("tasks/mixture", ["unlabelled", "multi-class", "multi-label", "frame-wise", "transcript"]),
        ("tasks/mixture/clips", ["windows", "mixtures", "whole"]),
        ("tasks/mixture/folds", ["leave-one-out", "split"]),
        ("tasks/words/sampling", ["uniform", "inverse-first-label", "inverse-class-frequency"]),
        ("tasks/words/selection", ["last", "best-validation"]),
        ("frontends/bat", ["bat", "legacy"]),
        ("models/bat-mini/encoder", ["audio-transformer", "beats", "timm", "adapter"]),
        ("models/bat-mini/pretraining/decoder", ["vit", "cnn"]),
        ("probes/lp", ["lp", "lcgp", "cgp", "protobin", "head2toe", "vqt", "asr"]),
    ],
)  # fmt: skip
def test_an_unknown_kind_is_told_the_known_ones(section, kinds):
    text = complaint_about_wide(f"{section}/kind", "novel")
    assert text.startswith(section.replace("/", ".") + ": ")
    assert "'novel'" in text
    for kind in kinds:
        assert f"'{kind}'" in text
    content = wide_content()
    del at(content, *section.split("/"))["kind"]
    assert "its key 'kind' is missing" in complaint(content)


# --- references -------------------------------------------------------------------------------

MODELS = "bat-mini, eat-mini, random-init"
METHODS = "lp, lcgp, cgp, protobin, head2toe, finetune"


@pytest.mark.parametrize(
    ("dotted", "known"),
    [
        ("tasks/speaker/dataset", "meetings"),
        ("models/eat-mini/frontend", "bat, legacy"),
        ("baseline/frontend", "bat, legacy"),
        ("pretraining_clips", "speaker, mixture"),
        ("figures/sweep/model", MODELS),
        ("figures/frontends/task", "speaker, mixture"),
        ("figures/attention/task", "speaker, mixture"),
        ("figures/sweep/probe", "cgp"),
        ("figures/blocks/linear_probe", "lp"),
        ("figures/blocks/gated_probe", "cgp"),
    ],
)
def test_a_reference_to_something_undefined_is_told_what_is_defined(dotted, known):
    text = complaint_about(dotted, "elsewhere")
    assert text == f"{dotted.replace('/', '.')}: 'elsewhere' is not defined; allowed: {known}"


@pytest.mark.parametrize(
    ("dotted", "known"),
    [
        ("tasks/speaker/methods", METHODS),
        ("models/bat-mini/tasks", "speaker, mixture"),
        ("models/bat-mini/methods", METHODS),
        ("baseline/tasks", "speaker, mixture"),
        ("figures/sweep/tasks", "speaker, mixture"),
        ("figures/blocks/tasks", "speaker, mixture"),
        ("figures/blocks/models", MODELS),
        ("figures/attention/models", MODELS),
    ],
)
def test_a_reference_in_a_list_is_told_what_is_defined(dotted, known):
    text = complaint_about(dotted, ["elsewhere"])
    assert text == f"{dotted.replace('/', '.')}: 'elsewhere' is not defined; allowed: {known}"


def test_a_change_of_something_undefined_is_told_what_is_defined():
    text = complaint_about("tasks/speaker/recipes", {"elsewhere": {"steps": 1}})
    assert text == (
        f"tasks.speaker.recipes: 'elsewhere' is not defined; allowed: {METHODS}, probes"
    )
    text = complaint_about("tasks/speaker/input/frontends", {"elsewhere": {"hop": 1}})
    assert text == (
        "tasks.speaker.input.frontends: 'elsewhere' is not defined; allowed: bat, legacy"
    )


@pytest.mark.parametrize(
    "dotted", ["models/bat-mini/tasks", "figures/sweep/tasks", "figures/blocks/tasks"]
)
def test_clips_without_labels_are_no_task_to_be_measured_on(dotted):
    assert "'heard' is not defined; allowed: speaker, mix" in complaint_about_wide(
        dotted, ["heard"]
    )


def test_a_probe_of_the_wrong_kind_cannot_stand_in_a_figure():
    assert "allowed: lp" in complaint_about("figures/blocks/linear_probe", "cgp")
    assert "allowed: cgp" in complaint_about("figures/sweep/probe", "lp")


def test_a_comparison_set_applies_to_parts_of_the_task():
    text = complaint_about_wide("tasks/books/only/parts", ["test-clean", "test-other"])
    assert text.startswith("tasks.books: only.parts: 'test-other' is no part of it; allowed: dev-")
    only = at(wide_content(), "tasks", "books", "only")
    text = complaint_about_wide("tasks/heard/only", only)
    assert text.startswith("tasks.heard: only.parts: 'test-clean' is no part of it; allowed: meet")


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "two words"), ("name", ""), ("sha256", "ABC"), ("parts", []), ("parts", ["a", "a"])],
)
def test_a_comparison_set_is_pinned_and_named(key, value):
    text = complaint_about_wide(f"tasks/books/only/{key}", value)
    assert text.startswith(f"tasks.books.only.{key}: ")


# --- groups: cross-fitting --------------------------------------------------------------------


def test_a_meeting_both_pretrained_and_tested_on_is_refused():
    text = complaint_about("groups/early/pretrain", ["meeting-0", "meeting-3"])
    assert text == "groups.early: ['meeting-3'] would be both pretrained and tested on"


def test_a_meeting_tested_by_two_groups_is_refused():
    content = default_content()
    content["groups"]["early"] = {"pretrain": ["meeting-1"], "test": ["meeting-0", "meeting-3"]}
    assert "tested on by more than one group" in complaint(content)


@pytest.mark.parametrize("side", ["pretrain", "test"])
@pytest.mark.parametrize("parts", [[], ["meeting-3", "meeting-3"]])
def test_each_side_of_a_group_has_parts_and_each_once(side, parts):
    assert complaint_about(f"groups/early/{side}", parts).startswith(f"groups.early.{side}: ")


def test_a_fold_that_no_group_tests_on_is_named():
    text = complaint_about("groups/early/test", ["meeting-3"])
    assert text.startswith("speaker: no group tests on meeting-4; they test on ['meeting-3', ")


def test_a_fold_whose_parts_two_groups_test_on_is_refused():
    folds = {"kind": "split", "train": ["meeting-0"], "test": ["meeting-2", "meeting-3"]}
    text = complaint_about("tasks/mixture/folds", folds)
    assert text.startswith("mixture: no group tests on meeting-2, meeting-3; ")


def test_a_group_hears_parts_that_the_pretraining_clips_have():
    text = complaint_about("groups/early/pretrain", ["meeting-0", "meetin-1"])
    assert text.startswith("groups.early.pretrain: 'meetin-1' is not defined; allowed: meeting-0, ")
    text = complaint_about_wide("tasks/heard/parts", ["meeting-0", "meeting-1", "meeting-3"])
    assert text.startswith("groups.early.pretrain: 'meeting-2' is not defined; allowed: meeting-0")


def test_a_group_may_test_on_parts_that_no_fold_has():
    with_change("groups/early/test", ["meeting-3", "meeting-4", "meeting-9"])


# --- folds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [[], ["meeting-0"], ["meeting-0", "meeting-0"]])
def test_leaving_one_out_needs_two_different_parts(parts):
    text = complaint_about("tasks/speaker/folds/parts", parts)
    assert text.startswith("tasks.speaker.folds.parts: ")


@pytest.mark.parametrize(
    ("side", "parts"), [("train", ["test"]), ("validation", ["train"]), ("test", ["validation"])]
)
def test_a_part_on_two_sides_of_a_split_is_refused(side, parts):
    text = complaint_about_wide(f"tasks/words/folds/{side}", parts)
    assert text.startswith("tasks.words.folds: a part stands on two sides of the split: [")


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_split_has_clips_to_train_on_and_to_test_on(side):
    text = complaint_about_wide(f"tasks/words/folds/{side}", [])
    assert text.startswith(f"tasks.words.folds.{side}: ")


def test_a_fold_of_many_parts_has_a_name_that_a_folder_can_have():
    parts = [f"a-rather-long-name-of-a-part-{number}" for number in range(3)]
    text = complaint_about_wide("tasks/words/folds/test", parts)
    assert text.startswith("tasks.words.folds")


def test_no_fold_is_called_like_the_part_of_all_folds():
    folds = {"kind": "split", "train": ["train"], "test": ["all"]}
    text = complaint_about_wide("tasks/rooms/folds", folds)
    assert text == "tasks.rooms.folds: 'all' stands for all folds"


def test_selection_by_validation_needs_validation_clips():
    text = complaint_about_wide("tasks/words/folds/validation", [])
    assert text == "tasks.words: selection by validation needs folds.validation"
    text = complaint_about("tasks/speaker/selection", {"kind": "best-validation", "every": 10})
    assert text == "tasks.speaker: selection by validation needs folds.validation"


@pytest.mark.parametrize("method", ["lp", "finetune"])
def test_selection_happens_before_training_ends(method):
    content = wide_content()
    content["tasks"]["words"]["methods"] = [method]
    content["tasks"]["words"]["recipes"] = {}
    content["tasks"]["words"]["selection"]["every"] = 99_999
    assert "every" in complaint(content)


def test_micro_batches_fill_the_batch_of_pretraining():
    text = complaint_about("models/bat-mini/pretraining/micro_batch_size", 6)
    assert text == (
        "models.bat-mini.pretraining: batch_size 16 must be a multiple of micro_batch_size 6"
    )


# --- what fits a task -------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [{"roll": True}, {"random_crop": True},
                                       {"gaussian_noise": 0.1}])  # fmt: skip
def test_what_changes_waveforms_in_training_needs_waveforms(transform):
    text = complaint_about("tasks/speaker/transforms", transform)
    assert text == (
        "tasks.speaker: transforms change waveforms in training; they need input.cached false"
    )


def test_transforms_that_do_nothing_need_nothing():
    with_change("tasks/speaker/transforms", {"roll": False, "gaussian_noise": 0.0})


def test_colour_noise_needs_waveforms():
    text = complaint_about("finetuning/colour_noise", 0.3)
    assert text == "finetune on speaker: colour_noise needs input.cached false"
    text = complaint_about("tasks/mixture/recipes", {"finetune": {"colour_noise": 0.3}})
    assert text == "finetune on mixture: colour_noise needs input.cached false"


def test_mixup_makes_soft_labels_which_cross_entropy_of_classes_does_not_take():
    text = complaint_about("finetuning/mixup", 0.9)
    assert text.startswith("finetune on speaker: mixup makes soft labels, not for cross_entropy")
    with_change("tasks/mixture/recipes", {"finetune": {"mixup": 0.9}})


@pytest.mark.parametrize("methods", [["lp"], ["asr", "cgp"], ["vqt"]])
def test_speech_is_recognised_by_asr_and_nothing_else(methods):
    text = complaint_about_wide("tasks/books/methods", methods)
    kind = methods[-1]
    assert text == f"tasks.books.methods: {kind} ({kind}) does not fit transcript"


def test_fine_tuning_does_not_recognise_speech():
    text = complaint_about_wide("tasks/books/methods", ["asr", "finetune"])
    assert text.startswith("tasks.books.methods: finetune does not recognise speech")


@pytest.mark.parametrize("task", ["speaker", "mixture", "words", "rooms"])
def test_asr_fits_speech_only(task):
    text = complaint_about_wide(f"tasks/{task}/methods", ["asr"])
    assert text.startswith(f"tasks.{task}.methods: asr (asr) does not fit ")


def test_clips_of_many_lengths_are_not_cached():
    text = complaint_about_wide("tasks/books/input/cached", True)
    assert text == "tasks.books.input.cached: clips of many lengths are not cached"


def test_queries_answer_per_clip_and_not_over_time():
    text = complaint_about_wide("tasks/rooms/methods", ["vqt"])
    assert text == "tasks.rooms.methods: vqt gives one answer per clip"


def test_queries_live_in_audio_transformers_only():
    content = wide_content()
    content["tasks"]["rooms"]["methods"] = ["lp"]
    content["models"]["beats"] |= {"tasks": ["mixture"], "methods": None}
    text = complaint(content)
    assert "vqt" in text
    assert "models.beats" in text


def test_a_baseline_needs_cached_spectrograms():
    text = complaint_about_wide("baseline/tasks", ["speaker", "words"])
    assert text.startswith("baseline.tasks: 'words' is not defined; allowed: speaker, mixture")


@pytest.mark.parametrize("task", ["rooms", "heard"])
def test_a_baseline_answers_per_clip(task):
    text = complaint_about_wide("baseline/tasks", [task])
    assert text == f"baseline.tasks: '{task}' is not defined; allowed: speaker, mixture"


@pytest.mark.parametrize("figure", ["frontends", "attention"])
def test_a_figure_of_a_clip_needs_cached_spectrograms(figure):
    text = complaint_about_wide(f"figures/{figure}/task", "words")
    assert text.startswith(f"figures.{figure}.task: 'words' is not defined; allowed: speaker, ")


@pytest.mark.parametrize("figure", ["sweep", "blocks"])
def test_a_figure_shows_probes_that_fit_its_tasks(figure):
    text = complaint_about_wide(f"figures/{figure}/tasks", ["books"])
    assert "books" in text


def test_attention_maps_are_those_of_audio_transformers():
    text = complaint_about_wide("figures/attention/models", ["bat-mini", "beats"])
    assert text.startswith("figures.attention.models: ")
    assert "beats" in text


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("tasks/words/recipes", {"lcgp": {"surprise": 17}}),
        ("tasks/speaker/input/frontends", {"published": {"surprise": 17}}),
    ],
)
def test_a_change_that_nothing_reads_is_checked_all_the_same(dotted, value):
    content = wide_content()
    content["models"] = {"bat-mini": content["models"]["bat-mini"]}
    content["figures"] = {}
    assert "surprise" in complaint(changed(content, dotted, value))


# --- encoders and their weights ---------------------------------------------------------------


def test_warm_up_must_end_before_training_does():
    steps = default_content()["finetuning"]["steps"]
    text = complaint_about("finetuning/warmup_steps", steps)
    assert text == f"finetuning: warmup_steps {steps} must be below steps {steps}"


def test_heads_must_divide_the_width():
    content = default_content()
    content["models"]["bat-mini"]["encoder"] |= {"width": 192, "heads": 5}
    assert "models.bat-mini.encoder: width 192 must be divisible by heads 5" in complaint(content)


def test_an_encoder_is_pretrained_or_published_and_not_both():
    content = wide_content()
    content["models"]["eat"]["pretraining"] = content["models"]["eat-mini"]["pretraining"]
    assert complaint(content) == "models.eat: either pretraining or weights, not both"


@pytest.mark.parametrize("model", ["beats", "timm", "own"])
def test_only_audio_transformers_are_pretrained(model):
    content = wide_content()
    content["models"][model] |= {
        "weights": None, "pretraining": content["models"]["bat-mini"]["pretraining"]
    }  # fmt: skip
    kind = content["models"][model]["encoder"]["kind"]
    assert (
        complaint(content) == f"models.{model}: an encoder of kind {kind} cannot be pretrained here"
    )


def test_an_encoder_is_fed_as_it_was_trained():
    statistics = {"mean": 0.5, "deviation": 0.2}
    text = complaint_about("tasks/mixture/input/frontends", {"bat": {"statistics": statistics}})
    assert text.startswith("models.bat-mini: its front end bat has statistics 'pretraining' in ")
    assert "on mixture" in text
    content = changed(default_content(), "frontends/bat/statistics", None)
    with pytest.raises(BatError, match="has statistics None in pretraining and 'pretraining' on"):
        parse(
            changed(
                content, "tasks/mixture/input/frontends", {"bat": {"statistics": "pretraining"}}
            ),
            "",
        )


def test_a_task_may_have_given_statistics_of_its_own():
    content = changed(
        default_content(), "frontends/bat/statistics", {"mean": 0.5, "deviation": 0.2}
    )
    other = {"bat": {"statistics": {"mean": 0.6, "deviation": 0.3}}}
    parse(changed(content, "tasks/mixture/input/frontends", other), "")


def test_a_published_encoder_has_no_statistics_of_pretraining():
    # nothing here was pretrained on, so that nothing would be measured or scaled
    text = complaint_about_wide("models/eat/frontend", "legacy")
    assert text.startswith("models.eat")
    assert "pretraining" in text


# --- names and lists --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "section", ["datasets", "tasks", "groups", "frontends", "models", "probes"]
)
def test_an_empty_section_is_refused(section):
    complaint_about(section, {})


@pytest.mark.parametrize(
    ("dotted", "values"),
    [
        ("seeds/probe", [0, 0]),
        ("seeds/finetune", [1, 2, 1]),
        ("tasks/speaker/metrics", ["mAP", "mAP"]),
        ("tasks/speaker/methods", ["lp", "lp"]),
        ("baseline/tasks", ["speaker", "speaker"]),
        ("figures/sweep/tasks", ["speaker", "speaker"]),
        ("figures/blocks/models", ["bat-mini", "bat-mini"]),
        ("figures/attention/models", ["bat-mini", "bat-mini"]),
        ("figures/sweep/prototypes", [4, 4]),
    ],
)
def test_doing_the_same_thing_twice_is_refused(dotted, values):
    text = complaint_about(dotted, values)
    assert text.startswith(dotted.replace("/", ".") + ": ")
    assert "only once" in text
    assert complaint_about(dotted, []).startswith(dotted.replace("/", "."))


def test_what_is_excluded_twice_is_refused():
    text = complaint_about("datasets/meetings/excludes", ["silent", "silent"])
    assert text.startswith("datasets.meetings.excludes: ")
    with_change("datasets/meetings/excludes", [])


@pytest.mark.parametrize(
    "name",
    [
        "../up", "a/b", "a\\b", "..", ".hidden", "-option", "", "two words", "new\nline", "line\n",
        "$(touch x)", "`x`", "a;b", "a|b", "a&b", "a'b", 'a"b', "a*b", "{x}", "a@b", "a=b", "é",
        "x" * 65, 1, None, True,
    ],
)  # fmt: skip
def test_names_that_a_shell_or_a_path_would_notice_are_refused(name):
    content = default_content()
    content["models"][name] = next(iter(content["models"].values()))
    text = complaint(content)
    assert text.startswith("models.")
    assert f"found {name!r}"[:60] in text


@pytest.mark.parametrize(
    "section", ["datasets", "tasks", "groups", "frontends", "models", "probes"]
)
def test_every_section_of_names_obeys_the_rule(section):
    content = default_content()
    content[section]["a/b"] = next(iter(content[section].values()))
    assert complaint(content).startswith(f"{section}.a/b: string should match pattern")


@pytest.mark.parametrize(
    ("dotted", "key"),
    [
        ("groups/early/test", "groups.early.test.1: "),
        ("tasks/speaker/folds/parts", "tasks.speaker.folds.parts.1: "),
        ("tasks/heard/parts", "tasks.heard.parts.1: "),
        ("tasks/words/folds/train", "tasks.words.folds.train.1: "),
    ],
)
def test_names_of_parts_obey_the_same_rule(dotted, key):
    assert key in complaint_about_wide(dotted, ["meeting-3", "a/b"])


@pytest.mark.parametrize(
    ("section", "name"),
    [("tasks", "ledger"), ("models", "log-mel"), ("probes", "finetune"), ("probes", "probes")],
)
def test_names_of_the_pipelines_own_files_and_rows_are_taken(section, name):
    content = default_content()
    content[section][name] = next(iter(content[section].values()))
    assert complaint(content) == f"{section}.{name}: the pipeline itself uses this name"


def test_parameters_cannot_be_changed_after_validation():
    params = with_change("datasets/meetings/rate_hz", 8000)
    with pytest.raises(ValueError, match="frozen"):
        params.datasets["meetings"].rate_hz = 16000


# --- the file itself --------------------------------------------------------------------------


def complaint_about_file(path, content):
    path.write_bytes(content)
    with pytest.raises(BatError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert len(text.splitlines()) == 1
    return text


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(BatError, match="no such parameter file"):
            load(path)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    text = (REPOSITORY / "params.yaml").read_text("utf-8") + "\nseeds: {}\n"
    found = complaint_about_file(tmp_path / "p.yaml", text.encode())
    assert "not a valid YAML file" in found
    assert '"seeds"' in found


@pytest.mark.parametrize(
    "content",
    [
        b"data: [1, 2", b"data: \xff\xfe", b"a: 1\n\tb: 2\n", b"a: \x00", b"a: !!python/name:os {}",
        b"a: &x 1\nb: *y\n", b"---\na: 1\n---\nb: 2\n", b"\x89PNG\r\n\x1a\n\x00\x00",
    ],
)  # fmt: skip
def test_a_file_that_is_not_yaml_is_refused(tmp_path, content):
    assert "not a valid YAML file" in complaint_about_file(tmp_path / "p.yaml", content)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"- a\n- b\n", b"just text\n", b"42\n"])
def test_a_file_that_holds_no_sections_is_refused(tmp_path, content):
    assert "should be a valid dictionary" in complaint_about_file(tmp_path / "p.yaml", content)


@pytest.mark.parametrize("spelling", ["1e-3", "1.0e-3", "1E-3", "0.001", "1e-03", ".001"])
def test_every_spelling_of_a_number_is_that_number(tmp_path, spelling):
    text = (REPOSITORY / "params.yaml").read_text("utf-8")
    head, _, tail = text.partition("finetuning:")
    changed, times = re.subn(r"(\n  learning_rate: )\S+", rf"\g<1>{spelling}", tail, count=1)
    assert times == 1
    path = tmp_path / "p.yaml"
    path.write_text(f"{head}finetuning:{changed}", encoding="utf-8")
    assert load(path) == with_change("finetuning/learning_rate", 0.001)


@pytest.mark.parametrize("spelling", ["1e", "1,5", "0.1.2", "1e-3x", ".nan", ".inf", "yes"])
def test_what_is_no_number_is_refused(tmp_path, spelling):
    text = (REPOSITORY / "params.yaml").read_text("utf-8")
    path = tmp_path / "p.yaml"
    changed_text = re.sub(r"layer_decay: \S+", f"layer_decay: {spelling}", text, count=1)
    found = complaint_about_file(path, changed_text.encode())
    assert "finetuning.layer_decay: " in found


def test_weights_and_data_sets_have_different_names():
    content = wide_content()
    content["datasets"]["eat-base-epoch30"] = content["datasets"]["books"]
    text = complaint(content)
    assert "datasets.eat-base-epoch30: the weights of models.released have this name" in text
