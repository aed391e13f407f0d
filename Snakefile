# One page: the experiment, the rules, the target.
#
#   snakemake --cores 2 results/tables/main.csv              the embedded default experiment
#   snakemake --cores 2 --configfile other.yaml ...          another experiment, whole
#   snakemake -n ...                                         what would run
import os
import shlex
import sys
from pathlib import Path

from snakemake.utils import min_version

from bat.runtime import DIE_WITH_PARENT
from bat.workflow import Plan

min_version("9.11")

# A parameter file replaces the default one as a whole; nothing is merged.
given = workflow.config_settings.configfiles
PLAN = Plan(Path(given[0]) if given else Path("params.yaml"))
PARAMS = PLAN.params

# exec: the stage is Snakemake's own child, so that signals reach it and it can see it die.
os.environ[DIE_WITH_PARENT] = "1"
BAT = f"exec {shlex.quote(sys.executable)} -m bat"
COMMON = f"--params {shlex.quote(str(PLAN.path))} --threads {{threads}} --log {{log:q}}"


wildcard_constraints:
    frontend="[A-Za-z0-9][A-Za-z0-9_.-]*",
    group="[A-Za-z0-9][A-Za-z0-9_.-]*",
    method="[A-Za-z0-9][A-Za-z0-9_.@=-]*",
    model="[A-Za-z0-9][A-Za-z0-9_.-]*",
    part="[A-Za-z0-9][A-Za-z0-9_.-]*",
    task="[A-Za-z0-9][A-Za-z0-9_.-]*",


rule all:
    input:
        "results/tables/main.csv",


include: "workflow/rules/acquire.smk"
include: "workflow/rules/frontend.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
