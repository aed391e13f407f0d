import stat
import struct
import zipfile

import pytest

from bat.data.archive import Limits, open_archive
from bat.errors import BatError


def refused(path, message, **options):
    with pytest.raises(BatError, match=message) as caught, open_archive(path, **options):
        pass
    return str(caught.value)


def test_files_of_an_archive_are_listed_sorted_and_read(make_archive):
    path = make_archive({"b/2": b"two", "a/1": b"one", "c/": b""})
    with open_archive(path) as archive:
        assert archive.names == ("a/1", "b/2")
        assert archive.read("b/2") == b"two"


def test_an_archive_inside_an_archive_is_read_with_its_own_hash(make_archive):
    inner = make_archive({"a/1": b"one"}, "inner.zip")
    outer = make_archive({"folder/inner.zip": inner.read_bytes()}, "outer.whl")
    with open_archive(inner) as direct, open_archive(outer, inner="folder/inner.zip") as nested:
        assert nested.names == direct.names
        assert nested.read("a/1") == b"one"
        assert nested.sha256 == direct.sha256


def test_an_inner_archive_that_is_absent_is_named(make_archive):
    refused(make_archive({"a": b""}), "no such member: 'inner.zip'", inner="inner.zip")


@pytest.mark.parametrize(
    "name", ["/etc/somebody", "../somebody", "a/../../somebody", "a//somebody", "C:/somebody"]
)
def test_a_path_that_leads_elsewhere_is_refused_without_its_name(make_archive, name):
    message = refused(make_archive({"good": b"", name: b""}), "member 1: expected a")
    assert "somebody" not in message


def test_backslashes_are_refused(make_archive):
    refused(make_archive({"..\\somebody": b""}), "forward slashes")


@pytest.mark.parametrize("name", ["x" * 256, "/".join(["y" * 200] * 6)])
def test_an_over_long_name_is_refused(make_archive, name):
    refused(make_archive({name: b""}), "the name is longer")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", "found a link or device")


def test_a_repeated_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("same", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("same", "2")
    refused(tmp_path / "a.zip", "two members have the same name")


def test_an_encrypted_member_is_refused(make_archive):
    path = make_archive({"a": b"secret"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


def test_a_bomb_is_refused_by_its_ratio(make_archive):
    refused(make_archive({"a": bytes(65 * 2**20)}), "expands 10[0-9]{2}-fold, more than 100-fold")


def test_silence_in_a_small_archive_is_no_bomb(make_archive):
    with open_archive(make_archive({"a": bytes(2**20)})) as archive:
        assert len(archive.read("a")) == 2**20


def test_sizes_beyond_the_limits_are_refused(make_archive):
    path = make_archive({"a": bytes(600), "b": bytes(600)})
    refused(path, "member 0: expands to 600", limits=Limits(max_member_bytes=500))
    refused(path, "expands to 1200", limits=Limits(max_total_bytes=1000))


def test_a_size_that_is_declared_too_small_does_not_get_past_the_limit(make_archive):
    path = make_archive({"a": bytes(2**20)})
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02")
    content[start + 24 : start + 28] = struct.pack("<I", 10)
    path.write_bytes(content)
    with open_archive(path) as archive, pytest.raises(BatError, match="member 0 is damaged"):
        archive.read("a")


def test_a_damaged_member_is_refused(make_archive):
    path = make_archive({"somebody": b"the same words again and again " * 40})
    content = bytearray(path.read_bytes())
    content[45] ^= 0xFF
    path.write_bytes(content)
    with open_archive(path) as archive, pytest.raises(BatError, match="is damaged") as caught:
        archive.read("somebody")
    assert "somebody" not in str(caught.value)


def test_what_is_no_archive_is_refused(tmp_path, make_archive):
    (tmp_path / "text.zip").write_text("no archive")
    refused(tmp_path / "text.zip", "text.zip: expected a zip archive")
    refused(tmp_path / "absent.zip", "absent.zip: No such file")
    truncated = make_archive({"a": b"content" * 100})
    truncated.write_bytes(truncated.read_bytes()[:-30])
    refused(truncated, "expected a zip archive")
