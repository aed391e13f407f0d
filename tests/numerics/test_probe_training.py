import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bat.models.tokens import Tokens
from bat.optimisation.batches import shuffled_batches
from bat.optimisation.losses import loss_function
from bat.optimisation.schedules import learning_rate
from bat.optimisation.training import Recipe, train
from bat.probes import build
from bat.probes.training import features_of, predict, train_probe

RECIPE = Recipe(
    steps=60,
    warmup_steps=5,
    learning_rate=0.02,
    minimum_learning_rate=1e-6,
    betas=(0.9, 0.999),
    seed=0,
)
PROBES = ["lp", "lcgp", "cgp", "protobin", "head2toe"]
CLIPS = 40


def separable_tokens() -> tuple[Tokens, Tensor]:
    """Tokens in half precision whose class is a direction, plus noise."""
    labels = torch.arange(CLIPS) % 4
    directions = torch.randn(4, 12)
    cls = directions[labels] + 0.3 * torch.randn(3, CLIPS, 12)
    patches = directions[labels][..., None, None] + 0.3 * torch.randn(3, CLIPS, 12, 3, 2)
    return Tokens(cls=cls.half(), patches=patches.half()), labels


def small_probe(name: str):
    options = {"prototypes": 32} if name in ("cgp", "protobin") else {}
    return build(name, depth=3, width=12, classes=4, **options)


def fed(features: Tensor):
    """Feed cached features."""

    def feed(clips: Tensor, _generator: torch.Generator | None = None) -> Tensor:
        return features[clips]

    return feed


def against(labels: Tensor, name: str = "cross_entropy"):
    loss = loss_function(name)
    return lambda logits, batch: loss(logits, labels[batch])


def batches(seed: int = 0) -> Tensor:
    return shuffled_batches(CLIPS, steps=RECIPE.steps, batch_size=16, seed=seed)


def trained(probe, tokens: Tokens, loss_of, **options) -> list[float]:
    feed = fed(features_of(probe, tokens))
    return train_probe(probe, feed, loss_of, batches(), RECIPE, weight_decay=0.05, **options)


def scores(probe, tokens: Tokens, clips: Tensor | None = None) -> Tensor:
    clips = torch.arange(CLIPS) if clips is None else clips
    return torch.stack(predict(probe, fed(features_of(probe, tokens)), clips, batch_size=7))


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_learns_separable_classes(name):
    tokens, labels = separable_tokens()
    probe = small_probe(name)
    losses = trained(probe, tokens, against(labels))
    assert len(losses) == RECIPE.steps
    assert losses[-1] < losses[0]
    found = scores(probe, tokens)
    assert found.dtype == torch.float32
    assert (found.argmax(1) == labels).float().mean() > 0.9


def test_training_is_repeatable_and_leaves_the_global_generator_alone():
    tokens, labels = separable_tokens()
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        probe = small_probe("cgp")
        before = torch.get_rng_state()
        losses = trained(probe, tokens, against(labels))
        assert torch.equal(torch.get_rng_state(), before)
        runs.append((losses, scores(probe, tokens)))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


def test_the_seed_of_a_recipe_moves_dropout():
    tokens, labels = separable_tokens()
    losses = []
    for seed in (0, 1):
        torch.manual_seed(3)
        probe = build("lp", depth=3, width=12, classes=4, dropout=0.5)
        feed, recipe = fed(features_of(probe, tokens)), replace(RECIPE, seed=seed)
        losses += [train_probe(probe, feed, against(labels), batches(), recipe, weight_decay=0.0)]
    assert losses[0] != losses[1]


def test_frame_wise_probes_train_on_frame_labels():
    tokens, _ = separable_tokens()
    labels = torch.rand(CLIPS, 3, 4).round()
    probe = build(
        "cgp", depth=3, width=12, classes=4, prototypes=8, pooling="mean", frame_wise=True
    )
    losses = trained(probe, tokens, against(labels, "binary_cross_entropy"))
    assert losses[-1] < losses[0]
    assert scores(probe, tokens).shape == (CLIPS, 3, 4)


def test_the_loss_of_every_step_holds_the_penalty():
    tokens, labels = separable_tokens()
    probe = build("head2toe", depth=3, width=12, classes=4, lasso=10.0, dropout=0.0)
    penalty = probe.penalty().item()
    plain = against(labels)
    first = batches()[0]
    with torch.no_grad():
        loss = plain(probe.classify(features_of(probe, tokens)[first]), first).item()
    assert trained(probe, tokens, plain)[0] == pytest.approx(loss + penalty, rel=1e-5)


def test_what_is_fed_in_training_is_drawn_anew_and_repeatably():
    """A feed that changes clips in training is handed a generator; a test draws nothing."""
    tokens, labels = separable_tokens()
    probe = small_probe("lp")
    features = features_of(probe, tokens)
    drawn: list[list[float]] = []

    def noisy(clips: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if generator is None:
            return features[clips]
        noise = torch.randn(len(clips), generator=generator)
        drawn[-1].append(noise[0].item())
        return features[clips] + noise[:, None]

    for _ in range(2):
        drawn.append([])
        train_probe(probe, noisy, against(labels), batches(), RECIPE, weight_decay=0.0)
        predict(probe, noisy, torch.arange(CLIPS), batch_size=8)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == RECIPE.steps


def test_a_probe_trains_in_training_mode_and_ends_in_evaluation_mode():
    tokens, labels = separable_tokens()
    probe = small_probe("lp")
    modes = []

    def loss_of(logits: Tensor, batch: Tensor) -> Tensor:
        modes.append(probe.training)
        return against(labels)(logits, batch)

    trained(probe, tokens, loss_of)
    assert modes == [True] * RECIPE.steps
    assert not probe.training
    probe.train()
    scores(probe, tokens)
    assert not probe.training


def test_testing_between_steps_does_not_change_the_training():
    tokens, labels = separable_tokens()
    losses, steps = [], []
    for every in (0, 10):
        torch.manual_seed(3)
        probe = build("lp", depth=3, width=12, classes=4, dropout=0.5)

        def look(step: int, every=every, probe=probe) -> None:
            steps.append(step)
            if every and step % every == 0:
                scores(probe, tokens)

        losses.append(trained(probe, tokens, against(labels), after_step=look))
    assert losses[0] == losses[1]
    assert steps == 2 * list(range(1, RECIPE.steps + 1))


def test_frozen_parameters_stay_as_they_are():
    tokens, labels = separable_tokens()
    probe = small_probe("cgp")
    frozen = next(probe.parameters()).requires_grad_(False)
    before = frozen.clone()
    trained(probe, tokens, against(labels))
    assert torch.equal(frozen, before)


@pytest.mark.parametrize("batch_size", [1, 7, CLIPS, 1000])
def test_predictions_do_not_depend_on_the_batch_and_keep_the_order(batch_size):
    tokens, _ = separable_tokens()
    probe = small_probe("cgp")
    feed = fed(features_of(probe, tokens))
    clips = torch.randperm(CLIPS)[:23]
    found = predict(probe, feed, clips, batch_size)
    assert len(found) == len(clips)
    torch.testing.assert_close(torch.stack(found), scores(probe, tokens)[clips])
    assert not found[0].requires_grad


def test_clips_of_different_lengths_are_predicted_one_tensor_each():
    class Steps(torch.nn.Module):
        def classify(self, features: Tensor) -> Tensor:
            return features

        def penalty(self) -> Tensor:
            return torch.zeros(())

    def feed(clips: Tensor, _generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(len(clips), int(clips.max()) + 1, 5)

    found = predict(Steps(), feed, torch.arange(6), batch_size=2)
    assert [one.shape for one in found] == [(length, 5) for length in (2, 2, 4, 4, 6, 6)]


def test_features_are_computed_for_all_clips_in_float32_whatever_their_number():
    tokens, _ = separable_tokens()
    probe = small_probe("lcgp")
    found = features_of(probe, tokens)
    assert found.dtype == torch.float32
    assert len(found) == CLIPS
    many = Tokens(cls=tokens.cls.repeat(1, 13, 1), patches=tokens.patches.repeat(1, 13, 1, 1, 1))
    assert torch.equal(features_of(probe, many), found.repeat(13, 1, 1))


# --- the loop itself --------------------------------------------------------------------------


def test_the_learning_rate_of_every_step_is_that_of_the_schedule():
    weight = torch.nn.Parameter(torch.zeros(1))
    slow = torch.nn.Parameter(torch.zeros(1))
    groups = [
        {"params": [weight], "weight_decay": 0.0},
        {"params": [slow], "weight_decay": 0.0, "lr_scale": 0.5},
    ]
    seen: list[tuple[float, float]] = []

    def loss_of(_: Tensor) -> Tensor:
        seen.append((weight.item(), slow.item()))
        return -(weight + slow).sum()

    recipe = Recipe(
        steps=8, warmup_steps=2, learning_rate=0.5, minimum_learning_rate=0.01,
        betas=(0.0, 0.0), seed=0,
    )  # fmt: skip
    losses = train(loss_of, groups, torch.zeros(8, 1, dtype=torch.int64), recipe)
    seen.append((weight.item(), slow.item()))
    # with these betas every step is as long as the learning rate
    rates = [
        learning_rate(step, peak=0.5, floor=0.01, warmup_steps=2, steps=8) for step in range(8)
    ]
    assert rates == [recipe.rate(step) for step in range(8)]
    for step, rate in enumerate(rates):
        assert seen[step + 1][0] - seen[step][0] == pytest.approx(rate, rel=1e-4)
        assert seen[step + 1][1] - seen[step][1] == pytest.approx(rate / 2, rel=1e-4)
    assert losses == pytest.approx([-(a + b) for a, b in seen[:-1]])


def test_gradients_of_one_step_do_not_reach_the_next():
    weight = torch.nn.Parameter(torch.zeros(()))
    found: list[float] = []

    def after_step(_: int) -> None:
        assert weight.grad is not None
        found.append(weight.grad.item())

    train(
        lambda batch: weight * batch.sum(),
        [{"params": [weight]}],
        torch.arange(1, 5)[:, None],
        replace(RECIPE, steps=4, warmup_steps=0),
        after_step=after_step,
    )
    assert found == [1.0, 2.0, 3.0, 4.0]


def test_every_batch_is_trained_on_once_in_order():
    weight = torch.nn.Parameter(torch.zeros(()))
    seen: list[list[int]] = []

    def loss_of(batch: Tensor) -> Tensor:
        seen.append(batch.tolist())
        return weight * 1.0

    train(loss_of, [{"params": [weight]}], batches(), RECIPE)
    assert seen == batches().tolist()


def test_a_batch_never_exceeds_the_clips():
    assert shuffled_batches(3, steps=2, batch_size=48, seed=1).shape == (2, 3)


def test_probes_import_neither_timm_nor_torchaudio_nor_each_other():
    code = (
        "import sys, bat.probes, bat.probes.training; bat.probes.build('lp', depth=1, width=4,"
        " classes=2); print([m for m in ('timm', 'torchaudio', 'bat.probes.cgp') if m in"
        " sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert shown.stdout.strip() == "[]"
