# Tokens of every block of the frozen encoder, cached once and read by every probe.


rule embed:
    input:
        encoder="results/pretrain/{model}/{group}/encoder.safetensors",
        spectrograms=lambda wildcards: spectrograms(wildcards.model, wildcards.task),
        recipes=lambda wildcards: [
            f"results/pretrain/{wildcards.model}/{wildcards.group}/recipe.json",
            *recipes([spectrograms(wildcards.model, wildcards.task)]),
        ],
    output:
        tokens="data/tokens/{model}/{group}/{task}/tokens.safetensors",
        recipe="data/tokens/{model}/{group}/{task}/recipe.json",
    log:
        "logs/embed/{model}/{group}/{task}.log",
    benchmark:
        "benchmarks/jobs/embed/{model}/{group}/{task}.tsv"
    params:
        wanted=lambda wildcards: PLAN.wanted("embed", **wildcards),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " embed --model {wildcards.model} --group {wildcards.group}"
        " --task {wildcards.task} --encoder {input.encoder:q}"
        " --spectrograms {input.spectrograms:q} --out {params.out:q}"
