"""The tests of this folder run where up.sh has started a SLURM, and are skipped elsewhere."""

import os

import pytest

from pipeline.conftest import new_experiment
from pipeline.tiny import tinier_params
from slurm.ends import MadeForIt


@pytest.fixture(scope="session")
def cluster():
    """The SLURM that up.sh started; it must be asked for, as starting it installs packages."""
    if "BAT_TEST_SLURM" not in os.environ:
        pytest.skip("no SLURM: bash tests/slurm/up.sh FOLDER, then BAT_TEST_SLURM=1")


@pytest.fixture(scope="session")
def heard(cluster, tmp_path_factory):
    """All that pretraining needs; do not change it, copy it."""
    experiment = new_experiment(tmp_path_factory.mktemp("heard") / "run", tinier_params())
    experiment.build("data/spectrograms/bat/speaker/spectrograms.safetensors")
    return experiment


@pytest.fixture(scope="session")
def disturbed(cluster, tmp_path_factory):
    """Stages whose jobs end in every way; they take minutes, so other tests run meanwhile."""
    stages = MadeForIt(tmp_path_factory.mktemp("ends"))
    snakemake = stages.begin()
    yield stages, snakemake
    if snakemake.poll() is None:
        snakemake.terminate()
        snakemake.wait()
