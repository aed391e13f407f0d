# From recordings to cached spectrograms, one shard per front end and task.


rule frontend:
    input:
        manifest=rules.prepare.output.manifest,
        pcm=pcm,
        recipes=lambda wildcards: recipes(pcm(wildcards)),
        manifest_recipe=rules.prepare.output.recipe,
    output:
        spectrograms="data/spectrograms/{frontend}/{task}/spectrograms.safetensors",
        recipe="data/spectrograms/{frontend}/{task}/recipe.json",
    log:
        "logs/frontend/{frontend}/{task}.log",
    benchmark:
        "benchmarks/jobs/frontend/{frontend}/{task}.tsv"
    params:
        wanted=lambda wildcards: PLAN.wanted("frontend", **wildcards),
        pcm=lambda wildcards, input: options("pcm", input.pcm),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " frontend --frontend {wildcards.frontend} --task {wildcards.task}"
        " --manifest {input.manifest:q} {params.pcm:q} --out {params.out:q}"
