# Probes on frozen encoders, fine-tuning from checkpoints, and the log-mel baseline.
# A part is a whole cell, one fold of it, or one fold and seed: see grain in the parameters.


rule probe:
    input:
        manifest=rules.prepare.output.manifest,
        read=read_by_probe,
        recipes=lambda wildcards: recipes(read_by_probe(wildcards)),
        manifest_recipe=rules.prepare.output.recipe,
    output:
        metrics="results/probe/{model}/{task}/{method}/{part}/metrics.json",
        predictions="results/probe/{model}/{task}/{method}/{part}/predictions.parquet",
        heads="results/probe/{model}/{task}/{method}/{part}/heads.safetensors",
        recipe="results/probe/{model}/{task}/{method}/{part}/recipe.json",
    log:
        "logs/probe/{model}/{task}/{method}/{part}.log",
    benchmark:
        "benchmarks/jobs/probe/{model}/{task}/{method}/{part}.tsv"
    params:
        wanted=lambda wildcards: PLAN.wanted("probe", **wildcards),
        read=lambda wildcards, input: inputs(input.read),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " probe --model {wildcards.model} --task {wildcards.task}"
        " --method {wildcards.method} --part {wildcards.part}"
        " --manifest {input.manifest:q} {params.read:q} --out {params.out:q}"


rule finetune:
    input:
        manifest=rules.prepare.output.manifest,
        encoders=encoders,
        heard=heard,
        recipes=lambda wildcards: recipes([*encoders(wildcards), *heard(wildcards)]),
        manifest_recipe=rules.prepare.output.recipe,
    output:
        metrics="results/finetune/{model}/{task}/{part}/metrics.json",
        predictions="results/finetune/{model}/{task}/{part}/predictions.parquet",
        curves="results/finetune/{model}/{task}/{part}/curves.parquet",
        recipe="results/finetune/{model}/{task}/{part}/recipe.json",
    log:
        "logs/finetune/{model}/{task}/{part}.log",
    benchmark:
        "benchmarks/jobs/finetune/{model}/{task}/{part}.tsv"
    priority: 5
    params:
        wanted=lambda wildcards: PLAN.wanted("finetune", **wildcards),
        read=lambda wildcards, input: inputs([*input.encoders, *input.heard]),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " finetune --model {wildcards.model} --task {wildcards.task}"
        " --part {wildcards.part} --manifest {input.manifest:q} {params.read:q}"
        " --out {params.out:q}"


rule baseline:
    input:
        manifest=rules.prepare.output.manifest,
        spectrograms=lambda wildcards: f"data/spectrograms/{PARAMS.baseline.frontend}/{wildcards.task}/spectrograms.safetensors",
        recipes=lambda wildcards: f"data/spectrograms/{PARAMS.baseline.frontend}/{wildcards.task}/recipe.json",
        manifest_recipe=rules.prepare.output.recipe,
    output:
        metrics="results/baseline/{task}/metrics.json",
        predictions="results/baseline/{task}/predictions.parquet",
        recipe="results/baseline/{task}/recipe.json",
    log:
        "logs/baseline/{task}.log",
    benchmark:
        "benchmarks/jobs/baseline/{task}.tsv"
    params:
        wanted=lambda wildcards: PLAN.wanted("baseline", **wildcards),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " baseline --task {wildcards.task} --manifest {input.manifest:q}"
        " --spectrograms {input.spectrograms:q} --out {params.out:q}"
