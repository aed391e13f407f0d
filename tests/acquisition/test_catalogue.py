import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bat.acquisition.catalogue import (
    CATALOGUE_FILE,
    HubMirror,
    PackageMirror,
    mirror_of,
    own_files,
    published,
    published_weights,
    read_catalogue,
    relative_path,
)
from bat.acquisition.verification import check_members
from bat.data.layouts import audioset, esc50, librispeech, speech_commands
from bat.errors import BatError

CATALOGUE = read_catalogue()
MINIMAL = {
    "datasets": [
        {
            "name": "one",
            "title": "One",
            "homepage": "https://example.org",
            "licence": "CC0",
            "citation": "Nobody, 2026.",
            "counts": {"train": 3},
            "notes": None,
            "mirrors": [
                {
                    "name": "here",
                    "kind": "urls",
                    "files": [
                        {
                            "name": "a.zip",
                            "urls": ["https://example.org/a.zip"],
                            "sha256": "0" * 64,
                            "contents": "zip",
                            "part": "train",
                        }
                    ],
                }
            ],
        }
    ],
    "weights": [],
}


def written(tmp_path: Path, **changes: object) -> Path:
    """Write the minimal catalogue with values at dotted keys changed; ... removes a key."""
    content = json.loads(json.dumps(MINIMAL))
    for key, value in changes.items():
        *way, last = key.split("__")
        node = content
        for step in way:
            node = node[int(step) if step.isdecimal() else step]
        if value is ...:
            del node[last]
        else:
            node[int(last) if last.isdecimal() else last] = value
    path = tmp_path / "catalogue.yaml"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("entry", CATALOGUE.entries, ids=lambda entry: entry.name)
def test_every_entry_says_licence_citation_and_where_checksums_are(entry):
    assert entry.licence and entry.citation and entry.homepage.startswith("https://")
    for mirror in entry.mirrors:
        said = entry.notes or mirror.notes
        for file in [*getattr(entry, "lists", []), *own_files(mirror)]:
            assert file.sha256 or file.md5 or said, file.name
        if isinstance(mirror, HubMirror):  # the Hub's listing has the checksums
            assert mirror.revision or mirror.notes
        if isinstance(mirror, PackageMirror):
            assert mirror.sha256 and mirror.inner_sha256


def test_everything_that_the_project_uses_is_there():
    assert [entry.name for entry in CATALOGUE.datasets] == [
        *("audioset", "esc50", "speech-commands", "dcase", "birdset-hsn", "librispeech"),
        "meetings",
    ]
    assert [entry.name for entry in CATALOGUE.weights] == [
        *("bat-vit-b16", "eat-base-epoch30", "eat-base-epoch10", "sslam", "beats-iter3"),
    ]


def test_parts_are_those_that_the_layouts_know():
    assert set(published("audioset").parts) == set(audioset._PARTS)
    assert set(published("librispeech").parts) == set(librispeech._PARTS)
    assert set(published("esc50").parts) == {f"fold-{fold}" for fold in esc50._FOLDS}
    assert set(published("speech-commands").parts) == {
        *("train", "background"),
        *speech_commands._LISTS,
    }
    assert set(published("audioset").label_orders) == set(audioset._ORDERS)


def test_published_figures_of_the_paper_s_data_sets():
    assert published("audioset").recordings == 22_160 + 2_041_789 + 20_371
    assert mirror_of("audioset").counts == {
        "balanced_train": 20_550,
        "unbalanced_train": 1_912_024,
        "eval": 18_886,
    }
    assert mirror_of("audioset", "agkphysics").counts == {
        "balanced_train": 18_685,
        "unbalanced_train": 1_738_788,
        "eval": 17_142,
    }
    totals = {name: published(name).recordings for name in ("esc50", "dcase", "birdset-hsn")}
    assert totals == {"esc50": 2_000, "dcase": 72, "birdset-hsn": 17_460}
    assert published("birdset-hsn").counts == {"train": 5_460, "test": 12_000}


def test_the_embedded_default_is_the_one_of_the_default_experiment():
    from ruamel.yaml import YAML

    params = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    source = params["datasets"]["meetings"]["source"]
    mirror = mirror_of("meetings")
    assert (mirror.package, mirror.version) == (source["package"], str(source["version"]))
    assert (mirror.sha256, mirror.inner_sha256) == (source["sha256"], source["inner_sha256"])
    assert mirror.inner == source["inner"]


def test_released_bat_weights_are_pinned_to_the_commit_of_the_paper():
    revision = published_weights("bat-vit-b16").mirror().revision
    assert revision == "175109327540c72f4b678b149e7cfaf0ee45d3e9"


def test_unknown_names_list_the_known_ones():
    with pytest.raises(BatError, match="'audioset2': no such data set; known are audioset, esc50"):
        published("audioset2")
    with pytest.raises(BatError, match="'esc50': no such weights; known are bat-vit-b16, eat"):
        published_weights("esc50")
    with pytest.raises(BatError, match="no such mirror of audioset; known are confit-full, confit"):
        mirror_of("audioset", "youtube")
    with pytest.raises(BatError, match=r"no such data set or weights; known are audioset, .*beats"):
        CATALOGUE.entry("nothing")


def test_the_first_mirror_is_the_default():
    assert mirror_of("audioset") == published("audioset").mirrors[0]
    assert published_weights("sslam").mirror() == published_weights("sslam").mirrors[0]


def test_the_environment_may_name_another_catalogue(tmp_path, monkeypatch):
    monkeypatch.setenv(CATALOGUE_FILE, str(written(tmp_path)))
    assert [entry.name for entry in read_catalogue().datasets] == ["one"]
    assert published("one").parts == ("train",)


FILE = "datasets__0__mirrors__0__files__0__"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets__0__licence": ...}, r"datasets\.0\.licence: Field required"),
        ({"datasets__0__licence": "  "}, r"datasets\.0\.licence: String should have at least 1"),
        ({"datasets__0__mirror": 1}, r"datasets\.0\.mirror: Extra inputs are not permitted"),
        ({"datasets__0__mirrors": []}, r"datasets\.0\.mirrors: List should have at least 1 item"),
        ({FILE + "sha256": "0" * 63}, r"sha256: String should match pattern"),
        ({FILE + "sha256": "A" * 64}, r"sha256: String should match pattern"),
        ({FILE + "md5": "xyz"}, r"md5: String should match pattern"),
        ({FILE + "bytes": 0}, r"bytes: .*greater than or equal to 1"),
        ({FILE + "bytes": "3"}, r"bytes: .*valid integer"),
        ({FILE + "urls": ["http://example.org/a"]}, r"starts with https://, found 'http://ex"),
        ({FILE + "urls": ["https:///a"]}, r"starts with https://"),
        ({FILE + "urls": ["https://u:p@example.org/a"]}, r"without a user name, found one of"),
        ({FILE + "urls": []}, r"urls: List should have at least 1 item"),
        ({FILE + "urls": ["https://a.b/c"] * 2}, r"each value may stand here only once"),
        ({FILE + "name": "../a.zip"}, r"expected a relative path with forward slashes"),
        ({FILE + "name": "/a.zip"}, r"expected a relative path"),
        ({FILE + "name": "a" * 300}, r"expected names of at most 255 bytes"),
        ({FILE + "into": "audio/../.."}, r"expected a relative path"),
        ({FILE + "into": "audio/"}, r"expected a relative path"),
        ({FILE + "contents": "rar"}, r"contents: .*should be 'zip', 'tar', 'parquet' or 'file'"),
        (
            {FILE + "part": "test"},
            r"datasets\.0: mirror here: expected the parts train, found test",
        ),
        ({FILE + "sha256": None}, r"a\.zip has no checksum; say why in notes"),
        ({"datasets__0__counts": {}}, r"expected counts by part, or else a total"),
        ({"datasets__0__total": 3}, r"expected counts by part, or else a total"),
        ({"datasets__0__mirrors__0__counts": {"dev": 1}}, r"expected the parts train, found dev"),
        ({"datasets": MINIMAL["datasets"] * 2}, r"each name may .*'one' stands twice"),
        (
            {"datasets__0__mirrors": MINIMAL["datasets"][0]["mirrors"] * 2},
            r"each mirror may stand here only once; 'here' stands twice",
        ),
        ({"datasets__0__mirrors__0__kind": "ftp"}, r"mirrors\.0: .*does not match any of the exp"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_catalogue_is_refused_in_one_line_that_says_where(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(BatError, match=message) as caught:
        read_catalogue(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_password_in_an_address_is_not_repeated(tmp_path):
    path = written(tmp_path, **{FILE + "urls": ["http://user:secret@example.org/a?key=secret"]})
    with pytest.raises(BatError) as caught:
        read_catalogue(path)
    assert "secret" not in str(caught.value)


def hub(**changes: object) -> dict:
    mirror = {
        **{"name": "here", "kind": "hub", "repo": "a/b", "repo_type": "dataset"},
        **{"revision": "a" * 40, "about_bytes": None},
        "patterns": [{"match": "*.tar", "contents": "tar"}],
    }
    return mirror | changes


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        (hub(revision="main"), "revision: String should match pattern"),
        (hub(revision="abc1234"), "revision: String should match pattern"),
        (hub(revision=None), "mirror here has no revision; say why in notes"),
        (hub(repo="only-a-name"), "repo: String should match pattern"),
        (hub(patterns=[]), "patterns: List should have at least 1 item"),
        (hub(patterns=hub()["patterns"] * 2), "each pattern may stand here only once"),
    ],
)
def test_a_repository_is_pinned_to_a_whole_commit_or_says_why_not(tmp_path, mirror, message):
    with pytest.raises(BatError, match=message):
        read_catalogue(written(tmp_path, datasets__0__mirrors=[mirror]))


def test_no_yaml_no_file_and_no_text_are_told_apart(tmp_path):
    path = tmp_path / "catalogue.yaml"
    with pytest.raises(BatError, match=r"catalogue\.yaml: cannot read .*No such file"):
        read_catalogue(path)
    path.write_text("datasets: [")
    with pytest.raises(BatError, match=r"catalogue\.yaml: expected YAML in UTF-8: ") as caught:
        read_catalogue(path)
    assert "\n" not in str(caught.value)
    path.write_text("datasets: []\ndatasets: []\nweights: []\n")
    with pytest.raises(BatError, match="duplicate key"):
        read_catalogue(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BatError, match="expected YAML in UTF-8"):
        read_catalogue(path)
    path.write_text("")
    with pytest.raises(BatError, match=r"catalogue\.yaml: "):
        read_catalogue(path)


@given(st.text(max_size=40))
def test_whatever_passes_as_a_relative_path_stays_below_its_folder(name):
    try:
        relative_path(name)
    except ValueError:
        return
    folder = Path("/some/folder")
    assert (folder / name).resolve().is_relative_to(folder)
    assert (folder / name) != folder


class Unpacked:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.names, self.sha256 = files, tuple(sorted(files)), ""

    def read(self, name: str) -> bytes:
        return self.files[name]


def test_a_list_inside_an_archive_is_checked_where_the_archive_has_no_checksum(tmp_path):
    path = written(
        tmp_path,
        datasets__0__members=[{"path": "meta/a.csv", "md5": "0cc175b9c0f1b6a831c399e269772661"}],
    )
    dataset = read_catalogue(path).dataset("one")
    check_members(dataset, Unpacked({"One-master/meta/a.csv": b"a", "One-master/b": b""}))
    with pytest.raises(
        BatError, match=r"One/meta/a\.csv: expected md5 0cc1.*, found 92eb5ffee6ae2"
    ):
        check_members(dataset, Unpacked({"One/meta/a.csv": b"b"}))
    with pytest.raises(BatError, match=r"one: expected one file meta/a\.csv, found 0"):
        check_members(dataset, Unpacked({"One/other-meta/a.csv": b"a"}))


def test_the_documentation_names_commits_of_the_catalogue():
    text = Path("docs/sources.md").read_text()
    assert mirror_of("audioset").revision in text
    assert {mirror.name for mirror in published("audioset").mirrors} <= set(
        re.findall(r"[\w-]+", text)
    )
