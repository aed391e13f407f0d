"""Which code a stage runs, read from the source without running it."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bat.provenance import fingerprint
from bat.provenance.fingerprint import code_of
from bat.provenance.hashing import sha256_of_file
from bat.settings import STAGES

SOURCE = Path(fingerprint.__file__).parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a small package and let the fingerprint look at it instead of at bat."""
    root = tmp_path / "pack"
    monkeypatch.setattr(fingerprint, "_PACKAGE_FOLDER", root)
    monkeypatch.setattr(fingerprint, "_PACKAGE", "pack")
    fingerprint._imports_of.cache_clear()

    def write(**modules):
        for name, text in {"__init__": "", **modules}.items():
            path = root.joinpath(*name.split("__in__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
            init = path.parent / "__init__.py"
            init.touch()

    yield write
    fingerprint._imports_of.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        "import pack.b",
        "from pack import b",
        "from pack import b as other",
        "from pack.b import thing",
        "from pack.b import *",
        "def late():\n    from pack.b import thing",
        "class C:\n    def late(self):\n        import pack.b as x",
        "try:\n    import pack.b\nexcept ImportError:\n    pass",
        "if False:\n    import pack.b",
        "import os, pack.b, sys",
    ],
)
def test_every_way_to_import_counts(package, text):
    package(a=text, b="", c="")
    assert set(code_of(["pack.a"])) == {"pack", "pack.a", "pack.b"}


def test_imports_of_imports_count_and_cycles_end(package):
    package(a="import pack.b", b="from pack import c", c="import pack.a", d="")
    assert set(code_of(["pack.a"])) == {"pack", "pack.a", "pack.b", "pack.c"}


def test_the_packages_around_a_module_count(package):
    package(a="from pack.inner.deep import x", inner__in__deep="import pack.b", b="", c="")
    assert set(code_of(["pack.a"])) == {
        "pack", "pack.a", "pack.b", "pack.inner", "pack.inner.deep"
    }  # fmt: skip


def test_other_packages_and_mere_words_do_not_count(package):
    package(a='import os, json\nimport packer\n"import pack.b"\n# import pack.b\n', b="")
    assert set(code_of(["pack.a"])) == {"pack", "pack.a"}


def test_a_comment_is_a_change_and_each_file_has_its_own_hash(package):
    package(a="import pack.b", b="x = 1")
    before = code_of(["pack.a"])
    package(a="import pack.b", b="x = 1  # one")
    after = code_of(["pack.a"])
    assert before["pack.b"] != after["pack.b"]
    assert before["pack.a"] == after["pack.a"]


def test_each_module_is_hashed_as_its_file():
    for module, found in code_of(["bat.stages.table"]).items():
        base = SOURCE.joinpath(*module.split(".")[1:])
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        assert found == sha256_of_file(path)


def test_modules_are_in_the_order_of_their_names():
    code = code_of(["bat.stages.probe", "bat.probes.cgp"])
    assert list(code) == sorted(code)


# --- bat itself -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_contains_the_parameters_and_its_records_but_no_other_stage(stage):
    code = set(code_of([f"bat.stages.{stage}"]))
    assert {
        "bat",
        "bat.params",
        "bat.params.data",
        "bat.params.experiment",
        "bat.params.explain",
        "bat.settings",
        "bat.provenance.job",
        "bat.provenance.recipe",
    } <= code
    others = {f"bat.stages.{other}" for other in STAGES} - {f"bat.stages.{stage}"}
    assert not code & others
    assert not code & {"bat.cli", "bat.workflow", "bat.__main__"}


PROBES = {
    f"bat.probes.{kind}" for kind in ("lp", "lcgp", "cgp", "protobin", "head2toe", "asr", "vqt")
}
CACHED = ["bat.stages.probe", "bat.stages.reading.cached"]
LIVE = ["bat.stages.probe", "bat.stages.reading.live"]


@pytest.mark.parametrize("probe", sorted(PROBES))
def test_a_probe_counts_only_where_it_is_the_root(probe):
    assert not PROBES & set(code_of(CACHED))
    assert PROBES & set(code_of([*CACHED, probe])) == {probe}
    # queries are put into the live encoder by whoever reads it
    assert PROBES & set(code_of([*LIVE, probe])) == {"bat.probes.vqt", probe}


def test_a_way_of_reading_counts_only_where_it_is_the_root():
    assert not set(code_of(["bat.stages.probe"])) & {*CACHED[1:], *LIVE[1:]}
    cached, live = set(code_of(CACHED)), set(code_of(LIVE))
    assert CACHED[1] not in live
    assert LIVE[1] not in cached
    for module in ("bat.models.encoder", "bat.audio.frontends", "bat.audio.augmentation"):
        assert module in live
        assert module not in cached


def test_pretraining_and_probing_do_not_know_each_other():
    for roots in (CACHED, LIVE, ["bat.stages.finetune"]):
        assert not any(name.startswith("bat.pretraining") for name in code_of(roots))
    assert not any(name.startswith("bat.probes") for name in code_of(["bat.stages.pretrain"]))


def test_the_package_imports_in_no_way_that_the_fingerprint_cannot_see():
    """No relative import, and a module is loaded by name only where its root is given."""
    by_name = set()
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                if name in ("import_module", "__import__", "exec", "eval", "run_module"):
                    # model.eval() and the like are methods, not the built-in
                    builtin = isinstance(node, ast.Name) or name in ("import_module", "run_module")
                    if builtin:
                        by_name.add(path.relative_to(SOURCE).as_posix())
    assert by_name == {
        "__init__.py", "audit/rebuild.py",  # no stage imports the audit
        "cli.py", "compat.py", "data/layouts/__init__.py", "probes/__init__.py",
        "stages/acquire.py", "stages/probe.py",
    }  # fmt: skip
    # what is built by name there: probes in stage probe, the linear head in stage finetune
    stages = SOURCE / "stages"
    builders = {
        path.relative_to(stages).as_posix()
        for path in stages.rglob("*.py")
        if "from bat.probes import build" in path.read_text("utf-8")
    }
    assert builders == {"reading/heads.py", "finetune.py"}
    readers = {
        stage for stage in STAGES if "bat.stages.reading" in code_of([f"bat.stages.{stage}"])
    }
    assert readers == {"probe"}
    # and no stage goes through the package's own lazy names
    for path in stages.rglob("*.py"):
        imports = [n for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.Import)]
        assert "bat" not in {alias.name for node in imports for alias in node.names}, path


def imported_by(path):
    """First names of everything that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    return {name.partition(".")[0] for name in names}


def test_what_makes_timm_and_torchaudio_importable_counts_wherever_they_are_imported():
    """The package loads it by name, where the fingerprint cannot see it."""
    for path in sorted(SOURCE.rglob("*.py")):
        if imported_by(path) & {"timm", "torchaudio"}:
            module = "bat." + path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".")
            assert "bat.compat" in code_of([module]), path


def test_asking_what_is_wanted_imports_nothing_heavy(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from bat.workflow import Plan
        plan = Plan(Path(sys.argv[1]))
        for stage, job in (
            ("probe", dict(model="bat-mini", task="speaker", method="cgp", part="all")),
            ("pretrain", dict(model="bat-mini", group="early")),
            ("table", {}),
        ):
            assert len(plan.wanted(stage, **job)) == 64
        heavy = {"torch", "torchaudio", "timm", "polars", "sklearn", "matplotlib", "snakemake"}
        print(sorted(heavy & set(sys.modules)))
    """
    params = SOURCE.parents[1] / "params.yaml"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(params)],
        cwd=tmp_path, env={"PYTHONPATH": str(SOURCE.parent)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
