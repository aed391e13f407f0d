"""Many files hashed at once have the hashes that each has alone."""

import hashlib

import pytest

from bat.provenance.rehashing import sha256_of_files

# Around the size of the buffer, and what a short read would cut.
SIZES = [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 + 7]


@pytest.mark.parametrize("jobs", [1, 2, 16])
def test_every_file_is_hashed_whole_whatever_the_number_of_threads(tmp_path, jobs):
    expected = {}
    for place, size in enumerate(SIZES * 3):
        path = tmp_path / f"{place}"
        content = hashlib.shake_128(bytes([place])).digest(size)
        path.write_bytes(content)
        expected[path] = hashlib.sha256(content).hexdigest()
    assert sha256_of_files({path: path.stat().st_size for path in expected}, jobs) == expected


def test_what_is_no_file_has_no_hash(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"content")
    found = sha256_of_files({tmp_path / name: 7 for name in ("folder", "absent", "file")}, 2)
    assert found == {
        tmp_path / "folder": None,
        tmp_path / "absent": None,
        tmp_path / "file": hashlib.sha256(b"content").hexdigest(),
    }


def test_nothing_to_hash_is_no_problem():
    assert sha256_of_files({}, 4) == {}
