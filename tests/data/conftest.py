import zipfile
from pathlib import Path

import pytest

from bat.data.ledger import build_ledger
from bat.data.shards import PcmStore, write_pcm
from bat.data.sources import recordings

FIXTURE = Path(__file__).parents[1] / "fixtures" / "meetings.zip"


@pytest.fixture(scope="session")
def ledger():
    """Ledger of the fixture, decoded once for all tests."""
    return build_ledger(recordings(FIXTURE))


@pytest.fixture(scope="session")
def store(ledger, tmp_path_factory):
    """PCM of the fixture."""
    folder = tmp_path_factory.mktemp("pcm")
    write_pcm(folder / "pcm.npy", folder / "pcm.parquet", ledger.pcm.items(), rate_hz=16_000)
    return PcmStore(folder / "pcm.npy", folder / "pcm.parquet")


@pytest.fixture
def make_archive(tmp_path):
    """Return a function that zips a mapping of name to content."""

    def make(members, name="archive.zip"):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return path

    return make
