import zipfile
from pathlib import Path

import pytest

from bat.data.layouts import read_layout
from bat.data.ledger import build_ledger
from bat.data.pcm_store import PcmStore, PcmWriter
from bat.data.sources import open_source

FIXTURE = Path(__file__).parents[1] / "fixtures" / "meetings.zip"
RATE_HZ = 16_000


@pytest.fixture(scope="session")
def listing():
    """Entries and classes of the fixture."""
    with open_source(FIXTURE) as source:
        return read_layout("meetings", source)


@pytest.fixture(scope="session")
def pcm_files(tmp_path_factory):
    """Where the PCM of the fixture lies, and its index."""
    folder = tmp_path_factory.mktemp("pcm")
    return folder / "pcm.npy", folder / "index.parquet"


@pytest.fixture(scope="session")
def ledger(listing, pcm_files):
    """Ledger of the fixture, decoded once for all tests."""
    with open_source(FIXTURE) as source, PcmWriter(*pcm_files, rate_hz=RATE_HZ) as writer:
        return build_ledger(
            listing.entries,
            source.read,
            writer,
            rate_hz=RATE_HZ,
            minimum_duration_s=1.0,
            excludes=("silent", "duplicate"),
            workers=2,
        )


@pytest.fixture(scope="session")
def store(ledger, pcm_files):
    """PCM of the fixture."""
    return PcmStore(*pcm_files)


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
