"""The default experiment, made tiny: the same DAG on a fixture of real audio."""

import hashlib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURE = REPOSITORY / "tests" / "fixtures" / "meetings.zip"
_SHORT = {"steps": 4, "warmup_steps": 1, "batch_size": 8}


def default_params() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load((REPOSITORY / "params.yaml").read_text())


def tiny_params() -> dict[str, Any]:
    """All models, tasks, methods and figures of the default experiment, for a few steps.

    120 clips. Every method is there once, on one model and task; not in all combinations, for a
    job spends most of its time on starting.
    """
    params = default_params()
    params["datasets"]["meetings"]["source"] = file_source(FIXTURE)
    for model in params["models"].values():
        model["encoder"] |= {"width": 32, "depth": 2, "heads": 2}
        if "pretraining" in model:
            model["pretraining"] |= _SHORT | {"views": 2, "log_every": 1}
            decoder = model["pretraining"]["decoder"]
            decoder |= {"depth": 1} | ({"width": 16} if decoder["kind"] == "vit" else {})
    for probe in params["probes"].values():
        probe.update(_SHORT)
        if "prototypes" in probe:
            probe["prototypes"] = 4
    params["tasks"]["mixture"]["methods"] = ["protobin"]
    params["models"]["eat-mini"] |= {"tasks": ["speaker"], "methods": ["cgp"]}
    params["models"]["random-init"] |= {"tasks": ["speaker"], "methods": ["lp"]}
    params["finetuning"] |= _SHORT
    params["seeds"] |= {"probe": [0, 1], "finetune": [0]}
    params["statistics"]["bootstrap_resamples"] = 20
    params["figures"]["sweep"]["prototypes"] = [2, 4]
    params["figures"]["blocks"]["models"] = ["bat-mini"]
    return params


def tinier_params() -> dict[str, Any]:
    """One model, one task, two probes: the shortest way through every stage."""
    params = tiny_params()
    params["models"] = {"bat-mini": params["models"]["bat-mini"]}
    params["tasks"] = {"speaker": params["tasks"]["speaker"]}
    params["tasks"]["speaker"]["methods"] = ["lp", "cgp", "finetune"]
    params["baseline"]["tasks"] = ["speaker"]
    params["figures"]["sweep"]["prototypes"] = [2]
    params["figures"]["attention"]["models"] = ["bat-mini"]
    return params


def file_source(archive: Path) -> dict[str, Any]:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {"kind": "file", "path": str(archive), "sha256": digest, "licence": "MIT"}


def write_params(folder: Path, params: dict[str, Any]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    with (folder / "params.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(params, stream)
