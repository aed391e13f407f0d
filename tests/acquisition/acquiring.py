"""Parameters of an experiment whose data sets come from the catalogue's mirrors."""

from pipeline.every_task import every_task_params

MIRRORS = {
    "audioset": ("audioset", "confit-full"),
    "audioset-16khz": ("audioset", "confit-16khz"),
    "audioset-flac": ("audioset", "agkphysics"),
    "esc50": ("esc50", None),
    "speech-commands": ("speech-commands", None),
    "dcase2016-task2": ("dcase", None),
    "birdset": ("birdset-hsn", None),
    "librispeech": ("librispeech", None),
}


def acquired_params():
    """Every data set from every mirror; tasks and models are those of `every_task_params`."""
    params = every_task_params()
    local = params["datasets"]
    params["datasets"] = {}
    for name, (published, mirror) in MIRRORS.items():
        source = {"kind": "published", "name": published}
        source |= {"mirror": mirror} if mirror else {}
        like = local["audioset" if published == "audioset" else name]
        params["datasets"][name] = {**like, "source": source}
    return params
