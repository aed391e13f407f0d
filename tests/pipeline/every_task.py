"""One experiment with a task of every kind, on made data sets in their published layouts."""

from pathlib import Path
from typing import Any

from fixtures import layouts

FIXTURES = {
    "audioset": layouts.make_audioset,
    "esc50": layouts.make_esc50,
    "speech-commands": layouts.make_speech_commands,
    "dcase2016-task2": layouts.make_dcase,
    "birdset": layouts.make_birdset,
    "librispeech": layouts.make_librispeech,
}
_OPTIONS = {
    "audioset": {"parts": ["balanced_train", "unbalanced_train", "eval"], "order": "index"},
    "librispeech": {"parts": ["train-clean-100", "dev-clean", "test-clean"]},
}
_STEPS = {
    "steps": 3,
    "warmup_steps": 1,
    "batch_size": 4,
    "learning_rate": 0.01,
    "minimum_learning_rate": 1e-6,
    "weight_decay": 0.05,
    "betas": [0.9, 0.999],
}
_SHORT = {**_STEPS, "dropout": 0.2}
# Where a probe shall learn what there is to hear; on cached tokens, where steps cost little.
_LONG = {"steps": 300, "warmup_steps": 30, "batch_size": 16, "learning_rate": 0.2, "dropout": 0.0}
# Clips of each part of AudioSet that are listed but not there.
ABSENT = 2


def make_data_sets(folder: Path) -> None:
    """Lay out every data set in a folder of its own."""
    for name, make in FIXTURES.items():
        options = {"absent": ABSENT} if name == "audioset" else {}
        make(folder / name, **options)


def every_task_params() -> dict[str, Any]:
    """All kinds of task, clips, sampling, selection and method, in as few jobs as show them."""
    return {
        "datasets": {name: _dataset(name) for name in FIXTURES},
        "tasks": _tasks(),
        "groups": {"all": {"pretrain": ["unbalanced_train"], "test": ["eval"]}},
        "pretraining_clips": "audioset-clips",
        "frontends": _frontends(),
        "models": _models(),
        "probes": _probes(),
        "finetuning": {
            **_SHORT,
            "layer_decay": 0.75,
            "drop_path": 0.1,
            "pooling": "cls",
            "colour_noise": 0.0,
            "time_roll": False,
            "mixup": 0.0,
            "masks": None,
        },
        "baseline": None,
        "seeds": {"pretrain": 0, "probe": [0], "finetune": [0]},
        "statistics": {"bootstrap_resamples": 20, "confidence": 0.95, "seed": 0},
        "equivalence": {"margin": 0.5, "margins": {}, "confidence": 0.9},
        "figures": {},
        "grain": {"probe": "cell", "finetune": "cell"},
        "compute": {
            "float32_matmul_precision": "highest",
            "training": "float32",
            "evaluation": "float32",
        },
    }


def _dataset(name: str) -> dict[str, Any]:
    return {
        "source": {"kind": "folder", "path": f"raw/{name}", "licence": "made for tests"},
        "layout": {"kind": name} | _OPTIONS.get(name, {}),
        "rate_hz": 32_000 if name == "birdset" else 16_000,
        "minimum_duration_s": 0.0,
        "excludes": [],
        "maximum_bad_share": 0.3,  # AudioSet lacks files
    }


def _tasks() -> dict[str, Any]:
    whole = {"kind": "whole"}
    masks = {"frequency_bins": 16, "frames": 8, "repeats": 2}
    return {
        "audioset-clips": {
            "kind": "unlabelled",
            "dataset": "audioset",
            "clips": whole,
            "input": {"samples": 48_000, "minimum_frames": 320, "cached": False},
            "parts": ["unbalanced_train"],
        },
        "audioset": {
            "kind": "multi-label",
            "dataset": "audioset",
            "clips": whole,
            "input": {"samples": 51_040, "cached": False},
            "folds": {"kind": "split", "train": ["balanced_train"], "test": ["eval"]},
            "loss": "asymmetric",
            "metrics": ["mAP", "F1"],
            "methods": ["cgp", "vqt", "finetune"],
            "recipes": {"finetune": {"mixup": 0.9, "masks": masks}},
            "transforms": {"roll": True},
            "sampling": {"kind": "inverse-class-frequency", "clips_per_epoch": 5},
        },
        "esc50": {
            "kind": "multi-class",
            "dataset": "esc50",
            "clips": whole,
            "input": {"samples": 80_000, "cached": True},
            "folds": {
                "kind": "leave-one-out",
                "parts": ["fold-1", "fold-2", "fold-3", "fold-4", "fold-5"],
            },
            "loss": "cross_entropy",
            "metrics": ["accuracy", "mAP"],
            "methods": ["lp", "protobin", "vqt", "finetune"],
            "recipes": {
                "lp": {**_LONG, "pooling": "mean"},
                "finetune": {"time_roll": True, "masks": masks},
            },
        },
        "speech-commands": {
            "kind": "multi-class",
            "dataset": "speech-commands",
            "clips": {
                "kind": "whole",
                "chunks": {
                    "part": "background",
                    "chunk_s": 1.0,
                    "into": {"train": 0.8, "validation": 0.1, "test": 0.1},
                },
            },
            "input": {"samples": 16_000, "cached": False},
            "folds": {
                "kind": "split",
                "train": ["train"],
                "validation": ["validation"],
                "test": ["test"],
            },
            "loss": "cross_entropy",
            "metrics": ["accuracy", "mAP"],
            "methods": ["lcgp", "finetune"],
            "recipes": {"finetune": {"colour_noise": 0.3, "time_roll": True}},
            "selection": {"kind": "best-validation", "every": 1},
        },
        "sound-events": {
            "kind": "frame-wise",
            "dataset": "dcase2016-task2",
            "clips": whole,
            "input": {"samples": 192_000, "minimum_frames": 1248, "cached": True},
            "folds": {
                "kind": "split",
                "train": ["train"],
                "validation": ["validation"],
                "test": ["test"],
            },
            "loss": "binary_cross_entropy",
            "metrics": ["frame_mAP", "onset_F1"],
            "decoding": {"threshold": 0.3, "median_filter": 3},
            "methods": ["cgp", "finetune"],
            "recipes": {
                "probes": {"dropout": 0.0},
                "cgp": {**_LONG, "prototypes": 8},
                "finetune": {"mixup": 0.9},
            },
        },
        "birds": {
            "kind": "multi-label",
            "dataset": "birdset",
            "clips": whole,
            "input": {
                "samples": 160_000,
                "cached": False,
                "frontends": {"bat": {"n_fft": 2048, "hop": 320}},
            },
            "folds": {"kind": "split", "train": ["train"], "test": ["test"]},
            "loss": "binary_cross_entropy",
            "metrics": ["mAP", "F1"],
            "methods": ["head2toe"],
            "transforms": {"random_crop": True, "gaussian_noise": 0.02},
            "sampling": {"kind": "inverse-first-label"},
        },
        "speech": {
            "kind": "transcript",
            "dataset": "librispeech",
            "clips": whole,
            "input": {"cached": False},
            "folds": {
                "kind": "split",
                "train": ["train-clean-100"],
                "validation": ["dev-clean"],
                "test": ["test-clean"],
            },
            "loss": "ctc",
            "metrics": ["WER", "CER"],
            "methods": ["asr"],
            "selection": {"kind": "best-validation", "every": 2},
            "test_batch_size": 1,
        },
    }


def _frontends() -> dict[str, Any]:
    legacy = {"kind": "legacy", "mel_bins": 128, "statistics": {"mean": -4.6, "deviation": 4.36}}
    return {
        "bat": {
            "kind": "bat",
            "n_fft": 1024,
            "hop": 160,
            "mel_bins": 128,
            "maximum_hz": 8000.0,
            "top_db": 80.0,
            "statistics": None,
        },
        "beats": {**legacy, "window": "povey", "subtract_mean": False, "scale": 32768.0},
    }


def _models() -> dict[str, Any]:
    return {
        "bat-tiny": {
            "frontend": "bat",
            "encoder": {
                "kind": "audio-transformer",
                "width": 32,
                "depth": 2,
                "heads": 2,
                "mlp_ratio": 4.0,
                "gated": True,
                "patch_size": 16,
                "position_order": "frequency-major",
            },
            "pretraining": {
                **_STEPS,
                "views": 2,
                "mask_ratio": 0.8,
                "mask_block": 5,
                "mask_adjust": 0.07,
                "target": "eob",
                "decoder": {
                    "kind": "vit", "width": 16, "depth": 1, "heads": 2, "mlp_ratio": 4.0,
                },
                "ema": {"start": 0.999, "end": 0.9999, "ramp_steps": 3},
                "gradient_clip": None,
                "time_roll": True,
                "keep": "student",
                "log_every": 1,
            },
        },
        "beats-tiny": {
            "frontend": "beats",
            "encoder": {
                "kind": "beats",
                "width": 32,
                "depth": 2,
                "heads": 2,
                "mlp_width": 64,
                "patch_width": 24,
            },
            "tasks": ["esc50"],
            "methods": ["lp"],
        },
    }  # fmt: skip


def _probes() -> dict[str, Any]:
    return {
        "lp": {**_SHORT, "kind": "lp", "pooling": "cls", "block": -1},
        "lcgp": {**_SHORT, "kind": "lcgp", "pooling": "cls"},
        "cgp": {**_SHORT, "kind": "cgp", "pooling": "cls", "prototypes": 4},
        "protobin": {**_SHORT, "kind": "protobin", "prototypes": 4},
        "head2toe": {**_SHORT, "kind": "head2toe", "pooling": "cls", "lasso": 1e-4},
        "vqt": {**_SHORT, "kind": "vqt", "queries": 2, "head_norm": False},
        "asr": {**_SHORT, "kind": "asr", "hidden": 8},
    }
