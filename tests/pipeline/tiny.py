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
    """All models, tasks and methods of the default experiment, on 120 clips for a few steps."""
    params = default_params()
    params["source"] = file_source(FIXTURE)
    for model in params["models"].values():
        model["encoder"] |= {"width": 32, "depth": 2, "heads": 2}
        if model["pretraining"]:
            model["pretraining"] |= _SHORT | {"views": 2, "log_every": 1}
            decoder = model["pretraining"]["decoder"]
            decoder |= {"depth": 1} | ({"width": 16} if decoder["kind"] == "vit" else {})
    for probe in params["probes"].values():
        probe.update(_SHORT)
        if "prototypes" in probe:
            probe["prototypes"] = 4
    params["finetuning"] |= _SHORT
    params["seeds"] |= {"probe": [0, 1], "finetune": [0]}
    params["statistics"]["bootstrap_resamples"] = 20
    params["figures"]["sweep"]["prototypes"] = [2, 4]
    return params


def tinier_params() -> dict[str, Any]:
    """One model, one task, two probes: the shortest way through every stage."""
    params = tiny_params()
    params["models"] = {"bat-mini": params["models"]["bat-mini"]}
    params["tasks"] = {"speaker": params["tasks"]["speaker"]}
    params["probes"] = {name: params["probes"][name] for name in ("lp", "cgp")}
    params["figures"]["sweep"]["prototypes"] = [2]
    return params


def file_source(archive: Path) -> dict[str, Any]:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {"kind": "file", "path": str(archive), "sha256": digest, "licence": "MIT"}


def write_params(folder: Path, params: dict[str, Any]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    with (folder / "params.yaml").open("w", encoding="utf-8") as stream:
        yaml.dump(params, stream)
