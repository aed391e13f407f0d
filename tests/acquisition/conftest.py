import pytest

from acquisition.acquiring import acquired_params
from acquisition.world import make_world
from pipeline.conftest import new_experiment


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Every data set and all weights, small, in archives as their mirrors pack them."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def experiment(tmp_path):
    return new_experiment(tmp_path / "run", acquired_params())
