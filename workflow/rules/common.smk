# Where files of the workflow lie, for rules whose inputs depend on the parameters.


def one_of(names):
    """A wildcard pattern that some names match, and nothing else does."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def source(wildcards):
    """The archive of a data set, or the inventory of its folder."""
    name = "archive" if wildcards.dataset in PLAN.archives else "inventory.parquet"
    return f"data/source/{wildcards.dataset}/{name}"


def pcm(wildcards):
    """The stored recordings of a task's data set, and their index."""
    return PLAN.pcm(wildcards.task)


def spectrograms(model, task):
    """Shard of the front end that a model hears through."""
    frontend = PARAMS.models[model].frontend
    return f"data/spectrograms/{frontend}/{task}/spectrograms.safetensors"


def heard(wildcards):
    """What the live encoder of a model hears of a task: cached spectrograms, or PCM."""
    if PLAN.cached(wildcards.task):
        return [spectrograms(wildcards.model, wildcards.task)]
    return pcm(wildcards)


def heard_in_pretraining(wildcards):
    """What an encoder hears in pretraining."""
    task = PARAMS.pretraining_clips
    if PLAN.cached(task):
        return [spectrograms(wildcards.model, task)]
    return PLAN.pcm(task)


def tokens(wildcards):
    """Token shards of the groups whose encoders a part may use."""
    return expand(
        "data/tokens/{model}/{group}/{task}/tokens.safetensors",
        model=wildcards.model,
        task=wildcards.task,
        group=PLAN.groups_of(wildcards.task, wildcards.part),
    )


def encoders(wildcards):
    """Checkpoints of the groups whose encoders a part may use."""
    return expand(
        "results/pretrain/{model}/{group}/encoder.safetensors",
        model=wildcards.model,
        group=PLAN.groups_of(wildcards.task, wildcards.part),
    )


def read_by_probe(wildcards):
    """What a probe reads: cached tokens, or encoders and what these hear."""
    if PLAN.reading(wildcards.task, wildcards.method) == "tokens":
        return tokens(wildcards)
    return [*encoders(wildcards), *heard(wildcards)]


def published_weights(wildcards):
    """The published checkpoint of a model, where the catalogue has it."""
    name = PLAN.weights(wildcards.model)
    return [] if name is None else [f"data/source/{name}/weights"]


def recipes(files):
    """The recipes beside some files."""
    return sorted({str(Path(file).with_name("recipe.json")) for file in files})


def options(name, files):
    """Repeat an option for every file."""
    return [f"--{name}={file}" for file in files]


def inputs(files):
    """An option for every file, named after what the file is."""
    names = {
        "tokens.safetensors": "tokens",
        "encoder.safetensors": "encoder",
        "spectrograms.safetensors": "spectrograms",
        "pcm.npy": "pcm",
        "index.parquet": "pcm",
        "weights": "weights",
    }
    return [f"--{names[Path(file).name]}={file}" for file in files]
