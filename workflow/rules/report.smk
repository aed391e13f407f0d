# Figures, the audit of everything behind them, and last the main table.
# The table waits for the audit: a number is printed only after its whole chain was verified.

PROBE_PARTS = PLAN.parts("probe")
FINETUNE_PARTS = PLAN.parts("finetune")


def of_probes(output, cells):
    """An output of every part of some probe cells."""
    return [
        str(output).format(model=model, task=task, method=method, part=part)
        for model, task, method in cells
        for part in PROBE_PARTS
    ]


def of_table(name):
    """An output of every part of every cell of the main table, baseline and fine-tuning included."""
    return [
        *of_probes(getattr(rules.probe.output, name), PLAN.table_probes()),
        *expand(
            getattr(rules.finetune.output, name),
            model=PARAMS.models,
            task=PARAMS.tasks,
            part=FINETUNE_PARTS,
        ),
        *expand(getattr(rules.baseline.output, name), task=PARAMS.tasks),
    ]


FIGURE_METRICS = of_probes(rules.probe.output.metrics, PLAN.figure_probes())
TABLE_METRICS = of_table("metrics")
CURVES = [
    *expand(
        rules.pretrain.output.curves,
        model=[name for name, model in PARAMS.models.items() if model.pretraining],
        group=PARAMS.groups,
    ),
    *expand(
        rules.finetune.output.curves,
        model=PARAMS.models,
        task=PARAMS.tasks,
        part=FINETUNE_PARTS,
    ),
]
FRONTEND_SHARDS = expand(
    rules.frontend.output.spectrograms,
    frontend=PLAN.frontends,
    task=PARAMS.figures.frontends.task,
)
FIGURES = expand(
    "results/figures/{figure}",
    figure=[
        "blocks.png",
        "blocks.csv",
        "frontends.png",
        "prototypes.png",
        "prototypes.csv",
        "training.png",
    ],
)


def options(name, files):
    """Repeat an option for every file."""
    return [f"--{name}={file}" for file in files]


rule figure:
    input:
        metrics=FIGURE_METRICS,
        curves=CURVES,
        spectrograms=FRONTEND_SHARDS,
        recipes=recipes([*FIGURE_METRICS, *CURVES, *FRONTEND_SHARDS]),
    output:
        figures=FIGURES,
        recipe="results/figures/recipe.json",
    params:
        wanted=PLAN.wanted("figure"),
        inputs=lambda wildcards, input: [
            *options("metrics", input.metrics),
            *options("curves", input.curves),
            *options("spectrograms", input.spectrograms),
        ],
    log:
        "logs/figure.log",
    benchmark:
        "benchmarks/jobs/figure.tsv"
    shell:
        BAT + " figure {params.inputs:q} --out results/figures " + COMMON


rule audit:
    input:
        results=[*TABLE_METRICS, *FIGURES],
        recipes=recipes([*TABLE_METRICS, "results/figures/recipe.json"]),
    output:
        verified="results/audit/verified.json",
        recipe="results/audit/recipe.json",
    params:
        wanted=PLAN.wanted("audit"),
        inputs=lambda wildcards, input: options("results", input.results),
    log:
        "logs/audit.log",
    benchmark:
        "benchmarks/jobs/audit.tsv"
    shell:
        BAT + " audit run {params.inputs:q} --out results/audit " + COMMON


rule table:
    input:
        metrics=TABLE_METRICS,
        predictions=of_table("predictions"),
        audit=rules.audit.output.verified,
        recipes=recipes([*TABLE_METRICS, rules.audit.output.verified]),
    output:
        main="results/tables/main.csv",
        long="results/tables/main_long.csv",
        markdown="results/tables/main.md",
        cells="results/tables/cells.json",
        recipe="results/tables/recipe.json",
    params:
        wanted=PLAN.wanted("table"),
        inputs=lambda wildcards, input: [
            *options("metrics", input.metrics),
            *options("predictions", input.predictions),
        ],
    log:
        "logs/table.log",
    benchmark:
        "benchmarks/jobs/table.tsv"
    shell:
        BAT + " table {params.inputs:q} --audit {input.audit:q} --out results/tables " + COMMON
