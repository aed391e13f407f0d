"""Collapse monitor, costs, metrics: what a training tells of itself."""

import json
import struct

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event
from torch.utils.flop_counter import FlopCounterMode

from bat.cost import Blocks, Convolutions, StepCost, peak_flops, step_cost
from bat.models.decoders import CNNDecoder, ViTDecoder
from bat.models.encoder import AudioTransformer
from bat.params import load
from bat.pretraining import metrics
from bat.pretraining.collapse import CollapseMonitor
from bat.pretraining.masking import inverse_block_mask
from bat.pretraining.metrics import Metrics, Throughput
from bat.pretraining.objective import regression_targets
from bat.pretraining.step import Student, pretraining_losses, pretraining_step, teacher_of
from params.conftest import REPOSITORY
from pretraining.small import CLIPS, encoder, run

# --- collapse ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["eob", "mlp"])
def test_the_variances_are_those_of_the_whole_batch(target):
    teacher = teacher_of(encoder())
    monitor = CollapseMonitor(target)
    for part in CLIPS.split(5):
        monitor.add(teacher, part)
    found = monitor.variances()
    with torch.no_grad():
        targets = regression_targets(teacher.block_outputs(CLIPS, target)).double()
        embedding = teacher(CLIPS).patches[-1].mean(dim=(2, 3)).double()
    expected = {
        "target_clip_variance": targets.var(0, correction=0).mean(),
        "target_token_variance": targets.var(1, correction=0).mean(),
        "cls_target_variance": targets.mean(1).var(0, correction=0).mean(),
        "embedding_variance": embedding.var(0, correction=0).mean(),
    }
    assert found == pytest.approx({name: float(value) for name, value in expected.items()})
    assert found["target_clip_variance"] > 0.01


def test_a_collapsed_teacher_shows():
    monitor = CollapseMonitor("eob")
    monitor.add(teacher_of(encoder()), CLIPS[:1].expand(6, -1, -1, -1))
    found = monitor.variances()
    assert found["target_clip_variance"] < 1e-9
    assert found["embedding_variance"] < 1e-9
    assert found["target_token_variance"] > 0.1


def test_ranks_are_summed():
    def twice(tensors):
        for tensor in tensors:
            tensor.mul_(2)

    monitor = CollapseMonitor("eob")
    monitor.add(teacher_of(encoder()), CLIPS)
    assert monitor.variances(twice) == pytest.approx(monitor.variances())


# --- cost -------------------------------------------------------------------------------------

DECODERS = {
    "vit": (
        lambda width: ViTDecoder(width=width, depth=2, heads=2, mlp_ratio=3.0, grid=(4, 8)),
        lambda width: Blocks(width=width, depth=2, hidden=3 * width, gated=True),
    ),
    "narrow vit": (
        lambda width: ViTDecoder(
            width=width, depth=1, heads=2, mlp_ratio=4.0, grid=(4, 8), decoder_width=16
        ),
        lambda width: Blocks(width=16, depth=1, hidden=64, gated=True),
    ),
    "cnn": (
        lambda width: CNNDecoder(width=width, depth=3, grid=(4, 8), groups=8),
        lambda width: Convolutions(width=width, depth=3, groups=8),
    ),
}


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("kind", DECODERS)
def test_the_closed_form_is_what_torch_counts(kind, gated):
    width, clips, views = 32, 3, 4
    build, shape = DECODERS[kind]
    student = Student(
        AudioTransformer(width=width, depth=2, heads=2, gated=gated, grid_time_patches=4),
        build(width),
    )
    teacher, optimizer = teacher_of(student.encoder), torch.optim.AdamW(student.parameters())
    keep = inverse_block_mask(clips * views, grid=(4, 8), generator=torch.Generator())
    heard, keep_of_views = torch.rand(clips, 1, 64, 128), keep.view(clips, views, -1)
    cost = StepCost(
        encoder=Blocks(width=width, depth=2, hidden=4 * width, gated=gated),
        decoder=shape(width),
        patch_values=256,
        patches=32,
        visible=keep.shape[1],
        views=views,
    )
    forward = clips * (cost.teacher + cost.embedding + cost.student)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        pretraining_losses(student, teacher, heard, keep_of_views)
    assert counter.get_total_flops() == forward
    with FlopCounterMode(display=False) as counter:
        pretraining_step(student, teacher, optimizer, heard, keep_of_views, ema_decay=0.9)
    counted = counter.get_total_flops()
    if kind == "cnn":  # torch counts the gradient of grouped weights as if there were no groups
        counted -= clips * views * (8 - 1) * cost.decoder.forward(32)
    assert cost.of(clips) == counted


def test_the_paper_s_step_costs_what_its_architecture_says():
    model = load(REPOSITORY / "config" / "paper.yaml").models["BAT"]
    cost = step_cost(model.encoder, model.pretraining, patches=512)
    assert cost.visible == 102
    # the decoder is most of it (DESIGN: about 70 % of the arithmetic)
    decoder = cost.views * 3 * cost.decoder.forward(512)
    assert 0.6 < decoder / cost.of(1) < 0.75
    assert cost.of(48) == pytest.approx(170.7e12, rel=1e-3)


def test_peaks_are_known_for_bfloat16_by_the_name_of_the_device():
    assert peak_flops("NVIDIA H100 80GB HBM3", "bfloat16") == 989e12
    assert peak_flops("NVIDIA H100 PCIe", "bfloat16") == 756e12
    assert peak_flops("NVIDIA L40S", "bfloat16") == 362e12
    assert peak_flops("NVIDIA L4", "bfloat16") == 121e12
    assert peak_flops("NVIDIA H100 80GB HBM3", "float32") is None
    assert peak_flops("some other", "bfloat16") is None


# --- metrics ----------------------------------------------------------------------------------


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events_in(folder):
    """Scalars by tag and step, decoded from the framing of TensorBoard's files."""
    found = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


def test_logged_steps_are_json_lines_and_events_and_the_curves(tmp_path):
    throughput = Throughput(clips=4, flops=10**9, peak=1e13)
    done = run(
        changes={"log_every": 5},
        metrics=lambda step: Metrics(tmp_path, first_step=step),
        throughput=throughput,
    )
    lines = lines_of(tmp_path)
    assert [line["step"] for line in lines] == [0, 5, 10, 11] == done.curves["step"].to_list()
    for line, row in zip(lines, done.curves.iter_rows(named=True), strict=True):
        assert {name: line[name] for name in row} == row
        rates = line.keys() - row.keys()
        assert rates == {
            "clips_per_s", "flops_per_s", "data_wait_share", "left_s", "model_flop_utilisation"
        }  # fmt: skip
    events = events_in(tmp_path)
    assert events["local_loss", 10] == pytest.approx(lines[2]["local_loss"])
    assert {step for _, step in events} >= {0, 5, 10, 11}
    assert lines[-1]["left_s"] == 0


def test_a_run_that_goes_on_has_every_step_once(tmp_path):
    first = Metrics(tmp_path, first_step=0)
    for step in range(6):
        first.write({"step": step, "loss": 1.0})
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')  # killed in the middle of a line
    second = Metrics(tmp_path, first_step=4)
    second.write({"step": 4, "loss": 2.0})
    second.close()
    assert [(x["step"], x["loss"]) for x in lines_of(tmp_path)] == [
        (0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)
    ]  # fmt: skip
    Metrics(tmp_path, first_step=0).close()
    assert lines_of(tmp_path) == []


def test_rates_are_per_second_of_the_steps_since_the_last_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])
    rates = Throughput(clips=48, flops=10**12, peak=4e12)
    assert rates.words() == ""
    for _ in range(10):
        rates.step(waited_s=0.05)
    now[0] = 5.0
    assert rates.measure(steps_left=100) == pytest.approx(
        {
            "clips_per_s": 96.0,
            "flops_per_s": 2e12,
            "data_wait_share": 0.1,
            "left_s": 50.0,
            "model_flop_utilisation": 0.5,
        }
    )
    assert rates.words() == "96.0 clips/s, 2 TFLOP/s, data wait 10%, MFU 50%"
