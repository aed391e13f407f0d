"""Commands of a copy of the package, in which something is changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bat

PACKAGE = Path(bat.__file__).parent


def patched(folder, module, old, new):
    """Copy the package to a folder and change a module of it; return what to put on PYTHONPATH."""
    shutil.copytree(PACKAGE, folder / "bat", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder.joinpath(*module.split(".")).with_suffix(".py")
    text = path.read_text()
    assert text.count(old) == 1, f"{module}: {old!r} is there {text.count(old)} times"
    path.write_text(text.replace(old, new))
    return folder


def run_bat(where, *arguments, package=None, **environment):
    """Run a command in a folder, of the package or of a patched copy."""
    paths = [str(p) for p in (package, *map(Path, sys.path)) if p is not None and str(p) != "."]
    return subprocess.run(
        [sys.executable, "-P", "-m", "bat", *map(str, arguments)],
        cwd=where,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def tree(folder):
    """Every file and folder with its content and the time of its last change."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
        if ".snakemake" not in path.parts
    }
