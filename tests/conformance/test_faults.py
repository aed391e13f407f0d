"""Whatever is wrong with a golden folder is reported as the failure of a case."""

import json
import shutil

import pytest
import torch

from bat.conformance.run import check_folder, print_report
from bat.errors import BatError

from .folders import GOLDEN, changed, read, write

# An expected value of each family that a fault is put into.
FLIPPED = [
    ("frontend_esc50", "spectrogram"),
    ("frontend_audioset_downstream", "spectrogram"),
    ("frontend_speech_commands", "spectrogram"),
    ("frontend_legacy", "eat"),
    ("frontend_legacy", "beats"),
    ("encoder_bat_256", "cls_tokens"),
    ("encoder_eat_256", "patch_tokens"),
    ("encoder_bat_256", "state.pos_embed"),
    ("encoder_beats_256", "patch_tokens"),
    ("head_linear_cls", "logits"),
    ("head_linear_avg", "grad_input.patch_tokens"),
    ("head_lcgp_frame", "grad.block_attention"),
    ("head_cgp_cls", "grad.prototype_vectors"),
    ("head_protobin", "grad.fc.weight"),
    ("head_h2t_frame", "group_lasso_penalty"),
    ("model_vqt", "logits"),
    ("model_vqt", "state.vqt"),
    ("pretrain_step", "mask"),
    ("pretrain_step", "ids_keep_sorted"),
    ("pretrain_step", "target"),
    ("pretrain_step", "patch_prediction"),
    ("pretrain_step", "global_loss"),
    ("pretrain_step", "local_loss"),
    ("pretrain_step", "grad.decoder.mask_token"),
    ("pretrain_step", "after.student.encoder.blocks.1.mlp.fc2.weight"),
    ("pretrain_step", "after.student.decoder.pos_embed"),
    ("pretrain_step", "after.student.encoder.blocks.0.attn.qkv.bias"),
    ("pretrain_step", "after.teacher.encoder.blocks.2.attn.gate.weight"),
    ("asymmetric_loss", "loss"),
    ("asymmetric_loss", "grad"),
    ("metrics_multilabel", "map_macro"),
    ("metrics_multilabel", "map_macro_tied"),
    ("metrics_multilabel", "f1_macro_at_0.5"),
]
# A number in each section of the JSON cases.
FLIPPED_NUMBERS = [
    ("decoding", ["sed", "events_s", 1, 2, 0]),
    ("decoding", ["ctc", "argmax", 0, 3]),
    ("schedules", ["lr", "probe_as20k", "501"]),
    ("schedules", ["lr", "finetune_scaled", "390"]),
    ("schedules", ["ema_decay_at_call", "500"]),
    ("schedules", ["layer_decay_0.75", "blocks.1.mlp.fc1.weight", 0]),
    ("schedules", ["layer_decay_0.75", "pre_norm.bias", 1]),
    ("mask_statistics", ["kept_per_sample"]),
    ("mask_statistics", ["mean_kept_neighbours_of_a_kept_patch"]),
    ("mask_statistics", ["keep_probability_by_frequency_row", 3]),
    ("mask_statistics", ["keep_probability_by_time_column", 63]),
]


def only(folder):
    """The one outcome of a folder, which has failed."""
    (outcome,) = check_folder(folder)
    assert not outcome.passed
    return outcome


def copy(folder, *files):
    for file in files:
        shutil.copy(GOLDEN / file, folder)


@pytest.mark.parametrize(("case", "tensor"), FLIPPED)
def test_one_wrong_value_in_a_tensor_fails(tmp_path, case, tensor):
    tensors, metadata = read(case)
    write(tmp_path, case, tensors | {tensor: changed(tensors[tensor])}, metadata)
    only(tmp_path)


@pytest.mark.parametrize(("case", "place"), FLIPPED_NUMBERS)
def test_one_wrong_number_in_a_json_case_fails(tmp_path, case, place):
    content = json.loads((GOLDEN / f"{case}.json").read_text())
    section = content
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] += 1 if isinstance(section[place[-1]], int) else 0.1
    (tmp_path / f"{case}.json").write_text(json.dumps(content))
    only(tmp_path)


@pytest.mark.parametrize(
    ("case", "tensor"),
    [
        ("frontend_esc50", "spectrogram"),
        ("encoder_bat_256", "state.cls_token"),
        ("encoder_bat_256", "state.pos_embed"),
        ("encoder_beats_256", "state.encoder.layers.1.fc1.bias"),
        ("head_cgp_cls", "grad.fc.bias"),
        ("head_cgp_cls", "grad_input.cls_tokens"),
        ("model_vqt", "state.head.1.bias"),
        ("pretrain_step", "after.student.decoder.out_proj.weight"),
        ("pretrain_step", "grad.encoder.cls_token"),
        ("asymmetric_loss", "grad"),
        ("metrics_multilabel", "scores_tied"),
    ],
)
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
def test_a_missing_tensor_fails_and_is_named(tmp_path, case, tensor, listed):
    tensors, metadata = read(case)
    del tensors[tensor]
    write(tmp_path, case, tensors, metadata)
    if listed:
        copy(tmp_path, "INDEX.json")
        outcome = next(one for one in check_folder(tmp_path) if one.name == case)
    else:
        outcome = only(tmp_path)
    assert not outcome.passed
    assert tensor.removeprefix("state.") in outcome.detail
    assert outcome.error is None


@pytest.mark.parametrize(
    ("case", "tensor"),
    [
        ("frontend_legacy", "eat"),
        ("frontend_esc50", "waveform"),
        ("encoder_eat_256", "patch_tokens"),
        ("encoder_eat_256", "state.blocks.0.mlp.fc1.weight"),
        ("head_linear_cls", "cotangent"),
        ("head_protobin", "state.fc.weight"),
        ("pretrain_step", "after.teacher.encoder.cls_token"),
        ("pretrain_step", "ids_keep_sorted"),
        ("asymmetric_loss", "targets"),
        ("metrics_multilabel", "targets"),
    ],
)
def test_a_mis_shaped_tensor_fails(tmp_path, case, tensor):
    tensors, metadata = read(case)
    write(tmp_path, case, tensors | {tensor: tensors[tensor][..., :-1]}, metadata)
    only(tmp_path)


def test_a_tensor_that_is_not_a_number_fails(tmp_path):
    tensors, metadata = read("head_linear_cls")
    write(
        tmp_path, "head_linear_cls", tensors | {"logits": tensors["logits"] * torch.nan}, metadata
    )
    only(tmp_path)


def test_a_tensor_that_nothing_checks_fails(tmp_path):
    tensors, metadata = read("head_linear_cls")
    write(tmp_path, "head_linear_cls", tensors | {"attention": torch.zeros(3)}, metadata)
    assert "attention" in only(tmp_path).detail


@pytest.mark.parametrize(
    "case", ["frontend_whale", "head_svm_cls", "head_cgp_max", "head_linear", "encoder_bat", "else"]
)
def test_a_case_that_is_not_known_fails(tmp_path, case):
    write(tmp_path, case, *read("head_linear_cls"))
    assert only(tmp_path).name == case


def test_a_json_case_that_is_not_known_fails(tmp_path):
    (tmp_path / "sampling.json").write_text("{}")
    assert "decoding, mask_statistics, schedules" in only(tmp_path).detail


@pytest.mark.parametrize("case", ["decoding", "schedules", "mask_statistics"])
def test_a_section_that_nothing_checks_fails(tmp_path, case):
    content = json.loads((GOLDEN / f"{case}.json").read_text())
    (tmp_path / f"{case}.json").write_text(json.dumps(content | {"beam_search": {}}))
    assert "beam_search" in only(tmp_path).detail


@pytest.mark.parametrize("case", ["decoding", "schedules", "mask_statistics"])
def test_a_missing_section_fails(tmp_path, case):
    content = json.loads((GOLDEN / f"{case}.json").read_text())
    key = next(iter(content))
    del content[key]
    (tmp_path / f"{case}.json").write_text(json.dumps(content))
    assert key in only(tmp_path).detail


def test_a_schedule_without_settings_fails(tmp_path):
    content = json.loads((GOLDEN / "schedules.json").read_text())
    del content["settings"]["pretrain"]
    (tmp_path / "schedules.json").write_text(json.dumps(content))
    assert "settings.pretrain is missing" in only(tmp_path).detail


@pytest.mark.parametrize("file", ["head_cgp_cls.safetensors", "schedules.json"])
def test_a_truncated_file_fails(tmp_path, file):
    whole = (GOLDEN / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    assert "expected" in only(tmp_path).detail


def test_an_entry_of_the_index_without_a_file_fails(tmp_path):
    write(tmp_path, "head_linear_cls", *read("head_linear_cls"))
    (tmp_path / "head_linear_cls.safetensors").unlink()
    assert "listed in INDEX.json but missing" in only(tmp_path).detail


@pytest.mark.parametrize("file", ["head_cgp_cls.safetensors", "notes.md"])
def test_a_file_that_the_index_does_not_list_fails(tmp_path, file):
    write(tmp_path, "head_linear_cls", *read("head_linear_cls"))
    if file in {path.name for path in GOLDEN.iterdir()}:
        copy(tmp_path, file)
    else:
        (tmp_path / file).touch()
    listed, other = check_folder(tmp_path)
    assert listed.passed
    assert not other.passed


def test_metadata_that_contradict_the_index_fail(tmp_path):
    tensors, metadata = read("encoder_bat_256")
    write(tmp_path, "encoder_bat_256", tensors, metadata)
    index = json.loads((tmp_path / "INDEX.json").read_text())
    index["encoder_bat_256"]["meta"]["num_heads"] = 4
    (tmp_path / "INDEX.json").write_text(json.dumps(index))
    assert "num_heads: INDEX.json says 4, found 3" in only(tmp_path).detail


def test_without_an_index_every_file_is_a_case(tmp_path):
    copy(tmp_path, "head_cgp_cls.safetensors", "decoding.json")
    assert [outcome.name for outcome in check_folder(tmp_path)] == ["decoding", "head_cgp_cls"]
    assert all(outcome.passed for outcome in check_folder(tmp_path))


def test_an_empty_folder_a_damaged_index_and_no_folder_are_errors(tmp_path):
    with pytest.raises(BatError, match="expected golden vectors, found an empty folder"):
        check_folder(tmp_path)
    with pytest.raises(BatError, match="expected a folder of golden vectors"):
        check_folder(tmp_path / "absent")
    (tmp_path / "INDEX.json").write_text("{")
    with pytest.raises(BatError, match=r"INDEX.json: expected JSON"):
        check_folder(tmp_path)


def test_a_report_with_a_failure_shows_all_cases_and_ends_in_an_error(tmp_path, capsys):
    copy(tmp_path, "head_cgp_cls.safetensors", "head_linear_cls.safetensors")
    (tmp_path / "head_else.safetensors").touch()
    with pytest.raises(BatError, match="1 cases failed: head_else"):
        print_report(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[:-1]] == ["pass", "fail", "pass"]
    assert lines[1].split()[:2] == ["head_else", "-"]
    assert lines[-1] == "2 of 3 cases passed"
