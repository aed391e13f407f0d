# From the source archive to recordings at one rate: download, prepare, resample.


rule download:
    output:
        archive="data/source/archive",
        recipe="data/source/recipe.json",
    log:
        "logs/download.log",
    benchmark:
        "benchmarks/jobs/download.tsv"
    params:
        wanted=PLAN.wanted("download"),
    shell:
        "exec bat --threads {threads} --log {log:q} download --out data/source"


rule prepare:
    input:
        archive=rules.download.output.archive,
        recipe=rules.download.output.recipe,
    output:
        ledger="data/manifest/ledger.parquet",
        manifests=expand("data/manifest/{task}.parquet", task=PARAMS.tasks),
        recipe="data/manifest/recipe.json",
    log:
        "logs/prepare.log",
    benchmark:
        "benchmarks/jobs/prepare.tsv"
    params:
        wanted=PLAN.wanted("prepare"),
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " prepare --archive {input.archive:q} --out data/manifest"


rule resample:
    input:
        archive=rules.download.output.archive,
        ledger=rules.prepare.output.ledger,
        recipes=[rules.download.output.recipe, rules.prepare.output.recipe],
    output:
        pcm="data/pcm/pcm.npy",
        index="data/pcm/index.parquet",
        recipe="data/pcm/recipe.json",
    log:
        "logs/resample.log",
    benchmark:
        "benchmarks/jobs/resample.tsv"
    params:
        wanted=PLAN.wanted("resample"),
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " resample --archive {input.archive:q} --ledger {input.ledger:q}"
        " --out data/pcm"
