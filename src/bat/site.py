"""The cluster that the profile runs on: names and limits that differ from site to site."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bat.errors import BatError
from bat.params.base import Count, Strict
from bat.params.explain import describe

SITE = "BAT_SITE"
_REPOSITORY = Path(__file__).resolve().parents[2]
# What sbatch takes for a name: nothing that a shell would notice.
SlurmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,+-]+$")]


class Site(Strict):
    """A site file; whatever is null is left to the cluster's defaults.

    Parameters
    ----------
    partition, gpu_partition
        For jobs without and with a GPU.
    account
        Which project pays.
    gpu_type
        Model of GPU, as in ``--gpus=a100:4``.
    pretraining_gpus
        GPUs of one pretraining job; they lie on one node.
    maximum_runtime_min
        The longest time limit that the partitions allow.
    scratch
        Folder for temporary files on the nodes.
    """

    partition: SlurmName | None = None
    gpu_partition: SlurmName | None = None
    account: SlurmName | None = None
    gpu_type: SlurmName | None = None
    pretraining_gpus: Count = 4
    maximum_runtime_min: Count = 1440
    scratch: str | None = None


def read_site(path: Path) -> Site:
    """Read a site file; without one everything is left to the cluster.

    Raises
    ------
    BatError
        Where the file is not YAML, or a key is unknown or has a wrong value.
    """
    if not path.is_file():
        return Site()
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {}
        return Site.model_validate(content)
    except (YAMLError, UnicodeDecodeError) as error:
        raise BatError(f"{path}: not a valid YAML file: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        problem = describe(first, list(Site.model_fields))
        raise BatError(f"{path}: {key}: {problem}") from None


def site_file() -> Path:
    """Return where the site file is looked for: ``slurm/site.yaml``, or what ``BAT_SITE`` says."""
    return Path(os.environ.get(SITE, _REPOSITORY / "slurm" / "site.yaml"))


def serve_site() -> None:
    """Put the site's names into the environment, where the cluster profile reads them.

    Raises
    ------
    BatError
        Where the site file is wrong, or its scratch folder cannot be made on this node.
    """
    site = read_site(site_file())
    names = {
        "PARTITION": site.partition,
        "GPU_PARTITION": site.gpu_partition or site.partition,
        "ACCOUNT": site.account,
        "GPU_TYPE": site.gpu_type,
        "PRETRAINING_GPUS": site.pretraining_gpus,
        "MAXIMUM_RUNTIME_MIN": site.maximum_runtime_min,
    }
    for name, value in names.items():
        os.environ[f"BAT_SITE_{name}"] = "" if value is None else str(value)
    if site.scratch is not None and "SLURM_JOB_ID" in os.environ:
        os.environ["TMPDIR"] = _folder_on_this_node(site.scratch)


def _folder_on_this_node(scratch: str) -> str:
    """Expand a scratch folder such as ``/scratch/$USER`` and make it."""
    folder = Path(os.path.expandvars(scratch)).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BatError(
            f"{folder}: cannot be made ({error.strerror}); it is the scratch of the site file"
        ) from None
    return str(folder)
