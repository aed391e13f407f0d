"""What tests of the local workflow and of the cluster compare with."""

import pytest

from audit.mutants import pytest_terminal_summary
from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import tinier_params, tiny_params

__all__ = ["pytest_terminal_summary"]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The shortest way through every stage, run once; do not change it, copy it."""
    experiment = new_experiment(tmp_path_factory.mktemp("tinier") / "run", tinier_params())
    experiment.build(MAIN)
    return experiment


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """All models, tasks and methods, run once; do not change it, copy it."""
    experiment = new_experiment(tmp_path_factory.mktemp("tiny") / "run", tiny_params())
    experiment.build(MAIN)
    return experiment
