import subprocess
import sys

import pytest
import torch

from bat.errors import BatError
from bat.models.tokens import Tokens
from bat.optimisation.batches import shuffled_batches
from bat.probes import build
from bat.probes.training import features_of, predict, train_probe

SETTINGS = {
    "loss_name": "cross_entropy",
    "steps": 60,
    "warmup_steps": 5,
    "batch_size": 16,
    "learning_rate": 0.02,
    "min_learning_rate": 1e-6,
    "weight_decay": 0.05,
    "betas": (0.9, 0.999),
    "seed": 0,
}
PROBES = ["lp", "lcgp", "cgp", "protobin", "head2toe"]


def separable_tokens() -> tuple[Tokens, torch.Tensor]:
    """Tokens in half precision whose class is a direction, plus noise."""
    labels = torch.arange(40) % 4
    directions = torch.randn(4, 12)
    cls = directions[labels] + 0.3 * torch.randn(3, 40, 12)
    patches = directions[labels][..., None, None] + 0.3 * torch.randn(3, 40, 12, 3, 2)
    return Tokens(cls=cls.half(), patches=patches.half()), labels


def small_probe(name: str):
    options = {"prototypes": 32} if name in ("cgp", "protobin") else {}
    return build(name, depth=3, width=12, classes=4, **options)


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_learns_separable_classes(name):
    tokens, labels = separable_tokens()
    probe = small_probe(name)
    losses = train_probe(probe, features_of(probe, tokens), labels, **SETTINGS)
    scores = predict(probe, features_of(probe, tokens))
    assert len(losses) == SETTINGS["steps"]
    assert losses[-1] < losses[0]
    assert scores.dtype == torch.float32
    assert (scores.argmax(1) == labels).float().mean() > 0.9


def test_training_is_repeatable_and_leaves_the_global_generator_alone():
    tokens, labels = separable_tokens()
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        probe = small_probe("cgp")
        before = torch.get_rng_state()
        losses = train_probe(probe, features_of(probe, tokens), labels, **SETTINGS)
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(losses)
    assert runs[0] == runs[1]


def test_frame_wise_probes_train_on_frame_labels():
    tokens, _ = separable_tokens()
    labels = torch.rand(40, 3, 4).round()
    probe = build(
        "cgp", depth=3, width=12, classes=4, prototypes=8, pooling="mean", frame_wise=True
    )
    train_probe(
        probe,
        features_of(probe, tokens),
        labels,
        **{**SETTINGS, "loss_name": "binary_cross_entropy"},
    )
    assert predict(probe, features_of(probe, tokens)).shape == (40, 3, 4)


def test_every_step_reports_its_loss():
    tokens, labels = separable_tokens()
    seen = {}
    probe = small_probe("lp")
    losses = train_probe(
        probe,
        features_of(probe, tokens),
        labels,
        **SETTINGS,
        on_step=lambda s, x: seen.update({s: x.item()}),
    )
    assert list(seen) == list(range(SETTINGS["steps"]))
    assert list(seen.values()) == losses


def test_an_epoch_shows_every_clip_once():
    batches = shuffled_batches(10, steps=6, batch_size=5, seed=1)
    for epoch in batches.view(3, 10):
        assert epoch.sort().values.tolist() == list(range(10))


def test_a_batch_never_exceeds_the_clips():
    assert shuffled_batches(3, steps=2, batch_size=48, seed=1).shape == (2, 3)


def test_labels_of_another_number_of_clips_are_refused():
    tokens, labels = separable_tokens()
    with pytest.raises(BatError, match="expected 40 labels, found 39"):
        probe = small_probe("lp")
        train_probe(probe, features_of(probe, tokens), labels[1:], **SETTINGS)


def test_probes_import_neither_timm_nor_torchaudio_nor_each_other():
    code = (
        "import sys, bat.probes, bat.probes.training; bat.probes.build('lp', depth=1, width=4,"
        " classes=2); print([m for m in ('timm', 'torchaudio', 'bat.probes.cgp') if m in"
        " sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert shown.stdout.strip() == "[]"
