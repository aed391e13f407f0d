import copy

import pytest
import torch
import torch.nn.functional as F

from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.pretraining.masking import inverse_block_mask
from bat.pretraining.objective import masked_regression_loss, regression_targets
from bat.pretraining.step import Student, pretraining_losses, pretraining_step, teacher_of
from numerics.conformance import below, load_case, relative_error


@pytest.fixture(scope="module")
def reference():
    return load_case("pretrain_step")


@pytest.fixture
def pair(reference):
    tensors, meta = reference
    width, heads = meta["dim"], meta["num_heads"]
    encoder = AudioTransformer(width=width, depth=meta["depth"], heads=heads, grid_time_patches=16)
    decoder = ViTDecoder(
        width=width, depth=meta["decoder_depth"], heads=heads, mlp_ratio=4.0, grid=(16, 8)
    )
    student, teacher = Student(encoder, decoder), teacher_of(encoder)
    student.load_state_dict(below(tensors, "student."), strict=True)
    teacher.load_state_dict(below(tensors, "teacher.encoder."), strict=True)
    return student, teacher


def optimizer_of(student: Student, meta) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        student.parameters(),
        lr=meta["lr"],
        betas=tuple(meta["betas"]),
        weight_decay=meta["weight_decay"],
        fused=True,
    )


def kept(tensors, meta):
    return tensors["ids_keep_sorted"].unflatten(0, (-1, meta["views"]))


def test_predictions_and_targets_equal_the_reference(reference, pair):
    tensors, meta = reference
    student, teacher = pair
    with torch.no_grad():
        target = regression_targets(teacher.block_outputs(tensors["spectrogram"]))
        cls, prediction = student(tensors["spectrogram"], kept(tensors, meta))
    assert relative_error(target, tensors["target"]) < 1e-5
    assert relative_error(cls.flatten(0, 1), tensors["cls_prediction"]) < 1e-5
    assert relative_error(prediction.flatten(0, 1), tensors["patch_prediction"]) < 1e-5


def test_losses_and_gradients_equal_the_reference(reference, pair):
    tensors, meta = reference
    student, teacher = pair
    global_loss, local_loss = pretraining_losses(
        student, teacher, tensors["spectrogram"], kept(tensors, meta)
    )
    assert global_loss.item() == pytest.approx(tensors["global_loss"].item(), rel=1e-6)
    assert local_loss.item() == pytest.approx(tensors["local_loss"].item(), rel=1e-6)
    (global_loss + local_loss).backward()
    gradients = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    expected = below(tensors, "grad.")
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert relative_error(gradient, expected[name]) < 1e-5, name


def test_a_whole_step_moves_student_and_teacher_as_the_reference(reference, pair):
    tensors, meta = reference
    student, teacher = pair
    losses = pretraining_step(
        student,
        teacher,
        optimizer_of(student, meta),
        tensors["spectrogram"],
        kept(tensors, meta),
        ema_decay=meta["ema_decay"],
    )
    assert losses.local_loss.item() == pytest.approx(tensors["local_loss"].item(), rel=1e-6)
    for name, parameter in student.state_dict().items():
        # A key's bias shifts all scores of a query alike: its gradient is rounding noise, which
        # the first step of AdamW scales up to the learning rate.
        tolerance = 1e-4 if name.endswith("qkv.bias") else 1e-5
        assert relative_error(parameter, tensors[f"after.student.{name}"]) < tolerance, name
    for name, parameter in teacher.state_dict().items():
        assert relative_error(parameter, tensors[f"after.teacher.encoder.{name}"]) < 1e-5, name


def test_targets_are_instance_then_layer_normalised():
    outputs = torch.randn(3, 2, 10, 8) * 5 + 3
    layer_normed = regression_targets(outputs)
    plain = torch.stack([F.instance_norm(o.transpose(1, 2), eps=1e-6) for o in outputs])
    expected = F.layer_norm(plain.mean(0).transpose(1, 2), (8,), eps=1e-6)
    torch.testing.assert_close(layer_normed, expected)


def test_visible_patches_do_not_count_in_the_local_loss():
    keep = inverse_block_mask(6, grid=(4, 8), generator=torch.Generator().manual_seed(0))
    keep = keep.view(2, 3, -1)
    target, prediction = torch.randn(2, 32, 8), torch.randn(2, 3, 32, 8)
    arguments = {"cls_prediction_BVD": torch.randn(2, 3, 8), "target_BND": target, "keep_BVn": keep}
    _, local = masked_regression_loss(patch_prediction_BVND=prediction, **arguments)
    changed = prediction.scatter(2, keep[..., None].expand(-1, -1, -1, 8), 100.0)
    _, unchanged = masked_regression_loss(patch_prediction_BVND=changed, **arguments)
    torch.testing.assert_close(unchanged, local)


@pytest.mark.parametrize("target", ["eob", "mlp"])
def test_the_convolutional_recipe_learns_one_batch(target):
    encoder = AudioTransformer(width=16, depth=2, heads=2, gated=False, grid_time_patches=4)
    student = Student(encoder, CNNDecoder(width=16, depth=1, grid=(4, 8), groups=4))
    teacher = teacher_of(encoder)
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    spectrogram = torch.rand(4, 1, 64, 128)
    losses = []
    for _ in range(30):
        keep = inverse_block_mask(8, grid=(4, 8), generator=generator).view(4, 2, -1)
        step = pretraining_step(
            student,
            teacher,
            optimizer,
            spectrogram,
            keep,
            ema_decay=0.999,
            target=target,
            gradient_clip=4.0,
            generator=generator,
        )
        losses.append(step.local_loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_bfloat16_step_stays_near_the_float32_step(reference, pair):
    tensors, meta = reference
    student, teacher = pair
    losses = pretraining_step(
        student,
        teacher,
        optimizer_of(student, meta),
        tensors["spectrogram"],
        kept(tensors, meta),
        ema_decay=meta["ema_decay"],
        bfloat16=True,
    )
    assert losses.local_loss.dtype == torch.float32
    assert losses.local_loss.item() == pytest.approx(tensors["local_loss"].item(), rel=0.02)


def test_the_teacher_is_a_frozen_copy(pair):
    student, _ = pair
    before = copy.deepcopy(student.encoder.state_dict())
    teacher = teacher_of(student.encoder)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(torch.equal(teacher.state_dict()[name], value) for name, value in before.items())
