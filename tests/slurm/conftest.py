"""The tests of this folder run where up.sh has started a SLURM, and are skipped elsewhere."""

import os

import pytest

from slurm.ends import MadeForIt


@pytest.fixture(scope="session")
def cluster():
    """The SLURM that up.sh started; it must be asked for, as starting it installs packages."""
    if "BAT_TEST_SLURM" not in os.environ:
        pytest.skip("no SLURM: bash tests/slurm/up.sh FOLDER, then BAT_TEST_SLURM=1")


@pytest.fixture(scope="session")
def disturbed(cluster, tmp_path_factory):
    """Stages whose jobs end in every way; they take minutes, so other tests run meanwhile."""
    stages = MadeForIt(tmp_path_factory.mktemp("ends"))
    snakemake = stages.begin()
    yield stages, snakemake
    if snakemake.poll() is None:
        snakemake.terminate()
        snakemake.wait()
