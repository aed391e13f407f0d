# From recordings to cached spectrograms, one shard per front end and task.


rule frontend:
    input:
        manifest="data/manifest/{task}.parquet",
        pcm=[rules.resample.output.pcm, rules.resample.output.index],
        recipes=[rules.prepare.output.recipe, rules.resample.output.recipe],
    output:
        spectrograms="data/spectrograms/{frontend}/{task}/spectrograms.safetensors",
        recipe="data/spectrograms/{frontend}/{task}/recipe.json",
    log:
        "logs/frontend/{frontend}/{task}.log",
    benchmark:
        "benchmarks/jobs/frontend/{frontend}/{task}.tsv"
    params:
        wanted=lambda wildcards: PLAN.wanted(
            "frontend", frontend=wildcards.frontend, task=wildcards.task
        ),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " frontend --frontend {wildcards.frontend} --task {wildcards.task}"
        " --manifest {input.manifest:q} --pcm {input.pcm[0]:q} --pcm {input.pcm[1]:q}"
        " --out {params.out:q}"
