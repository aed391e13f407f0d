import copy
from pathlib import Path

import pytest
from hypothesis import settings
from ruamel.yaml import YAML

from bat.params import parse

# a shared or busy machine is slow, which says nothing about the code
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

REPOSITORY = Path(__file__).resolve().parents[2]
_DEFAULT = YAML(typ="safe", pure=True).load((REPOSITORY / "params.yaml").read_text("utf-8"))

# What the default experiment does not need: every other kind of source, layout, task, probe,
# front end and encoder, and what can be changed per task.
_WIDE = YAML(typ="safe", pure=True).load(
    """
datasets:
  words:
    source: {kind: folder, path: /data/words, licence: CC-BY}
    layout: {kind: speech-commands}
    rate_hz: 16000
    minimum_duration_s: 0.0
    excludes: []
    excluded: {bad/one.wav: no audio}
    maximum_bad_share: 0.0
  rooms: &file
    source: {kind: file, path: /data/rooms.tar, sha256: "00", licence: CC-BY}
    layout: {kind: dcase2016-task2}
    rate_hz: 16000
    minimum_duration_s: 0.0
    excludes: []
    maximum_bad_share: 0.0
  books:
    <<: *file
    layout: {kind: librispeech, parts: [train-clean-100, dev-clean, test-clean]}
  scenes:
    <<: *file
    source: {kind: published, name: audioset, mirror: confit-full}
    layout: {kind: audioset, parts: [balanced_train, eval], order: index}
  own:
    <<: *file
    layout: {kind: csv, table: own.csv, classes: [yes, no]}
tasks:
  heard:
    kind: unlabelled
    dataset: meetings
    clips: {kind: windows, clip_s: 1.0, minimum_rms: 0.003}
    input: {minimum_frames: 112, cached: false}
    parts: [meeting-0, meeting-1, meeting-2, meeting-3, meeting-4]
  quiet:
    kind: unlabelled
    dataset: meetings
    clips: {kind: windows, clip_s: 1.0, minimum_rms: 0.0}
    input: {minimum_frames: 112, cached: true}
    parts: [meeting-0, meeting-1, meeting-2, meeting-3, meeting-4]
  scenes:
    kind: unlabelled
    dataset: scenes
    clips: {kind: whole}
    input: {minimum_frames: 1024, cached: false}
    parts: [meeting-0, meeting-1, meeting-2, meeting-3, meeting-4]
  words:
    kind: multi-class
    dataset: words
    clips:
      kind: whole
      chunks: {part: noise, chunk_s: 1.0, into: {train: 0.8, validation: 0.1, test: 0.1}}
    input: {samples: 16000, minimum_frames: 112, cached: false, frontends: {bat: {top_db: 70.0}}}
    folds: {kind: split, train: [train], validation: [validation], test: [test]}
    loss: cross_entropy
    metrics: [accuracy]
    methods: [lp, cgp, vqt, finetune]
    recipes:
      probes: {batch_size: 13}
      cgp: {prototypes: 7}
      finetune:
        colour_noise: 0.3
        masks: {frequency_bins: 16, frames: 32, repeats: 1}
    transforms: {roll: false, random_crop: true, gaussian_noise: 0.02}
    sampling: {kind: inverse-class-frequency, clips_per_epoch: 100}
    selection: {kind: best-validation, every: 10}
    test_batch_size: 32
  rooms:
    kind: frame-wise
    dataset: rooms
    clips: {kind: whole}
    input: {cached: true}
    folds: {kind: split, train: [train, validation], validation: [], test: [test]}
    loss: binary_cross_entropy
    metrics: [frame_mAP, onset_F1]
    methods: [lp, cgp]
    decoding: {threshold: 0.3, median_filter: 3}
  books:
    kind: transcript
    dataset: books
    clips: {kind: whole}
    input: {cached: false}
    only:
      name: both-copies
      path: /data/both-copies.parquet
      sha256: "1111111111111111111111111111111111111111111111111111111111111111"
      parts: [test-clean]
    folds: {kind: split, train: [train-clean-100], validation: [dev-clean], test: [test-clean]}
    loss: ctc
    metrics: [WER, CER]
    methods: [asr]
frontends:
  published:
    kind: legacy
    mel_bins: 128
    window: povey
    subtract_mean: false
    scale: 32768.0
    statistics: {mean: 15.4, deviation: 6.5}
  spare:
    kind: bat
    n_fft: 512
    hop: 160
    mel_bins: 64
    maximum_hz: 8000.0
    top_db: 80.0
    statistics: null
models:
  beats:
    frontend: published
    encoder: {kind: beats, width: 48, depth: 2, heads: 4, mlp_width: 96, patch_width: 24}
    weights: {layout: beats, path: /data/beats.pt, sha256: null}
    tasks: [speaker, rooms]
    methods: [lp, cgp, finetune]
  eat:
    frontend: published
    encoder: &transformer
      kind: audio-transformer
      width: 48
      depth: 2
      heads: 4
      mlp_ratio: 4.0
      gated: false
      patch_size: 16
      time_patches: 64
      position_order: frequency-major
    weights: {layout: bat-training, path: /data/eat.pt, sha256: null, branch: ema}
    methods: [lp]
  released:
    frontend: published
    encoder: *transformer
    weights: {layout: eat, published: eat-base-epoch30}
    tasks: [speaker]
    methods: [lp]
  timm:
    frontend: bat
    encoder: {kind: timm, name: vit_tiny_patch16_224, depth: 12, pretrained: true}
    tasks: [words]
    methods: [lp, finetune]
  own:
    frontend: bat
    encoder: {kind: adapter, factory: "", depth: 3, options: {size: 1}}
    tasks: [speaker]
    methods: [cgp]
  bare: {frontend: bat, encoder: *transformer, methods: []}
  narrow: {frontend: bat, encoder: *transformer, tasks: [mixture], methods: [lcgp]}
probes:
  vqt:
    kind: vqt
    queries: 10
    head_norm: false
    steps: 300
    warmup_steps: 30
    batch_size: 48
    learning_rate: 1.0e-3
    minimum_learning_rate: 1.0e-6
    weight_decay: 0.05
    betas: [0.9, 0.999]
    dropout: 0.2
  asr:
    kind: asr
    hidden: 32
    steps: 300
    warmup_steps: 30
    batch_size: 48
    learning_rate: 1.0e-3
    minimum_learning_rate: 1.0e-6
    weight_decay: 0.05
    betas: [0.9, 0.999]
    dropout: 0.2
"""
)


def default_content():
    """The default parameters as plain values without shared parts, free to change."""
    return unshared(_DEFAULT)


def wide_content():
    """The default parameters and everything that they do not need; pretrains on waveforms."""
    content, more = default_content(), unshared(_WIDE)
    for section, entries in more.items():
        content[section] |= entries
    for dataset in content["datasets"].values():
        if dataset["source"]["kind"] == "file":
            dataset["source"]["sha256"] = "0" * 64
    # a file that is there, whatever it holds
    content["models"]["own"]["encoder"]["factory"] = f"{Path(__file__)}:build"
    content["pretraining_clips"] = "heard"
    content["tasks"]["mixture"]["methods"].append("vqt")
    return content


def unshared(value):
    # YAML anchors give the same object twice; deepcopy would keep it shared
    if isinstance(value, dict):
        return {key: unshared(inner) for key, inner in value.items()}
    return [unshared(inner) for inner in value] if isinstance(value, list) else copy.copy(value)


def at(content, *keys):
    for key in keys:
        content = content[key]
    return content


def changed(content, dotted, value):
    """Set one key of some content, which is returned."""
    *section, key = dotted.split("/")
    at(content, *section)[key] = value
    return content


def with_change(dotted, value):
    """The default parameters with one key set."""
    return parse(changed(default_content(), dotted, value), "params.yaml")


@pytest.fixture
def content():
    return default_content()


@pytest.fixture
def wide():
    return wide_content()


def write_yaml(path, content):
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    with path.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)
