# From a data set's source to recordings at one rate, and to the clips of each task.


rule download:
    output:
        archive="data/source/{dataset}/archive",
        recipe="data/source/{dataset}/recipe.json",
    log:
        "logs/download/{dataset}.log",
    benchmark:
        "benchmarks/jobs/download/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.archives),
    params:
        wanted=lambda wildcards: PLAN.wanted("download", **wildcards),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " download --dataset {wildcards.dataset} --out {params.out:q}"


# A folder's files are its own; the inventory pins what they were.
rule inventory:
    output:
        inventory="data/source/{dataset}/inventory.parquet",
        recipe="data/source/{dataset}/recipe.json",
    log:
        "logs/inventory/{dataset}.log",
    benchmark:
        "benchmarks/jobs/inventory/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.folders),
    params:
        wanted=lambda wildcards: PLAN.wanted("inventory", **wildcards),
        glance=lambda wildcards: PLAN.glance(wildcards.dataset),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " inventory --dataset {wildcards.dataset} --out {params.out:q}"


# A data set of the catalogue: archives come and go, their recordings stay.
rule acquire:
    output:
        pcm="data/source/{dataset}/pcm.npy",
        recordings="data/source/{dataset}/recordings.parquet",
        lists="data/source/{dataset}/lists.zip",
        files="data/source/{dataset}/files.json",
        recipe="data/source/{dataset}/recipe.json",
    log:
        "logs/acquire/{dataset}.log",
    benchmark:
        "benchmarks/jobs/acquire/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.acquired),
    params:
        wanted=lambda wildcards: PLAN.wanted("acquire", **wildcards),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " acquire --dataset {wildcards.dataset} --out {params.out:q}"


rule account:
    input:
        recordings=rules.acquire.output.recordings,
        lists=rules.acquire.output.lists,
        recipe=rules.acquire.output.recipe,
    output:
        ledger="data/pcm/{dataset}/ledger.parquet",
        index="data/pcm/{dataset}/index.parquet",
        recipe="data/pcm/{dataset}/recipe.json",
    log:
        "logs/account/{dataset}.log",
    benchmark:
        "benchmarks/jobs/account/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(PLAN.acquired),
    params:
        wanted=lambda wildcards: PLAN.wanted("account", **wildcards),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " account --dataset {wildcards.dataset} --recordings {input.recordings:q}"
        " --lists {input.lists:q} --out {params.out:q}"


rule resample:
    input:
        source=source,
        recipe="data/source/{dataset}/recipe.json",
    output:
        ledger="data/pcm/{dataset}/ledger.parquet",
        pcm="data/pcm/{dataset}/pcm.npy",
        index="data/pcm/{dataset}/index.parquet",
        recipe="data/pcm/{dataset}/recipe.json",
    log:
        "logs/resample/{dataset}.log",
    benchmark:
        "benchmarks/jobs/resample/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of([*PLAN.archives, *PLAN.folders]),
    params:
        wanted=lambda wildcards: PLAN.wanted("resample", **wildcards),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " resample --dataset {wildcards.dataset} --source {input.source:q}"
        " --out {params.out:q}"


rule prepare:
    input:
        ledger=lambda wildcards: f"data/pcm/{PLAN.dataset(wildcards.task)}/ledger.parquet",
        pcm=lambda wildcards: PLAN.read_to_prepare(wildcards.task),
        recipes=lambda wildcards: recipes(PLAN.read_to_prepare(wildcards.task)),
    output:
        manifest="data/manifest/{task}/manifest.parquet",
        recipe="data/manifest/{task}/recipe.json",
    log:
        "logs/prepare/{task}.log",
    benchmark:
        "benchmarks/jobs/prepare/{task}.tsv"
    params:
        wanted=lambda wildcards: PLAN.wanted("prepare", **wildcards),
        pcm=lambda wildcards, input: options("pcm", input.pcm),
        out=lambda wildcards, output: Path(output.recipe).parent,
    shell:
        "exec bat --threads {threads} --log {log:q}"
        " prepare --task {wildcards.task} --ledger {input.ledger:q} {params.pcm:q}"
        " --out {params.out:q}"
