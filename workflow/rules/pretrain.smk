# Self-supervised pretraining: one encoder per model and group of meetings.


rule pretrain:
    input:
        manifest=f"data/manifest/{PARAMS.pretraining_clips}.parquet",
        spectrograms=lambda wildcards: spectrograms(
            wildcards.model, PARAMS.pretraining_clips
        ),
        recipes=lambda wildcards: [
            rules.prepare.output.recipe,
            *recipes([spectrograms(wildcards.model, PARAMS.pretraining_clips)]),
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
    # The longest jobs first: they are the critical path.
    priority: 10
    params:
        wanted=lambda wildcards: PLAN.wanted(
            "pretrain", model=wildcards.model, group=wildcards.group
        ),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " pretrain --model {wildcards.model} --group {wildcards.group}"
        " --manifest {input.manifest:q} --spectrograms {input.spectrograms:q}"
        " --out {params.out:q}"
