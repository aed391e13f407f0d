# One page: the experiment, the rules, the target.
#
#   snakemake --cores 2 results/tables/main.csv              the embedded default experiment
#   snakemake --cores 2 results/tables/main.csv --configfile other.yaml   another one, whole
#   snakemake -n ...                                         what would run
#   snakemake --cores 2 results/audit/index.html             the table, and the page that explains it
#   snakemake --profile slurm results/tables/main.csv        the paper's experiment, on a cluster
import re
from pathlib import Path

from snakemake.utils import min_version

from bat.runtime import serve_stages
from bat.site import serve_site
from bat.slurm.job import enter_job
from bat.slurm.runs import begin_run
from bat.slurm.status import understand_every_end
from bat.workflow import Plan

min_version("9.11")

# A parameter file replaces the default one as a whole; nothing is merged.
given = workflow.config_settings.configfiles
PLAN = Plan(Path(given[0]) if given else Path("params.yaml"))
PARAMS = PLAN.params

# Every rule calls `exec bat <stage>`: the bat of this environment, on these parameters. With exec
# it is Snakemake's own child, so that signals reach it and it can tell when Snakemake is gone.
serve_stages(PLAN.path)
serve_site()

# Snakemake also runs inside every job of a cluster. A job that outlived the run it belongs to
# stops here, before Snakemake removes what another run has made.
if not workflow.is_main_process:
    enter_job()


onstart:
    if workflow.executor_plugin.name == "slurm":
        begin_run()
        understand_every_end()


wildcard_constraints:
    dataset="[A-Za-z0-9][A-Za-z0-9_.-]*",
    frontend="[A-Za-z0-9][A-Za-z0-9_.-]*",
    group="[A-Za-z0-9][A-Za-z0-9_.-]*",
    method="[A-Za-z0-9][A-Za-z0-9_.@=-]*",
    model="[A-Za-z0-9][A-Za-z0-9_.-]*",
    part="[A-Za-z0-9][A-Za-z0-9_.-]*",
    task="[A-Za-z0-9][A-Za-z0-9_.-]*",
    weights="[A-Za-z0-9][A-Za-z0-9_.-]*",


# Jobs of a cluster are for work. The first fetches files, which nodes often cannot.
localrules:
    download,
    page,
    all,
    all_sources,
    all_recordings,
    all_manifests,
    all_spectrograms,
    all_encoders,
    all_tokens,
    all_probes,
    all_finetuned,
    all_baselines,


rule all:
    input:
        "results/tables/main.csv",


include: "workflow/rules/common.smk"
include: "workflow/rules/acquire.smk"
include: "workflow/rules/frontend.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
