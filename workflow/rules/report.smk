# Figures, the audit of everything behind them, and last the main table.
# The table waits for the audit: a number is printed only after its whole chain was verified.


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
        part=PLAN.parts("finetune"),
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


rule figure:
    input:
        metrics=FIGURE_METRICS,
        curves=CURVES,
        spectrograms=FRONTEND_SHARDS,
        recipes=recipes([*FIGURE_METRICS, *CURVES, *FRONTEND_SHARDS]),
    output:
        figures=FIGURES,
        recipe="results/figures/recipe.json",
    log:
        "logs/figure.log",
    benchmark:
        "benchmarks/jobs/figure.tsv"
    params:
        wanted=PLAN.wanted("figure"),
        inputs=lambda wildcards, input: [
            *options("metrics", input.metrics),
            *options("curves", input.curves),
            *options("spectrograms", input.spectrograms),
        ],
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " figure {params.inputs:q} --out results/figures"


rule audit:
    input:
        results=[*TABLE_METRICS, *FIGURES],
        recipes=recipes([*TABLE_METRICS, "results/figures/recipe.json"]),
    output:
        verified="results/audit/verified.json",
        recipe="results/audit/recipe.json",
    log:
        "logs/audit.log",
    benchmark:
        "benchmarks/jobs/audit.tsv"
    params:
        wanted=PLAN.wanted("audit"),
        inputs=lambda wildcards, input: options("results", input.results),
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " audit run {params.inputs:q} --out results/audit"


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
    log:
        "logs/table.log",
    benchmark:
        "benchmarks/jobs/table.tsv"
    params:
        wanted=PLAN.wanted("table"),
        inputs=lambda wildcards, input: [
            *options("metrics", input.metrics),
            *options("predictions", input.predictions),
        ],
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " table {params.inputs:q} --audit {input.audit:q} --out results/tables"


# One target per stage, for people and for the stages of dvc.yaml.


rule all_spectrograms:
    input:
        expand(
            rules.frontend.output.spectrograms,
            frontend=PLAN.frontends,
            task=PARAMS.tasks,
        ),


rule all_encoders:
    input:
        expand(rules.pretrain.output.encoder, model=PARAMS.models, group=PARAMS.groups),


rule all_tokens:
    input:
        expand(
            rules.embed.output.tokens,
            model=PARAMS.models,
            group=PARAMS.groups,
            task=PARAMS.tasks,
        ),


rule all_probes:
    input:
        of_probes(rules.probe.output.metrics, PLAN.table_probes()),
        FIGURE_METRICS,


rule all_finetuned:
    input:
        expand(
            rules.finetune.output.metrics,
            model=PARAMS.models,
            task=PARAMS.tasks,
            part=PLAN.parts("finetune"),
        ),


rule all_baselines:
    input:
        expand(rules.baseline.output.metrics, task=PARAMS.tasks),
