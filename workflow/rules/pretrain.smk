# Encoders: self-supervised pretraining, one per model and group, or converted published weights.


rule pretrain:
    input:
        manifest=f"data/manifest/{PARAMS.pretraining_clips}/manifest.parquet",
        heard=heard_in_pretraining,
        recipes=lambda wildcards: [
            f"data/manifest/{PARAMS.pretraining_clips}/recipe.json",
            *recipes(heard_in_pretraining(wildcards)),
        ],
    output:
        encoder="results/pretrain/{model}/{group}/encoder.safetensors",
        curves="results/pretrain/{model}/{group}/curves.parquet",
        clips="results/pretrain/{model}/{group}/clips.json",
        recipe="results/pretrain/{model}/{group}/recipe.json",
    log:
        "logs/pretrain/{model}/{group}.log",
    benchmark:
        "benchmarks/jobs/pretrain/{model}/{group}.tsv"
    wildcard_constraints:
        model=one_of(PLAN.trained),
    # The longest jobs first: they are the critical path.
    priority: 10
    params:
        wanted=lambda wildcards: PLAN.wanted("pretrain", **wildcards),
        heard=lambda wildcards, input: inputs(input.heard),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " pretrain --model {wildcards.model} --group {wildcards.group}"
        " --manifest {input.manifest:q} {params.heard:q} --out {params.out:q}"


rule weights:
    output:
        weights="data/source/{weights}/weights",
        recipe="data/source/{weights}/recipe.json",
    log:
        "logs/weights/{weights}.log",
    benchmark:
        "benchmarks/jobs/weights/{weights}.tsv"
    wildcard_constraints:
        weights=one_of(PLAN.fetched),
    params:
        wanted=lambda wildcards: PLAN.wanted("weights", **wildcards),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " weights --weights {wildcards.weights} --out {params.out:q}"


rule convert:
    input:
        weights=published_weights,
        recipes=lambda wildcards: recipes(published_weights(wildcards)),
    output:
        encoder="results/pretrain/{model}/{group}/encoder.safetensors",
        curves="results/pretrain/{model}/{group}/curves.parquet",
        clips="results/pretrain/{model}/{group}/clips.json",
        recipe="results/pretrain/{model}/{group}/recipe.json",
    log:
        "logs/convert/{model}/{group}.log",
    benchmark:
        "benchmarks/jobs/convert/{model}/{group}.tsv"
    wildcard_constraints:
        model=one_of(PLAN.published),
    params:
        wanted=lambda wildcards: PLAN.wanted("convert", **wildcards),
        weights=lambda wildcards, input: inputs(input.weights),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " convert --model {wildcards.model} --group {wildcards.group}"
        " {params.weights:q} --out {params.out:q}"
