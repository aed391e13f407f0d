# Where files of the workflow lie, for rules whose inputs depend on the parameters.


def spectrograms(model, task):
    """Shard of the front end that a model hears through."""
    frontend = PARAMS.models[model].frontend
    return f"data/spectrograms/{frontend}/{task}/spectrograms.safetensors"


def tokens(wildcards):
    """Token shards of the groups whose encoders a part may use."""
    return expand(
        rules.embed.output.tokens,
        model=wildcards.model,
        task=wildcards.task,
        group=PLAN.groups_of(wildcards.part),
    )


def encoders(wildcards):
    """Checkpoints of the groups whose encoders a part may use."""
    return expand(
        rules.pretrain.output.encoder,
        model=wildcards.model,
        group=PLAN.groups_of(wildcards.part),
    )


def recipes(files):
    """The recipes beside some files."""
    return [Path(file).with_name("recipe.json") for file in files]


def of_probes(output, cells):
    """An output of every part of some probe cells."""
    return [
        str(output).format(model=model, task=task, method=method, part=part)
        for model, task, method in cells
        for part in PLAN.parts("probe")
    ]


def of_table(name):
    """An output of every part of every cell of the main table, baseline and fine-tuning included."""
    return [
        *of_probes(getattr(rules.probe.output, name), PLAN.table_probes()),
        *expand(
            getattr(rules.finetune.output, name),
            model=PARAMS.models,
            task=PARAMS.tasks,
            part=PLAN.parts("finetune"),
        ),
        *expand(getattr(rules.baseline.output, name), task=PARAMS.tasks),
    ]


def options(name, files):
    """Repeat an option for every file."""
    return [f"--{name}={file}" for file in files]
