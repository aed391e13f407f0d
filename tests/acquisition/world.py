"""Everything that the catalogue names, made small: data sets packed as each mirror packs them.

world = make_world(folder)          # fixtures in their published layouts, and their archives
with world.serve() as environment:  # a server, and what the command line must be told of it
    subprocess.run(["bat", "acquire", ...], env=environment)
"""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from acquisition.hub import catalogue_for, fake_internet
from acquisition.server import FaultServer
from bat.acquisition.catalogue import Catalogue, read_catalogue
from fixtures import layouts
from pipeline.test_weights import write_weights

MAKERS: dict[str, Callable[[Path], None]] = {
    "audioset": layouts.make_audioset,
    "esc50": layouts.make_esc50,
    "speech-commands": layouts.make_speech_commands,
    "dcase": layouts.make_dcase,
    "birdset-hsn": layouts.make_birdset,
    "librispeech": layouts.make_librispeech,
}
# The second fixture of every kind of weights is not on the Hub; see the catalogue.
WEIGHTS = {
    "bat-vit-b16": "bat.safetensors",
    "eat-base-epoch30": "eat.pt",
    "eat-base-epoch10": "eat.pt",
    "sslam": "eat.pt",
    "beats-iter3": "beats.pt",
}
Files = dict[str, bytes]


@dataclass(frozen=True)
class World:
    """What is published, and where its fixtures lie.

    Attributes
    ----------
    folder : Path
        ``raw/<data set>`` and ``weights``: what a user would have unpacked by hand.
    contents : dict
        By entry and mirror, then by file.
    catalogue : Catalogue
        The project's own, with the sizes and checksums of these contents.
    """

    folder: Path
    contents: dict[tuple[str, str], Files]
    catalogue: Catalogue

    @contextmanager
    def serve(self, **more: bytes) -> Iterator[tuple[FaultServer, dict[str, str]]]:
        """Run a server; yield it and the environment in which it is the internet."""
        path = self.folder / "catalogue.yaml"
        with path.open("w", encoding="utf-8") as stream:
            YAML(typ="safe", pure=True).dump(self.catalogue.model_dump(mode="json"), stream)
        with FaultServer(fake_internet(self.catalogue, self.contents) | more) as server:
            yield server, self.environment(server.url)

    def environment(self, mirror: str) -> dict[str, str]:
        told = {"BAT_MIRROR": mirror, "BAT_CATALOGUE": str(self.folder / "catalogue.yaml")}
        patience = {"BAT_TIMEOUT_S": "2", "BAT_BACKOFF_S": "0.02", "BAT_MAXIMUM_WAIT_S": "0.1"}
        return {**os.environ, **told, **patience}


def make_world(folder: Path, makers: Mapping[str, Callable[[Path], None]] = MAKERS) -> World:
    """Make fixtures of data sets and weights, and pack them as their mirrors do."""
    for name, make in makers.items():
        make(folder / "raw" / name)
    contents: dict[tuple[str, str], Files] = {}
    for name in makers:
        contents |= PACKERS[name](folder / "raw" / name)
    write_weights(folder / "weights")
    contents |= _weights(folder / "weights")
    return World(folder, contents, _with_members(catalogue_for(read_catalogue(), contents), folder))


def _with_members(catalogue: Catalogue, folder: Path) -> Catalogue:
    """Fit the checksums of files inside archives to the fixtures."""
    plain = catalogue.model_dump(mode="json")
    for dataset in plain["datasets"]:
        for member in dataset["members"]:
            path = folder / "raw" / dataset["name"] / member["path"]
            if path.is_file():
                member["md5"] = hashlib.md5(path.read_bytes()).hexdigest()
    return Catalogue.model_validate(plain)


# --- how each mirror packs ---------------------------------------------------------------------


def _audioset(raw: Path) -> dict[tuple[str, str], Files]:
    clips = {part: _below(raw / "audio" / part) for part in _parts(raw)}
    lists = {path.name: path.read_bytes() for path in sorted(raw.glob("*.csv"))}
    shards = {"balanced_train": "balanced", "unbalanced_train": "unbalanced", "eval": "eval"}
    full = {
        f"{folder}/{folder}_{number:02d}.zip": zipped(half, f"{folder}_segments/")
        for part, folder in shards.items()
        for number, half in enumerate(_halves(clips[part]))
    }
    folders = {"balanced_train": "20k/train", "unbalanced_train": "2m/train", "eval": "20k/test"}
    wds = {
        f"{folder}/{number:04d}.tar": tarred(_with_labels(half))
        for part, folder in folders.items()
        for number, half in enumerate(_halves(clips[part]))
    }
    names = {"balanced_train": "bal_train", "unbalanced_train": "unbal_train", "eval": "eval"}
    flac = {
        f"data/{name}{number:02d}.tar": tarred(half, f"./audio/{name}/")
        for part, name in names.items()
        for number, half in enumerate(_halves(clips[part]))
    }
    return {
        ("audioset", "lists"): lists,
        ("audioset", "confit-full"): full,
        ("audioset", "confit-16khz"): wds,
        ("audioset", "agkphysics"): flac,
    }


def _parts(raw: Path) -> list[str]:
    return [path.name.removesuffix("_segments.csv") for path in sorted(raw.glob("*_segments.csv"))]


def _with_labels(clips: Files) -> Files:
    """WebDataset: a JSON file of labels beside every recording."""
    return {
        name: content
        for path, clip in clips.items()
        for name, content in ((path, clip), (str(Path(path).with_suffix(".json")), b"{}"))
    }


def _esc50(raw: Path) -> dict[tuple[str, str], Files]:
    return {("esc50", "github"): {"ESC-50.zip": zipped(_below(raw), "ESC-50-33c8ce9/")}}


def _speech_commands(raw: Path) -> dict[tuple[str, str], Files]:
    archive = tarred(_below(raw), "./", compression="gz")
    return {("speech-commands", "tensorflow"): {"speech_commands_v0.02.tar.gz": archive}}


def _dcase(raw: Path) -> dict[tuple[str, str], Files]:
    folder = "hear-2021.0.6/tasks/dcase2016_task2-hear2021-full/"
    archive = tarred(_below(raw), folder, compression="gz")
    name = "hear2021-dcase2016_task2-hear2021-full-48000.tar.gz"
    return {("dcase", "zenodo"): {name: archive}}


def _birdset(raw: Path) -> dict[tuple[str, str], Files]:
    files = _below(raw)
    tables = {f"HSN/{name}": files[name] for name in files if name.endswith(".parquet")}
    train, test = _below(raw / "train"), _below(raw / "test_5s")
    shards = {
        "HSN/HSN_train_shard_0001.tar.gz": tarred(train, compression="gz"),
        "HSN/HSN_test5s_shard_0001.tar.gz": tarred(test, compression="gz"),
    }
    return {("birdset-hsn", "hugging-face"): tables | shards}


def _librispeech(raw: Path) -> dict[tuple[str, str], Files]:
    archives = {
        f"{folder.name}.tar.gz": tarred(
            _below(folder), f"LibriSpeech/{folder.name}/", compression="gz"
        )
        for folder in sorted((raw / "LibriSpeech").iterdir())
    }
    return {("librispeech", "openslr"): archives}


PACKERS = {
    "audioset": _audioset,
    "esc50": _esc50,
    "speech-commands": _speech_commands,
    "dcase": _dcase,
    "birdset-hsn": _birdset,
    "librispeech": _librispeech,
}


def _weights(folder: Path) -> dict[tuple[str, str], Files]:
    """Every file of weights where the first mirror has it."""
    contents = {}
    for entry in read_catalogue().weights:
        mirror = entry.mirrors[0]
        (pattern,) = mirror.patterns
        path = pattern.match.replace("*", "checkpoint")
        made = (folder / WEIGHTS[entry.name]).read_bytes()
        contents[entry.name, mirror.name] = {path: made}
    return contents


# --- archives ----------------------------------------------------------------------------------


def zipped(files: Files, prefix: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(prefix + name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def tarred(files: Files, prefix: str = "", *, compression: str = "") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{compression}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _below(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _halves(files: Files) -> list[Files]:
    names, middle = list(files), (len(files) + 1) // 2
    return [{name: files[name] for name in some} for some in (names[:middle], names[middle:])]
