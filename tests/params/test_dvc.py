"""dvc.yaml says the same as the workflow."""

import re

import pytest
from ruamel.yaml import YAML

from bat.settings import STAGES
from params.conftest import REPOSITORY, default_content
from params.test_plan import CHANGES

DVC = YAML(typ="safe", pure=True).load((REPOSITORY / "dvc.yaml").read_text("utf-8"))["stages"]
RULES = "\n".join(
    path.read_text("utf-8")
    for path in [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "workflow/rules").glob("*.smk"))]
)


def rule(name):
    """Text of one rule."""
    found = re.search(rf"^rule {name}:\n(.*?)(?=^\S|\Z)", RULES, re.DOTALL | re.MULTILINE)
    assert found, f"no rule {name}"
    return found[1]


def outs(stage):
    return [name for out in DVC[stage]["outs"] for name in out]


def test_dvc_has_a_stage_for_every_stage_of_the_package():
    assert set(DVC) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_section_that_moves_its_digest(stage):
    moving = {dotted.split("/")[0] for dotted, _, stages in CHANGES if stage in stages}
    assert moving <= set(DVC[stage]["params"])
    assert set(DVC[stage]["params"]) <= set(default_content())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_persists_the_folder_that_its_rule_writes(stage):
    recipes = re.findall(r'recipe="([^"{]+)[^"]*recipe\.json"', rule(stage).split("output:")[1])
    assert [recipe.rstrip("/") for recipe in recipes] == outs(stage)
    for out in DVC[stage]["outs"]:
        assert all(options["persist"] for options in out.values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_and_on_outputs_of_other_stages(stage):
    deps = set(DVC[stage]["deps"])
    assert {"Snakefile", "workflow", "src/bat"} <= deps
    made = {out for other in STAGES if other != stage for out in outs(other)}
    assert deps - {"Snakefile", "workflow", "src/bat"} <= made


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_a_target_of_the_workflow(stage):
    *start, target = DVC[stage]["cmd"].split()
    assert start == ["snakemake", "--cores", "all"]
    assert rule(target) if "/" not in target else f'"{target}"' in RULES
