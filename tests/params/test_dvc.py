"""dvc.yaml says the same as the workflow."""

import re

import pytest
from ruamel.yaml import YAML

from bat.settings import STAGES
from params.conftest import REPOSITORY
from params.test_plan import CHANGES, WIDE_CHANGES

DVC = YAML(typ="safe", pure=True).load((REPOSITORY / "dvc.yaml").read_text("utf-8"))["stages"]
RULES = "\n".join(
    path.read_text("utf-8")
    for path in [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "workflow/rules").glob("*.smk"))]
)
# What comes from outside, in whatever way; a ledger, of recordings from here or there; an encoder,
# trained or converted: one folder each, one stage for DVC.
MADE_WITH = {
    "download": ["download", "inventory", "acquire", "weights"],
    "resample": ["resample", "account"],
    "pretrain": ["pretrain", "convert"],
}
CODE = {"Snakefile", "workflow", "src/bat"}
# Made anew at any time from what is there: nothing of a view is versioned.
VIEWS = {name: DVC.pop(name) for name in ("page",)}


def made_with(stage):
    return MADE_WITH.get(stage, [stage])


def rule(name):
    """Text of one rule."""
    found = re.search(rf"^rule {name}:\n(.*?)(?=^\S|\Z)", RULES, re.DOTALL | re.MULTILINE)
    assert found, f"no rule {name}"
    return found[1]


def outs(stage):
    return [name for out in DVC[stage]["outs"] for name in out]


def folder(out):
    """The folder that a job writes; other things lie beside the outputs of the audit."""
    return out.rpartition("/")[0] if out.startswith("results/audit/") else out


def test_every_stage_of_the_package_belongs_to_one_of_dvc():
    assert sorted(part for stage in DVC for part in made_with(stage)) == sorted(STAGES)


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_depends_on_exactly_the_sections_that_move_its_jobs(stage):
    moving = {
        dotted.split("/")[0]
        for dotted, _, stages in (*CHANGES, *WIDE_CHANGES)
        if stages & set(made_with(stage))
    }
    assert set(DVC[stage]["params"]) == moving


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_persists_the_folder_that_its_rules_write(stage):
    for part in made_with(stage):
        recipes = re.findall(r'recipe="([^"{]+)[^"]*recipe\.json"', rule(part).split("output:")[1])
        folders = {folder(out) for out in outs(stage)}
        assert {recipe.rstrip("/") for recipe in recipes} == folders
    for out in DVC[stage]["outs"]:
        assert all(options["persist"] for options in out.values())


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_depends_on_the_code_and_on_outputs_of_stages_before_it(stage):
    deps = set(DVC[stage]["deps"])
    assert deps >= CODE
    before = list(DVC)[: list(DVC).index(stage)]
    assert deps - CODE <= {out for other in before for out in outs(other)}


# Folders that each stage reads directly, with and without cached spectrograms.
READ = {
    "download": set(),
    "resample": {"data/source"},
    "prepare": {"data/pcm"},
    "frontend": {"data/pcm", "data/manifest"},
    "pretrain": {"data/pcm", "data/manifest", "data/spectrograms"},
    "embed": {"data/spectrograms", "results/pretrain"},
    "probe": {"data/pcm", "data/manifest", "data/spectrograms", "data/tokens", "results/pretrain"},
    "finetune": {"data/pcm", "data/manifest", "data/spectrograms", "results/pretrain"},
    "baseline": {"data/manifest", "data/spectrograms"},
    "figure": {"data/spectrograms", "results/pretrain", "results/probe", "results/finetune"},
    "audit": {"results/probe", "results/finetune", "results/baseline", "results/figures"},
    "table": {
        "results/probe",
        "results/finetune",
        "results/baseline",
        "results/audit/verified.json",
    },
}


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_depends_on_what_it_reads(stage):
    assert set(DVC[stage]["deps"]) - CODE == READ[stage]


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_runs_a_target_of_the_workflow(stage):
    *start, target = DVC[stage]["cmd"].split()
    assert start == ["snakemake", "--cores", "all"]
    assert rule(target) if "/" not in target else f'"{target}"' in RULES


def test_of_the_folder_of_the_audit_what_its_job_made_is_versioned():
    assert outs("audit") == ["results/audit/verified.json", "results/audit/recipe.json"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_made_when_the_results_changed_and_is_not_versioned(view):
    assert set(VIEWS[view]) == {"cmd", "deps"}
    *start, target = VIEWS[view]["cmd"].split()
    assert start == ["snakemake", "--cores", "all"]
    assert f'"{target}"' in rule(view)
    assert set(VIEWS[view]["deps"]) == CODE | {"results/figures", "results/tables"}
    assert not any(target.startswith(out) for stage in DVC for out in outs(stage))
