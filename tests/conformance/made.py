"""A golden folder of other dimensions, made with this project's own modules."""

import copy
import json
from pathlib import Path

import numpy as np
import torch

from bat.audio import frontends
from bat.evaluation.metrics import evaluate
from bat.evaluation.predictions import Predictions
from bat.models.beats import BeatsEncoder
from bat.models.decoders import ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.models.tokens import Tokens
from bat.optimisation.groups import layer_decay_groups
from bat.optimisation.losses import asymmetric_loss
from bat.optimisation.schedules import ema_decay, learning_rate
from bat.pretraining.masking import inverse_block_mask
from bat.pretraining.objective import regression_targets
from bat.pretraining.step import Student, pretraining_step, teacher_of
from bat.probes import build
from bat.probes.vqt import VisualQueryProbe

from .folders import random_state, under, write

WIDTH, DEPTH, HEADS, CLASSES, PROTOTYPES, CLIPS = 32, 2, 4, 3, 5, 4
HEAD_CASES = {
    "head_linear_avg": ("lp", {"pooling": "mean"}),
    "head_lcgp_avg": ("lcgp", {"pooling": "mean"}),
    "head_cgp_cls": ("cgp", {"prototypes": PROTOTYPES}),
    "head_cgp_frame": (
        "cgp",
        {"prototypes": PROTOTYPES, "pooling": "mean", "frame_wise": True},
    ),
    "head_protobin": ("protobin", {"prototypes": PROTOTYPES}),
    "head_protobin_frame": ("protobin", {"prototypes": PROTOTYPES, "frame_wise": True}),
    "head_h2t_avg": ("head2toe", {"pooling": "mean", "lasso": 1.0}),
}


def make(folder: Path) -> None:
    """Write a case of every family."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        front_ends(folder)
        encoders(folder)
        for case, (name, options) in HEAD_CASES.items():
            head(folder, case, name, options)
        visual_queries(folder)
        pretraining(folder)
        classification(folder)
        decoding(folder)
        schedules(folder)
        masks(folder)


def front_ends(folder):
    bat = frontends.BATFrontend(mel_bins=64)
    waveform = torch.randn(3, 8_000) * 0.1
    cases = {
        "frontend_pretrain": frontends.pad_frames(bat(waveform), min_frames=80),
        "frontend_audioset_downstream": bat(frontends.pad_waveform(waveform, 95 * 160)),
        "frontend_esc50": frontends.pad_frames(bat(waveform)),
        "frontend_speech_commands": frontends.pad_frames(
            bat(frontends.pad_waveform(waveform, 16_000))
        ),
    }
    for name, spectrogram in cases.items():
        write(folder, name, {"waveform": waveform, "spectrogram": spectrogram}, {})
    audioset = {"mean": -4.59864076, "std": 4.357353477}, {"mean": 15.41663, "std": 6.55582}
    eat = frontends.build("legacy", mel_bins=80, **audioset[0])(waveform)[:, 0]
    beats = frontends.build("beats", mel_bins=80, **audioset[1])(waveform)[:, 0]
    tensors = {"waveform": waveform, "eat": eat, "beats": beats}
    write(folder, "frontend_legacy", tensors, {})


def encoders(folder):
    small = {"width": WIDTH, "depth": DEPTH, "heads": HEADS}
    grid = {"grid_time_patches": 4, "mel_bins": 64}
    ungated = AudioTransformer(**small, **grid, gated=False, mlp_ratio=1.4)
    beats = BeatsEncoder(
        **small,
        mlp_width=40,
        patch_width=20,
        mel_bins=96,
        position_kernel=9,
        position_groups=8,
        buckets=16,
        maximum_distance=30,
    )
    for name, encoder, frames, mel_bins in (
        ("encoder_bat_64", AudioTransformer(**small, **grid, patch_size=8), 64, 64),
        ("encoder_eat_96", ungated, 96, 64),
        ("encoder_beats_96", beats, 96, 96),
    ):
        state = random_state(encoder)
        spectrogram = torch.rand(CLIPS, 1, frames, mel_bins)
        with torch.no_grad():
            tokens = encoder.eval()(spectrogram)
        found = {"cls_tokens": tokens.cls, "patch_tokens": tokens.patches}
        tensors = under("state.", state) | {"spectrogram": spectrogram} | found
        write(folder, name, tensors, {"num_heads": HEADS, "max_distance": 30})


def head(folder, case, name, options):
    probe = build(name, depth=DEPTH, width=WIDTH, classes=CLASSES, **options).eval()
    state = random_state(probe)
    tokens = Tokens(
        cls=torch.randn(DEPTH, CLIPS, WIDTH, requires_grad=True),
        patches=torch.randn(DEPTH, CLIPS, WIDTH, 7, 3, requires_grad=True),
    )
    inputs = {"cls_tokens": tokens.cls, "patch_tokens": tokens.patches}
    logits = probe(tokens)
    cotangent = torch.randn_like(logits)
    logits.backward(cotangent)
    tensors = under("state.", state) | inputs | {"logits": logits, "cotangent": cotangent}
    tensors |= under("grad.", {n: p.grad for n, p in probe.named_parameters()})
    read = {n: tensor.grad for n, tensor in inputs.items() if tensor.grad is not None}
    tensors |= under("grad_input.", read)
    if name == "head2toe":
        tensors["group_lasso_penalty"] = probe.penalty().view(1)
    write(folder, case, tensors, {"num_classes": CLASSES})


def visual_queries(folder):
    encoder = AudioTransformer(width=WIDTH, depth=DEPTH, heads=HEADS, grid_time_patches=6)
    random_state(encoder)
    probe = VisualQueryProbe(encoder, classes=CLASSES, queries=2).eval()
    state = random_state(probe)
    spectrogram = torch.rand(CLIPS, 1, 96, 128)
    with torch.no_grad():
        logits = probe(spectrogram)
    flat = {name.removeprefix("encoder."): value for name, value in state.items()}
    tensors = under("state.", flat) | {"spectrogram": spectrogram, "logits": logits}
    write(folder, "model_vqt", tensors, {"num_heads": HEADS})


def pretraining(folder):
    """A student with a narrower decoder; biases start at zero, as at the start of training."""
    views, mel_bins = 2, 64
    encoder = AudioTransformer(
        width=WIDTH, depth=DEPTH, heads=HEADS, mel_bins=mel_bins, grid_time_patches=6
    )
    decoder = ViTDecoder(
        width=WIDTH, depth=1, heads=HEADS, mlp_ratio=2.0, grid=(6, 4), decoder_width=16
    )
    student, teacher = Student(encoder, decoder), teacher_of(encoder)
    before = under("student.", copy.deepcopy(student.state_dict()))
    before |= under("teacher.encoder.", copy.deepcopy(teacher.state_dict()))
    spectrogram = torch.rand(CLIPS, 1, 96, mel_bins)
    keep = inverse_block_mask(CLIPS * views, grid=(6, 4), generator=torch.Generator())
    keep_BVn = keep.view(CLIPS, views, -1)
    with torch.no_grad():
        target = regression_targets(teacher.block_outputs(spectrogram))
        cls, patches = student(spectrogram, keep_BVn)
    settings = {"lr": 1e-3, "betas": [0.8, 0.9], "weight_decay": 0.1}
    optimizer = torch.optim.AdamW(student.parameters(), **settings)
    losses = pretraining_step(student, teacher, optimizer, spectrogram, keep_BVn, ema_decay=0.99)
    tensors = before | {
        "spectrogram": spectrogram,
        "mask": torch.ones(CLIPS * views, 24).scatter(1, keep, 0.0),
        "ids_keep_sorted": keep,
        "target": target,
        "cls_prediction": cls.flatten(0, 1),
        "patch_prediction": patches.flatten(0, 1),
        "global_loss": losses.global_loss.view(1),
        "local_loss": losses.local_loss.view(1),
    }
    graded = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    tensors |= under("grad.", graded)
    tensors |= under("after.student.", student.state_dict())
    tensors |= under("after.teacher.encoder.", teacher.state_dict())
    metadata = {"views": views, "num_heads": HEADS, "ema_decay": 0.99, **settings}
    write(folder, "pretrain_step", tensors, metadata)


def classification(folder):
    logits = torch.randn(6, CLASSES, requires_grad=True)
    targets = torch.rand(6, CLASSES)
    gammas = {"gamma_negative": 3.0, "gamma_positive": 1.0}
    loss = asymmetric_loss(logits, targets, **gammas)
    loss.backward()
    tensors = {"logits": logits, "targets": targets, "loss": loss.view(1), "grad": logits.grad}
    metadata = {"gamma_neg": 3.0, "gamma_pos": 1.0, "clip": 0.0}
    write(folder, "asymmetric_loss", tensors, metadata)

    targets, scores = (torch.rand(50, CLASSES) < 0.3).float(), torch.rand(50, CLASSES)
    tied = (scores * 4).round() / 4
    tensors = {"targets": targets, "scores": scores, "scores_tied": tied}
    for name, metric, values in (
        ("map_macro", "mAP", scores),
        ("map_macro_tied", "mAP", tied),
        ("f1_macro_at_0.5", "F1", scores),
    ):
        predictions = Predictions(
            fold="made",
            seed=0,
            clips=[str(clip) for clip in range(50)],
            scores=values.double().numpy(),
            present=targets.numpy() == 1,
        )
        tensors[name] = torch.tensor([100 * evaluate(metric, predictions)])
    write(folder, "metrics_multilabel", tensors, {})


def decoding(folder):
    """Two classes, one of them never heard, without a filter; an alphabet of two letters."""
    sed = {
        "probabilities": [[0.1, 0.7, 0.8, 0.2, 0.9], [0.0] * 5],
        "patch_stride_ms": 80.0,
        "threshold": 0.5,
        "median_filter": 1,
        "events_s": [[[0.08, 0.16], [0.32, 0.32]], []],
    }
    ctc = {"argmax": [[1, 1, 0, 1, 2], [0, 0, 0, 0, 0]], "text": ["aab", ""]}
    content = {"sed": sed, "ctc": ctc, "vocabulary": ["-", "a", "b"]}
    (folder / "decoding.json").write_text(json.dumps(content))


def schedules(folder):
    rates = {"peak": 2e-3, "floor": 1e-5, "warmup_steps": 3, "steps": 9}
    encoder = AudioTransformer(width=WIDTH, depth=5, heads=HEADS, gated=False)
    classifier = build("lp", depth=5, width=WIDTH, classes=CLASSES)
    groups = layer_decay_groups(
        [*encoder.named_parameters(), *classifier.named_parameters(prefix="head")],
        depth=5,
        layer_decay=0.6,
        weight_decay=0.3,
    )
    ramp = torch.linspace(0.9, 0.999, 7)
    decays = {step: ramp[step - 1].item() for step in range(1, 8)}
    decays[8] = ema_decay(8, start=0.9, end=0.999, warmup_steps=7)
    content = {
        "lr": {"sweep": {step: 0.5 * learning_rate(step, **rates) for step in range(11)}},
        "ema_decay_at_call": decays,
        "layer_decay_0.6": {
            name: [group["lr_scale"], group["weight_decay"]]
            for group in groups
            for name in group["names"]
        },
        "depth": 5,
        "settings": {
            "sweep": {
                "lr": 2e-3,
                "warmup_steps": 3,
                "total_steps": 9,
                "min_lr": 1e-5,
                "lr_scale": 0.5,
            },
            "ema": {"start": 0.9, "end": 0.999, "warmup_steps": 7},
            "layer_decay": {"weight_decay": 0.3},
        },
    }
    (folder / "schedules.json").write_text(json.dumps(content))


def masks(folder):
    """Means over masks of another seed than the check's."""
    samples, grid = 3000, (10, 4)
    generator = torch.Generator().manual_seed(99)
    keep = inverse_block_mask(samples, grid=grid, mask_ratio=0.7, generator=generator)
    kept = np.zeros((samples, 40))
    np.put_along_axis(kept, keep.numpy(), 1, axis=1)
    kept = kept.reshape(samples, *grid)
    pairs = (kept[:, 1:] * kept[:, :-1]).sum() + (kept[:, :, 1:] * kept[:, :, :-1]).sum()
    content = {
        "grid": list(grid),
        "kept_per_sample": keep.shape[1],
        "mean_kept_neighbours_of_a_kept_patch": 2 * pairs / kept.sum(),
        "keep_probability_by_frequency_row": kept.mean((0, 1)).tolist(),
        "keep_probability_by_time_column": kept.mean((0, 2)).tolist(),
        "samples": samples,
        "mask_ratio": 0.7,
        "neighbourhood": "4-connected",
    }
    (folder / "mask_statistics.json").write_text(json.dumps(content))
