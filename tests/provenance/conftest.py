"""Jobs made of plain bytes, run in a folder of their own."""

import pytest
from hypothesis import settings

from bat.provenance.job import Job

# a shared or busy machine is slow, which says nothing about the code
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def job(folder, inputs=(), **changes):
    """A job that reads ``inputs`` and writes to ``folder``; nothing in it is particular."""
    options = {
        "stage": "made",
        "selection": {"model": "m"},
        "settings": {"rate": 1e-3, "name": "ä"},
        "inputs": {"given": list(inputs)},
        "folder": folder,
        "code": {"bat.stages.made": "0" * 64},
        "determinism": "bitwise",
        "wanted": lambda: "w",
    }
    return Job(**options | changes)


def make(folder, outputs, inputs=(), **changes):
    """Run such a job to its end."""
    with job(folder, inputs, **changes) as running:
        for name, content in outputs.items():
            running.output(name).write_bytes(content)


def flip(path, position, mask=0xFF):
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    path.write_bytes(content)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder that the workflow would be run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
