"""What tests of the local workflow and of the cluster compare with, and who runs which of them."""

import pytest

from pipeline.conftest import MAIN, new_experiment
from pipeline.tiny import tinier_params


def pytest_itemcollected(item):
    """Keep the tests of a file on one worker: they share what it took long to make."""
    if item.get_closest_marker("xdist_group") is None:
        item.add_marker(pytest.mark.xdist_group(item.path.as_posix()))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The shortest way through every stage, run once; do not change it, copy it."""
    experiment = new_experiment(tmp_path_factory.mktemp("tinier") / "run", tinier_params())
    experiment.build(MAIN)
    return experiment
