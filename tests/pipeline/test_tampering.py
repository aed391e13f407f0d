"""Whoever edits an artefact is found out by its next reader and by the audit."""

import os
import re

import pytest

from bat.provenance.hashing import sha256_of_file
from pipeline.conftest import MAIN

pytestmark = [pytest.mark.pipeline, pytest.mark.xdist_group("default")]

# Each with a file that is made of it: what is asked for after the edit.
ARTEFACTS = {
    "data/source/meetings/archive": "data/pcm/meetings/ledger.parquet",
    "data/pcm/meetings/ledger.parquet": "data/manifest/speaker/manifest.parquet",
    "data/pcm/meetings/pcm.npy": "data/manifest/speaker/manifest.parquet",
    "data/manifest/speaker/manifest.parquet": (
        "data/spectrograms/bat/speaker/spectrograms.safetensors"
    ),
    "data/spectrograms/bat/speaker/spectrograms.safetensors": (
        "results/baseline/speaker/metrics.json"
    ),
    "results/pretrain/bat-mini/early/encoder.safetensors": (
        "data/tokens/bat-mini/early/speaker/tokens.safetensors"
    ),
    "data/tokens/bat-mini/early/speaker/tokens.safetensors": (
        "results/probe/bat-mini/speaker/lp/all/metrics.json"
    ),
    "results/probe/bat-mini/speaker/cgp/all/metrics.json": MAIN,
    "results/probe/bat-mini/speaker/lp/all/predictions.parquet": MAIN,
}


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def change_a_digit(path):
    text = path.read_text()
    digit = re.search(r'"accuracy": 0\.(\d)', text)
    place = digit.start(1)
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])


@pytest.mark.parametrize(("artefact", "target"), ARTEFACTS.items())
def test_an_edited_artefact_stops_its_next_reader_and_the_audit(
    undisturbed, tmp_path, artefact, target
):
    copy = undisturbed.copy_to(tmp_path / "copy")
    path = copy.folder / artefact
    expected = sha256_of_file(path)
    (change_a_digit if artefact.endswith(".json") else flip_a_byte)(path)
    found = sha256_of_file(path)
    assert found != expected

    audit = copy.bat("audit", "verify")
    assert audit.returncode == 1
    workflow = copy.snakemake(target)
    assert workflow.returncode != 0
    for output in (audit.stdout + audit.stderr, workflow.stdout + workflow.stderr):
        assert artefact in output
        assert expected in output
        assert found in output
        assert "Traceback" not in output


def test_an_edit_that_keeps_size_and_time_is_found_by_the_audit(undisturbed, tmp_path):
    copy = undisturbed.copy_to(tmp_path / "copy")
    artefact = "results/pretrain/bat-mini/late/encoder.safetensors"
    path = copy.folder / artefact
    times = path.stat()
    flip_a_byte(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "Nothing to be done" in "".join(copy.snakemake(MAIN).stderr)
    audit = copy.bat("audit", "verify")
    assert audit.returncode == 1
    assert artefact in audit.stdout


def test_following_the_advice_of_the_message_heals(undisturbed, tmp_path):
    copy = undisturbed.copy_to(tmp_path / "copy")
    artefact = "results/baseline/speaker/metrics.json"
    change_a_digit(copy.folder / artefact)
    advice = f"snakemake --cores 2 --forcerun {artefact} -- {MAIN}"
    assert advice in copy.bat("audit", "verify").stdout
    copy.build("--forcerun", artefact, "--", MAIN)
    assert copy.read(MAIN) == undisturbed.read(MAIN)
    assert copy.bat("audit", "verify").returncode == 0
