"""config/paper.yaml against the paper's own figures, written down here a second time."""

import pytest
import torch

from bat.models.encoder import VIT_SIZES
from bat.params import FINETUNE
from bat.stages.architecture import architecture_of, build
from paper.experiment import PARAMS

MAIN_TASKS = ["AS-2M", "AS-20k", "ESC-50", "SC-v2", "SED", "HSN"]
LEGACY_STATISTICS = {
    "eat": {
        "AS-2M": (-4.59864076, 4.357353477),
        "AS-20k": (-4.59864076, 4.357353477),
        "audioset-clips": (-4.59864076, 4.357353477),
        "ESC-50": (-6.85408831, 5.39770323),
        "SC-v2": (-9.03415996, 4.57304508),
        "HSN": (-8.55048120, 4.04533479),
        "SED": (-10.68592022, 2.06164972),
        "LibriSpeech": (-7.32925959, 4.06100490),
    },
    "beats": {
        "AS-2M": (15.41663, 6.55582),
        "AS-20k": (15.41663, 6.55582),
        "ESC-50": (11.72161352, 10.60385933),
        "SC-v2": (11.42262215, 5.65233194),
        "HSN": (11.82694931, 5.40055698),
        "SED": (10.01597327, 3.07065857),
        "LibriSpeech": (13.30096596, 4.97074609),
    },
}
# steps, warm-up, batch, learning rate, weight decay, beta2, dropout
RECIPES = {
    ("AS-20k", "cgp"): (20_000, 500, 48, 1e-3, 0.05, 0.999, 0.2),
    ("AS-20k", FINETUNE): (40_000, 4_000, 48, 5e-5, 0.05, 0.95, 0.2),
    ("ESC-50", "lp"): (4_000, 400, 48, 1e-3, 0.2, 0.999, 0.2),
    ("ESC-50", FINETUNE): (4_000, 400, 48, 5e-5, 0.05, 0.95, 0.2),
    ("SC-v2", "protobin"): (10_000, 1_000, 256, 1e-3, 0.05, 0.999, 0.2),
    ("SC-v2", FINETUNE): (10_000, 1_000, 256, 5e-5, 0.05, 0.95, 0.0),
    ("HSN", "vqt"): (10_000, 1_000, 64, 1e-3, 0.05, 0.999, 0.2),
    ("HSN", FINETUNE): (10_000, 1_000, 64, 5e-5, 0.05, 0.95, 0.0),
    ("SED", "cgp"): (4_000, 400, 4, 1e-3, 0.05, 0.999, 0.2),
    ("SED", FINETUNE): (4_000, 400, 4, 5e-5, 0.05, 0.95, 0.2),
    **{
        ("SED", probe): (10_000, 1_000, 16, 1e-3, 0.05, 0.999, 0.0)
        for probe in ("lp", "lcgp", "head2toe", "protobin")
    },
    ("LibriSpeech", "asr"): (20_000, 500, 64, 1e-3, 0.05, 0.999, 0.2),
    ("AS-2M", FINETUNE): (200_000, 20_000, 96, 5e-5, 0.05, 0.95, 0.2),
}
# mixup, colour noise, time roll, masks
AUGMENTATIONS = {
    "AS-20k": (0.9, 0.0, False, (16, 64, 2)),
    "ESC-50": (0.0, 0.3, True, (16, 32, 1)),
    "SC-v2": (0.0, 0.3, True, (16, 32, 1)),
    "HSN": (0.9, 0.3, True, (16, 32, 1)),
    "SED": (0.9, 0.3, False, (16, 64, 1)),
}
FRAMES = {
    "audioset-clips": 1024,
    "AS-2M": 1024,
    "AS-20k": 1024,
    "ESC-50": 512,
    "figure-clips": 512,
    "SC-v2": 112,
    "SED": 12_000,
    "HSN": 512,
}


def settings_of(task, method):
    return PARAMS.finetuning_of(task) if method == FINETUNE else PARAMS.probe_of(task, method)


@pytest.mark.parametrize(("task", "method"), RECIPES)
def test_recipes_are_the_papers(task, method):
    found = settings_of(task, method)
    steps, warmup, batch, rate, decay, beta2, dropout = RECIPES[task, method]
    assert (found.steps, found.warmup_steps, found.batch_size) == (steps, warmup, batch)
    assert (found.learning_rate, found.weight_decay, found.dropout) == (rate, decay, dropout)
    assert found.betas == [0.9, beta2]
    assert found.minimum_learning_rate == 1e-6


@pytest.mark.parametrize("task", AUGMENTATIONS)
def test_augmentations_of_fine_tuning_are_the_papers(task):
    found = PARAMS.finetuning_of(task)
    masks = (found.masks.frequency_bins, found.masks.frames, found.masks.repeats)
    noise = (found.mixup, found.colour_noise, found.time_roll)
    assert (*noise, masks) == AUGMENTATIONS[task]
    assert (found.layer_decay, found.drop_path, found.pooling) == (0.75, 0.1, "cls")


@pytest.mark.parametrize("task", PARAMS.tasks)
@pytest.mark.parametrize("frontend", LEGACY_STATISTICS)
def test_legacy_front_ends_have_each_data_sets_statistics(frontend, task):
    of_dataset = "ESC-50" if task == "figure-clips" else task
    if of_dataset not in LEGACY_STATISTICS[frontend]:
        pytest.skip("this front end's encoder is not pretrained here")
    statistics = PARAMS.frontend_of(frontend, task).statistics
    assert (statistics.mean, statistics.deviation) == LEGACY_STATISTICS[frontend][of_dataset]


def frames_of(frontend, samples, rate_hz):
    if frontend.kind == "bat":
        return 1 + samples // frontend.hop
    window, hop = rate_hz * 25 // 1000, rate_hz // 100
    return 1 + (samples - window) // hop


@pytest.mark.parametrize("frontend", PARAMS.frontends)
@pytest.mark.parametrize("task", FRAMES)
def test_clips_have_the_papers_number_of_frames_through_every_front_end(task, frontend):
    settings = PARAMS.tasks[task]
    rate_hz = PARAMS.datasets[settings.dataset].rate_hz
    found = frames_of(PARAMS.frontend_of(frontend, task), settings.input.samples, rate_hz)
    assert max(found, settings.input.minimum_frames) == FRAMES[task]
    assert FRAMES[task] % 16 == 0


def test_silence_is_added_before_the_min_max_on_audioset_downstream_only():
    frontend = PARAMS.frontends["bat"]
    for task, added in {"AS-20k": 0, "AS-2M": 0, "audioset-clips": 1024 - 1001}.items():
        settings = PARAMS.tasks[task].input
        assert settings.minimum_frames - frames_of(frontend, settings.samples, 16_000) == added


@pytest.mark.parametrize("model", ["BAT", "BAT-released", "EAT", "SSLAM", "BEATs"])
def test_the_main_tables_encoders_are_measured_by_every_method_that_fits(model):
    assert PARAMS.tasks_of(model) == [*MAIN_TASKS, "LibriSpeech"]
    wanted = {"lp", "cgp", "protobin", FINETUNE}
    for task in MAIN_TASKS[1:]:
        assert wanted <= set(PARAMS.methods_of(model, task))
    assert PARAMS.methods_of(model, "AS-2M") == [FINETUNE]
    assert PARAMS.methods_of(model, "LibriSpeech") == ["asr"]


def test_queries_are_put_into_audio_transformers_only():
    for name, model in PARAMS.models.items():
        methods = [method for task in PARAMS.labelled for method in PARAMS.methods_of(name, task)]
        assert model.encoder.kind == "audio-transformer" or "vqt" not in methods


def traits(name):
    model = PARAMS.models[name]
    decoder = model.pretraining.decoder
    return {
        "frontend": model.frontend,
        "target": model.pretraining.target,
        "gated": model.encoder.gated,
        "decoder": decoder.kind,
        "decoder shape": decoder.model_dump(exclude={"kind"}),
    }


def test_the_ablation_has_the_papers_seven_rows():
    rows = [
        ("legacy-mlp-ungated-cnn", "eat", "mlp", False, "cnn"),
        ("bat-mlp-ungated-cnn", "bat", "mlp", False, "cnn"),
        ("bat-eob-ungated-cnn", "bat", "eob", False, "cnn"),
        ("bat-mlp-gated-cnn", "bat", "mlp", True, "cnn"),
        ("bat-eob-gated-cnn", "bat", "eob", True, "cnn"),
        ("bat-eob-gated-vit-small", "bat", "eob", True, "vit"),
        ("BAT", "bat", "eob", True, "vit"),
    ]
    for name, *expected in rows:
        assert list(traits(name).values())[:4] == expected
    small, full = (traits(name)["decoder shape"] for name in ("bat-eob-gated-vit-small", "BAT"))
    assert (small["heads"], small["mlp_ratio"]) == (6, 2.0)
    assert (full["heads"], full["mlp_ratio"]) == (12, 4.0)


def test_rows_of_the_ablation_differ_in_their_traits_alone():
    schedules = [
        model.pretraining.model_dump(exclude={"target", "decoder"})
        for model in PARAMS.models.values()
        if model.pretraining is not None
    ]
    assert all(schedule == schedules[0] for schedule in schedules)


@pytest.mark.parametrize(("model", "size"), [("BAT", "B"), ("BAT-S", "S"), ("EAT", "B")])
def test_encoders_have_the_papers_size(model, size):
    encoder, vit = PARAMS.models[model].encoder, VIT_SIZES[size]
    assert (encoder.width, encoder.depth, encoder.heads) == (vit.width, vit.depth, vit.heads)


@pytest.mark.parametrize("model", PARAMS.models)
def test_every_encoder_can_be_built(model):
    encoder = PARAMS.models[model].encoder
    with torch.device("meta"):
        built = build(encoder, architecture_of(encoder, mel_bins=128, time_patches=64))
    if model in ("BAT", "BAT-released"):
        assert sum(p.numel() for p in built.parameters()) == pytest.approx(92.73e6, rel=1e-4)


def test_test_sets_are_kept_as_published():
    assert all(dataset.excludes == [] for dataset in PARAMS.datasets.values())


def test_the_encoder_never_hears_the_evaluation_part():
    (group,) = PARAMS.groups.values()
    assert group.test == ["eval"]
    assert "eval" not in PARAMS.tasks[PARAMS.pretraining_clips].parts
