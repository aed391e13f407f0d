"""The internet that the catalogue sees, made of bytes: addresses of files, and the Hub's API.

    files = fake_internet(catalogue, contents)      # {"HOST/PATH": bytes}
    with FaultServer(files) as server:
        network = Network(mirror=server.url)

``catalogue_for`` gives the catalogue with the sizes and checksums of the made contents.
"""

import hashlib
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from bat.acquisition.catalogue import Catalogue, HubMirror, Published, UrlMirror

# By entry and mirror ("lists" for what all mirrors need): files by name, or path in a repository.
Contents = Mapping[tuple[str, str], Mapping[str, bytes]]
PLAIN_SUFFIXES = (".csv", ".md", ".json", ".gitattributes")  # these are not in LFS


def fake_internet(catalogue: Catalogue, contents: Contents) -> dict[str, bytes]:
    """Map "HOST/PATH" to the bytes there, for all mirrors that have contents."""
    pages: dict[str, bytes] = {}
    for entry in catalogue.entries:
        made = contents.get((entry.name, "lists"), {})
        for file in getattr(entry, "lists", []):
            if file.name in made:
                pages |= {page_of(url): made[file.name] for url in file.urls}
        for mirror in entry.mirrors:
            made = contents.get((entry.name, mirror.name))
            if made is None:
                continue
            if isinstance(mirror, HubMirror):
                pages |= repository(mirror, made)
            elif isinstance(mirror, UrlMirror):
                for file in mirror.files:
                    pages |= {page_of(url): made[file.name] for url in file.urls}
    return pages


def catalogue_for(catalogue: Catalogue, contents: Contents) -> Catalogue:
    """Return the catalogue with the sizes and checksums of made contents in place of others."""

    def fit(file: dict, made: Mapping[str, bytes]) -> None:
        content = made.get(file["name"])
        if content is not None:
            facts = {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "md5": hashlib.md5(content).hexdigest(),
            }
            file |= {key: value for key, value in facts.items() if file[key] is not None}

    plain = catalogue.model_dump(mode="json")
    for entry in [*plain["datasets"], *plain["weights"]]:
        for file in entry.get("lists", []):
            fit(file, contents.get((entry["name"], "lists"), {}))
        for mirror in entry["mirrors"]:
            for file in mirror.get("files", []):
                fit(file, contents.get((entry["name"], mirror["name"]), {}))
    return Catalogue.model_validate(plain)


def page_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


def commit_of(mirror: HubMirror) -> str:
    """Return the commit that a repository is at, where the catalogue leaves it open."""
    return mirror.revision or hashlib.sha1(mirror.repo.encode()).hexdigest()


def repository(mirror: HubMirror, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the pages of one repository: the API's and the files', at its only commit."""
    commit = commit_of(mirror)
    api = f"huggingface.co/api/{mirror.repo_type}s/{mirror.repo}"
    prefix = "datasets/" if mirror.repo_type == "dataset" else ""
    about = json.dumps({"id": mirror.repo, "sha": commit, "siblings": []}).encode()
    files = {**files, "README.md": b"# a card\n", ".gitattributes": b"*.zip filter=lfs\n"}
    pages = {f"{api}/revision/{name}": about for name in ("main", commit)}
    pages[api] = about
    pages[f"{api}/tree/{commit}"] = json.dumps(tree(files)).encode()
    for path, content in files.items():
        pages[f"huggingface.co/{prefix}{mirror.repo}/resolve/{commit}/{path}"] = content
    return pages


def tree(files: Mapping[str, bytes]) -> list[dict]:
    folders = sorted({path.rpartition("/")[0] for path in files} - {""})
    entries = [
        {
            "type": "directory",
            "oid": hashlib.sha1(path.encode()).hexdigest(),
            "path": path,
            "size": 0,
        }
        for path in folders
    ]
    for path, content in files.items():
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "oid": blob, "size": len(content), "path": path}
        if not path.endswith(PLAIN_SUFFIXES):
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
        entries.append(entry)
    return entries


def one_file_each(entry: Published) -> dict[tuple[str, str], dict[str, bytes]]:
    """Make some bytes for every file and pattern of an entry."""
    made: dict[tuple[str, str], dict[str, bytes]] = {}
    lists = getattr(entry, "lists", [])
    made[entry.name, "lists"] = {file.name: f"{file.name} list".encode() for file in lists}
    for mirror in entry.mirrors:
        if isinstance(mirror, HubMirror):
            names = [pattern.match.replace("*", "00") for pattern in mirror.patterns]
        else:
            names = [file.name for file in getattr(mirror, "files", [])]
        made[entry.name, mirror.name] = {
            name: f"{entry.name} {mirror.name} {name}".encode() for name in names
        }
    return made
