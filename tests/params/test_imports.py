"""Modules import downwards only, and the light parts stay light."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from params.conftest import REPOSITORY

HEAVY = ["torch", "torchaudio", "timm", "polars", "pandera", "sklearn", "matplotlib", "snakemake"]


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command],
        env={"PYTHONPATH": str(REPOSITORY / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def test_modules_import_downwards_only():
    done = run(Path(sys.executable).with_name("lint-imports"), "--no-cache", cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)  # it writes colours into pipes too
    assert "modules import downwards only KEPT" in plain


def test_every_module_and_package_of_the_first_level_has_a_layer():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    layered = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    entries = [
        *(REPOSITORY / "src/bat").glob("*.py"),
        *(REPOSITORY / "src/bat").glob("*/__init__.py"),
    ]
    names = {path.parent.name if path.name == "__init__.py" else path.stem for path in entries}
    names -= {"bat", "__main__"}
    assert layered == {f"bat.{name}" for name in names}


@pytest.mark.parametrize(
    "statement",
    [
        "import bat",
        "import bat.cli",
        "import bat.params, bat.workflow, bat.runtime, bat.provenance.job, bat.provenance.lineage",
        "import sys, runpy; sys.argv = ['bat', '--help']; runpy.run_module('bat', alter_sys=True)",
    ],
)
def test_nothing_heavy_is_imported_for(tmp_path, statement):
    script = (
        "import atexit, sys\n"
        f"found = lambda: sorted({set(HEAVY)} & set(sys.modules))\n"
        "atexit.register(lambda: print(found(), file=sys.stderr))\n"
        f"{statement}\n"
    )
    done = run(sys.executable, "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"


def test_what_the_package_offers_is_there_when_asked_for_and_nothing_else(tmp_path):
    script = (
        "import bat\n"
        "assert set(bat.__all__) == {'Tokens', 'frontend', 'load_encoder', 'probes'}\n"
        "assert not hasattr(bat, 'nonsense')\n"
        "print(sorted(bat.probes.PROBES))\n"
    )
    done = run(sys.executable, "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['asr', 'cgp', 'head2toe', 'lcgp', 'lp', 'protobin']"
