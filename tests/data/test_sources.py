import os
import stat
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bat.data.sources import (
    INVENTORY_SCHEMA,
    FolderSource,
    Names,
    column_of,
    open_source,
    take_inventory,
)
from bat.data.tables import check_table
from bat.errors import BatError
from fixtures.layouts import write_inventory, zip_files

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def folder(tmp_path):
    """A folder with two files."""
    path = tmp_path / "data"
    (path / "b").mkdir(parents=True)
    (path / "b" / "one.wav").write_bytes(b"one")
    (path / "a.csv").write_bytes(b"")
    return path


# --- archives ---------------------------------------------------------------------------------


def test_an_archive_is_a_source(tmp_path):
    path = zip_files(tmp_path / "a.zip", {"b/1.wav": b"1", "a.csv": b"2", "empty/": b""})
    with open_source(path) as source:
        assert source.names == ("a.csv", "b/1.wav")
        assert source.read("b/1.wav") == b"1"


def test_an_inner_archive_is_a_source_with_its_own_hash(tmp_path):
    inner = zip_files(tmp_path / "inner.zip", {"1.wav": b"1"})
    outer = zip_files(tmp_path / "outer.zip", {"data/inner.zip": inner.read_bytes()})
    with open_source(inner) as direct, open_source(outer, inner="data/inner.zip") as nested:
        assert nested.names == ("1.wav",)
        assert nested.sha256 == direct.sha256


def test_hidden_files_of_an_archive_do_not_count(tmp_path):
    members = {"a.wav": b"", ".DS_Store": b"", "b/.git/config": b"", "__MACOSX/a.wav": b""}
    with open_source(zip_files(tmp_path / "a.zip", members)) as source:
        assert source.names == ("a.wav",)


def test_a_folder_has_no_inner_archive(tmp_path, folder):
    write_inventory(folder, tmp_path / "i")
    with (
        pytest.raises(BatError, match="expected an archive"),
        open_source(tmp_path / "i", folder=folder, inner="x.zip"),
    ):
        pass


# --- inventories ------------------------------------------------------------------------------


def test_an_inventory_lists_every_file_sorted(folder):
    assert take_inventory(folder).rows() == [
        ("a.csv", 0, EMPTY_SHA256),
        ("b/one.wav", 3, "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"),
    ]


def test_hidden_files_of_a_folder_do_not_count(folder):
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("x")
    (folder / "b" / ".DS_Store").write_text("x")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "a").write_text("x")
    assert take_inventory(folder)["path"].to_list() == ["a.csv", "b/one.wav"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
    .filter(lambda name: not name.startswith(".") and name != "__MACOSX")
    .filter(lambda name: len(name.encode()) < 255)
)
def test_any_name_is_read_back(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("odd")
    (folder / name).write_bytes(name.encode())
    source = FolderSource(folder, take_inventory(folder))
    assert source.names == (name,)
    assert source.read(name) == name.encode()


def test_a_name_that_is_not_utf8_is_refused(folder):
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff.wav"))).write_bytes(b"")
    with pytest.raises(BatError, match="expected a name in UTF-8"):
        take_inventory(folder)


def test_a_link_within_the_folder_is_followed(folder):
    (folder / "again.wav").symlink_to("b/one.wav")
    assert take_inventory(folder)["bytes"].to_list() == [0, 3, 3]


def test_a_folder_that_is_itself_a_link_is_followed(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder)
    assert take_inventory(tmp_path / "link").equals(take_inventory(folder))


def test_a_link_that_leaves_the_folder_is_refused(tmp_path, folder):
    (tmp_path / "secret").write_text("x")
    (folder / "b" / "out").symlink_to("../../secret")
    with pytest.raises(BatError, match=r"'b/out': expected a file, found a link that leaves"):
        take_inventory(folder)


@pytest.mark.parametrize("target", ["nowhere", "b", "link"])
def test_a_link_to_no_file_is_refused(folder, target):
    (folder / "link").symlink_to(target)
    with pytest.raises(BatError, match=r"'link': "):
        take_inventory(folder)


def test_a_linked_folder_outside_is_refused(tmp_path, folder):
    (tmp_path / "other").mkdir()
    (folder / "link").symlink_to(tmp_path / "other")
    with pytest.raises(BatError, match="a link that leaves the folder"):
        take_inventory(folder)


def test_a_pipe_is_refused(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(BatError, match="'pipe': expected a file, found a device, a pipe"):
        take_inventory(folder)


def test_an_unreadable_file_is_refused(folder, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BatError, match=r"'a\.csv': Permission denied"):
        take_inventory(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_an_unreadable_folder_is_refused(folder):
    (folder / "b").chmod(0)
    with pytest.raises(BatError, match="Permission denied"):
        take_inventory(folder)
    (folder / "b").chmod(stat.S_IRWXU)


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(BatError, match="found no file"):
        take_inventory(tmp_path)
    with pytest.raises(BatError, match="expected a folder"):
        take_inventory(tmp_path / "absent")


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", "a/..", ".."])
def test_an_inventory_with_paths_elsewhere_is_refused(path):
    inventory = pl.DataFrame({"path": [path], "bytes": [0], "sha256": [EMPTY_SHA256]})
    with pytest.raises(BatError, match="inventory"):
        check_table(inventory, INVENTORY_SCHEMA)


# --- folders ----------------------------------------------------------------------------------


def test_a_folder_is_a_source(tmp_path, folder):
    write_inventory(folder, tmp_path / "i.parquet")
    with open_source(tmp_path / "i.parquet", folder=folder) as source:
        assert source.names == ("a.csv", "b/one.wav")
        assert source.read("b/one.wav") == b"one"


def test_a_source_is_named_by_what_its_inventory_says(folder):
    before = FolderSource(folder, take_inventory(folder)).sha256
    assert FolderSource(folder, take_inventory(folder)).sha256 == before
    (folder / "b" / "one.wav").rename(folder / "b" / "two.wav")
    assert FolderSource(folder, take_inventory(folder)).sha256 != before


def test_a_file_that_changed_is_refused(folder):
    source = FolderSource(folder, take_inventory(folder))
    (folder / "b" / "one.wav").write_bytes(b"two")
    with pytest.raises(BatError, match=r"'b/one\.wav' changed since the inventory was taken"):
        source.read("b/one.wav")


def test_a_file_that_vanished_is_refused(folder):
    source = FolderSource(folder, take_inventory(folder))
    (folder / "b" / "one.wav").unlink()
    with pytest.raises(BatError, match=r"'b/one\.wav': No such file"):
        source.read("b/one.wav")


def test_a_file_that_came_later_is_refused(folder):
    source = FolderSource(folder, take_inventory(folder))
    (folder / "later.wav").write_bytes(b"")
    with pytest.raises(BatError, match="no such file in its inventory"):
        source.read("later.wav")


def test_an_absent_inventory_is_refused(tmp_path, folder):
    with (
        pytest.raises(BatError, match="expected a Parquet table"),
        open_source(tmp_path / "absent", folder=folder),
    ):
        pass


# --- many names -------------------------------------------------------------------------------


def test_names_in_a_column_are_a_sequence_like_a_tuple():
    expected = ("a.wav", "b/c.wav", "会.wav")
    names = Names(pl.Series(expected))
    assert tuple(names) == expected
    assert len(names) == 3
    assert "b/c.wav" in names
    assert "c.wav" not in names
    assert 5 not in names
    assert (names[0], names[-1], tuple(names[1:])) == ("a.wav", "会.wav", expected[1:])
    assert column_of(names).equals(column_of(expected))
