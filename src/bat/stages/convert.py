"""Convert a published checkpoint into an encoder of this project; not one weight is left over."""

from pathlib import Path

from bat.errors import BatError
from bat.models.checkpoint import InputScaling, save_encoder
from bat.models.registry import build_encoder
from bat.models.weights import load_strict, read_weights
from bat.params.models import Weights
from bat.pretraining.curves import CURVES
from bat.provenance.hashing import sha256_of_file
from bat.provenance.job import Job
from bat.settings import ConvertSettings
from bat.stages.architecture import architecture_of

DETERMINISM = "bitwise"
# All published encoders saw 128 mel bins; their position grid is 64 patches of 16 frames long.
_MEL_BINS, _GRID_TIME_PATCHES = 128, 64


def run(job: Job, settings: ConvertSettings) -> None:
    """Write ``encoder.safetensors``, and ``clips.json``: what it heard is not known from here."""
    weights = settings.weights
    path = job.path("weights") if job.has("weights") else Path(str(weights.path))
    found = _check(path, weights)
    architecture = architecture_of(
        settings.encoder, mel_bins=_MEL_BINS, time_patches=_GRID_TIME_PATCHES
    )
    encoder = build_encoder(architecture)
    state = read_weights(path, layout=weights.layout, branch=weights.branch)
    load_strict(encoder, state, str(path))
    # Statistics of published encoders are those of their front ends, given in the parameters.
    scaling = InputScaling(mean=0.0, scale=1.0, patch_size=encoder.patch_size)
    save_encoder(job.output("encoder.safetensors"), encoder, architecture, scaling)
    CURVES.write_parquet(job.output("curves.parquet"))
    job.write_json("clips.json", {"clips": None, "recordings": None, "source_sha256": found})


def _check(path: Path, weights: Weights) -> str:
    if not path.is_file():
        raise BatError(f"{path}: the published weights are not there")
    found = sha256_of_file(path)
    if weights.sha256 is not None and found != weights.sha256:
        raise BatError(f"{path}: expected sha256 {weights.sha256}, found {found}")
    return found
