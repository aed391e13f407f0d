"""Published weights become rows of the table; what does not fit stops the run."""

import json

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from bat.models.beats import BeatsEncoder
from bat.models.encoder import AudioTransformer
from bat.provenance.hashing import sha256_of_file
from numerics.test_weights import eat_names
from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import tinier_params

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("weights")]

AUDIO = {"width": 32, "depth": 2, "heads": 2}
BEATS = {"width": 32, "depth": 2, "heads": 2, "mlp_width": 64, "patch_width": 24}
# Name of the model, its layout, and the branch of its checkpoint.
LAYOUTS = {
    "released": ("bat", "weights/bat.safetensors", None),
    "ema": ("bat-training", "weights/step.pt", "ema"),
    "eat": ("eat", "weights/eat.pt", None),
    "beats": ("beats", "weights/beats.pt", None),
}


def write_weights(folder):
    """Small random checkpoints, each in a published layout; the released one is the EMA branch."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    student, teacher, ungated = (
        AudioTransformer(**AUDIO, gated=gated, grid_time_patches=64).state_dict()
        for gated in (True, True, False)
    )
    save_file(teacher, folder / "bat.safetensors")
    branches = {"encoder": student, "ema_encoder": teacher, "decoder": {}}
    torch.save({**branches, "optimized_steps": 7, "args": {"lr": 5e-4}}, folder / "step.pt")
    torch.save({"model": eat_names(ungated), "cfg": {"epochs": 30}}, folder / "eat.pt")
    beats = BeatsEncoder(**BEATS).state_dict()
    torch.save({"model": beats, "cfg": {"layers": 2}}, folder / "beats.pt")


def published_params(folder):
    """The shortest experiment on two meetings, with models that are only converted."""
    params = tinier_params()
    params["models"] = {name: published_model(folder, *of) for name, of in LAYOUTS.items()}
    given = {"mean": -4.6, "deviation": 4.4}
    params["frontends"]["bat"]["statistics"] = None
    params["frontends"]["legacy"]["statistics"] = given
    task = params["tasks"]["speaker"]
    task["methods"] = ["lp"]
    task["folds"]["parts"] = ["meeting-0", "meeting-1"]
    # nothing is pretrained here: one group for all folds, and clips that are never made
    params["groups"] = {"only": {"pretrain": ["meeting-2"], "test": ["meeting-0", "meeting-1"]}}
    params["tasks"]["heard"] = {
        "kind": "unlabelled",
        "dataset": "meetings",
        "clips": task["clips"],
        "input": {"cached": False},
        "parts": ["meeting-2"],
    }
    return params | {"pretraining_clips": "heard", "baseline": None, "figures": {}}


def published_model(folder, layout, path, branch):
    gated = layout in ("bat", "bat-training")
    audio = {"kind": "audio-transformer", "mlp_ratio": 4.0, "patch_size": 16, "gated": gated}
    audio |= {**AUDIO, "position_order": "frequency-major"}
    return {
        "frontend": "bat" if gated else "legacy",
        "encoder": {"kind": "beats", **BEATS} if layout == "beats" else audio,
        "weights": {
            "layout": layout,
            "path": path,
            "sha256": sha256_of_file(folder / path),
            "branch": branch,
        },
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A row for each layout; do not change it."""
    folder = tmp_path_factory.mktemp("published") / "run"
    write_weights(folder / "weights")
    experiment = new_experiment(folder, published_params(folder))
    experiment.build(MAIN)
    return experiment


def state_of(experiment, model):
    return load_file(experiment.folder / f"results/pretrain/{model}/only/encoder.safetensors")


def test_weights_of_every_layout_become_a_row(published):
    table = pl.read_csv(published.folder / MAIN)
    assert table["model"].to_list() == list(LAYOUTS)
    assert table["speaker accuracy n_folds"].to_list() == [2] * 4
    assert table["speaker mAP"].is_between(0, 100).all()


def test_the_converted_encoder_holds_the_weights_of_the_branch_that_is_named(published):
    checkpoint = torch.load(published.folder / "weights/step.pt", weights_only=True)
    converted = state_of(published, "ema")
    assert converted.keys() == checkpoint["ema_encoder"].keys()
    for name, value in checkpoint["ema_encoder"].items():
        assert torch.equal(converted[name], value), name
    student = checkpoint["encoder"]
    assert any(not torch.equal(converted[name], student[name]) for name in student)


def test_the_same_weights_in_two_layouts_give_the_same_predictions(published):
    cells = [f"results/probe/{model}/speaker/lp/all/predictions.parquet" for model in LAYOUTS]
    released, ema, eat, beats = (pl.read_parquet(published.folder / cell) for cell in cells)
    assert ema.equals(released)
    assert not eat.equals(released)
    assert not beats.equals(eat)


def test_what_a_published_encoder_heard_is_not_claimed_to_be_known(published):
    for model, (_, path, _) in LAYOUTS.items():
        heard = json.loads(published.read(f"results/pretrain/{model}/only/clips.json"))
        assert heard["recordings"] is None
        assert heard["source_sha256"] == sha256_of_file(published.folder / path)
    verified = json.loads(published.read("results/audit/verified.json"))
    assert verified["runs_of_published_encoders"] == 4 * 2 * 2  # models, folds, seeds
    assert verified["runs_checked_for_leaks"] == 0


def test_a_row_is_traced_to_its_weights(published):
    done = published.bat("audit", "trace", "eat,lp,speaker,accuracy", "--verify")
    assert done.returncode == 0, done.stderr
    assert "convert results/pretrain/eat/only" in done.stdout
    assert published.planned() == {}


def test_weights_that_do_not_fit_stop_the_run_and_are_named(tmp_path):
    write_weights(tmp_path / "weights")
    cut = load_file(tmp_path / "weights/bat.safetensors")
    del cut["pre_norm.bias"]
    save_file(cut, tmp_path / "weights/bat.safetensors")
    params = published_params(tmp_path)
    params["models"]["ema"]["weights"]["sha256"] = "0" * 64
    params["models"]["eat"]["weights"]["path"] = "weights/nowhere.pt"
    found = sha256_of_file(tmp_path / "weights/step.pt")

    experiment = new_experiment(tmp_path, params)
    models = ("released", "ema", "eat")
    encoders = [f"results/pretrain/{model}/only/encoder.safetensors" for model in models]
    done = experiment.snakemake("--keep-going", "--", *encoders)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    missing = "weights/bat.safetensors: weights do not fit AudioTransformer; missing: pre_norm.bias"
    assert missing in output
    assert f"weights/step.pt: expected sha256 {'0' * 64}, found {found}" in output
    assert "weights/nowhere.pt: the published weights are not there" in output
    assert "Traceback" not in output
    assert not experiment.recipes()
