# Probes on cached tokens, fine-tuning from checkpoints, and the log-mel baseline.
# A part is a whole cell, one fold of it, or one fold and seed: see grain in the parameters.


rule probe:
    input:
        manifest="data/manifest/{task}.parquet",
        tokens=tokens,
        recipes=lambda wildcards: [
            rules.prepare.output.recipe,
            *recipes(tokens(wildcards)),
        ],
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
        tokens=lambda wildcards, input: [f"--tokens={file}" for file in input.tokens],
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " probe --model {wildcards.model} --task {wildcards.task}"
        " --method {wildcards.method} --part {wildcards.part}"
        " --manifest {input.manifest:q} {params.tokens:q} --out {params.out:q}"


rule finetune:
    input:
        manifest="data/manifest/{task}.parquet",
        encoders=encoders,
        spectrograms=lambda wildcards: spectrograms(wildcards.model, wildcards.task),
        recipes=lambda wildcards: [
            rules.prepare.output.recipe,
            *recipes(encoders(wildcards)),
            *recipes([spectrograms(wildcards.model, wildcards.task)]),
        ],
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
        encoders=lambda wildcards, input: [
            f"--encoder={file}" for file in input.encoders
        ],
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " finetune --model {wildcards.model} --task {wildcards.task}"
        " --part {wildcards.part} --manifest {input.manifest:q} {params.encoders:q}"
        " --spectrograms {input.spectrograms:q} --out {params.out:q}"


rule baseline:
    input:
        manifest="data/manifest/{task}.parquet",
        spectrograms=f"data/spectrograms/{PARAMS.baseline.frontend}/{{task}}/spectrograms.safetensors",
        recipes=[
            rules.prepare.output.recipe,
            f"data/spectrograms/{PARAMS.baseline.frontend}/{{task}}/recipe.json",
        ],
    output:
        metrics="results/baseline/{task}/metrics.json",
        predictions="results/baseline/{task}/predictions.parquet",
        recipe="results/baseline/{task}/recipe.json",
    log:
        "logs/baseline/{task}.log",
    benchmark:
        "benchmarks/jobs/baseline/{task}.tsv"
    params:
        wanted=lambda wildcards: PLAN.wanted("baseline", task=wildcards.task),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " baseline --task {wildcards.task} --manifest {input.manifest:q}"
        " --spectrograms {input.spectrograms:q} --out {params.out:q}"
