"""Fetch the source archive and check its hash."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bat.errors import BatError
from bat.params.data import FileSource, PackageIndexSource
from bat.provenance.hashing import sha256_of_file
from bat.provenance.job import Job
from bat.settings import DownloadSettings

DETERMINISM = "bitwise"


def run(job: Job, settings: DownloadSettings) -> None:
    """Write ``archive``, the source archive as it was published."""
    source = settings.source
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(source, PackageIndexSource):
            found = _from_package_index(source, Path(scratch))
        else:
            found = _from_file(source)
        _check(found, source.sha256)
        shutil.copyfile(found, job.output("archive"))


def _from_package_index(source: PackageIndexSource, scratch: Path) -> Path:
    """Let pip fetch one wheel, by version and hash; nothing is installed."""
    requirement = scratch / "requirements.txt"
    requirement.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check"]
    command += ["--dest", str(scratch / "wheel"), "--requirement", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BatError(
            f"{source.package}=={source.version}: pip could not download it with the expected "
            f"sha256 {source.sha256}: {_reason(done.stderr)}"
        )
    (wheel,) = (scratch / "wheel").iterdir()
    return wheel


def _reason(output: str) -> str:
    """Say in one line why pip failed; addresses, which may hold credentials, are left out."""
    got = [line.split()[-1] for line in output.splitlines() if line.strip().startswith("Got ")]
    if got:
        return f"found {got[0]}"
    errors = [
        line for line in output.splitlines() if line.startswith("ERROR:") and "://" not in line
    ]
    return errors[-1].removeprefix("ERROR: ") if errors else "no connection to the package index?"


def _from_file(source: FileSource) -> Path:
    path = Path(source.path)
    if not path.is_file():
        raise BatError(f"{path}: the source archive is not there")
    return path


def _check(path: Path, expected: str) -> None:
    found = sha256_of_file(path)
    if found != expected:
        raise BatError(f"{path.name}: expected sha256 {expected}, found {found}")
