import bz2
import gzip
import io
import lzma
import random
import stat
import subprocess
import sys
import tarfile
import zipfile

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bat.data.archive import Limits
from bat.data.members import Member, stream_members
from bat.errors import BatError

COMPRESSIONS = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
AUDIO = pl.Struct({"bytes": pl.Binary, "path": pl.String})
PACKED = [
    (f"folder/{number}.wav", random.Random(number).randbytes(number * 60)) for number in range(9)
]
# The peak of getrusage would be inherited from the process that runs the tests.
PEAK = (
    "import sys; from pathlib import Path\n"
    "status = Path('/proc/self/status')\n"
    "peak_kib = lambda: int(status.read_text().split('VmHWM:')[1].split()[0])\n"
)
LONG_NAME = "long/" * 50 + "name"

names = st.lists(
    st.text(
        st.characters(exclude_characters="/\\:\0.", exclude_categories=["Cs"]), min_size=1
    ).filter(lambda part: len(part.encode()) <= 255 and part != "__MACOSX"),
    min_size=1,
    max_size=3,
).map("/".join)
packings = st.dictionaries(
    names.filter(lambda name: len(name.encode()) < 1000), st.binary(max_size=2000), max_size=8
)
round_trip = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tar_bytes(members, format=tarfile.PAX_FORMAT):
    """Pack names and contents, or headers and contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_bytes(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def table(rows, **columns):
    return pl.DataFrame({"audio": rows, **columns}, schema_overrides={"audio": AUDIO})


def table_bytes(frame, **options):
    file = io.BytesIO()
    frame.write_parquet(file, **options)
    return file.getvalue()


@pytest.fixture
def members_of(tmp_path, monkeypatch):
    """Return a function that reads an archive where nothing may be written."""
    path = tmp_path / "deep" / "down" / "archive"
    path.parent.mkdir(parents=True)
    monkeypatch.chdir(path.parent)

    def read(content, contents, **options):
        path.write_bytes(content)
        before = sorted(tmp_path.rglob("*"))
        try:
            return list(stream_members(path, contents, **options))
        finally:
            assert sorted(tmp_path.rglob("*")) == before
            assert path.read_bytes() == content

    return read


@pytest.fixture
def refused(members_of):
    """Return a function that expects a refusal, which never tells the name of a member."""

    def read(content, contents, message, **options):
        with pytest.raises(BatError, match=message) as caught:
            members_of(content, contents, **options)
        assert "somebody" not in str(caught.value)
        assert "\n" not in str(caught.value)

    return read


def pairs(members):
    members = list(members)
    assert all(member.problem is None for member in members)
    return [(member.name, member.content) for member in members]


@round_trip
@given(packings)
def test_what_was_zipped_comes_out_in_the_same_order(members_of, packed):
    assert pairs(members_of(zip_bytes(packed.items()), "zip")) == list(packed.items())


@round_trip
@given(
    packings,
    st.sampled_from(sorted(COMPRESSIONS)),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_what_was_put_in_a_tar_comes_out_in_the_same_order(members_of, packed, compression, form):
    content = COMPRESSIONS[compression](tar_bytes(packed.items(), form))
    assert pairs(members_of(content, "tar")) == list(packed.items())


@round_trip
@given(packings, st.sampled_from([1, 3, 100]))
def test_the_recordings_of_a_table_come_out_in_the_same_order(members_of, packed, group):
    packed = {name.replace("/", "-")[:60]: content for name, content in packed.items()}
    rows = [{"bytes": content, "path": f"/some/where/{name}"} for name, content in packed.items()]
    content = table_bytes(table(rows, other=[0] * len(rows)), row_group_size=group)
    assert pairs(members_of(content, "parquet")) == list(packed.items())


def test_more_rows_than_are_read_at_a_time_come_out_once_each(members_of):
    rows = [{"bytes": b"%d" % number, "path": f"{number}.wav"} for number in range(150)]
    found = members_of(table_bytes(table(rows), row_group_size=40), "parquet")
    assert [member.name for member in found] == [f"{number}.wav" for number in range(150)]
    assert [member.content for member in found] == [b"%d" % number for number in range(150)]


def test_a_file_is_its_own_only_member(tmp_path):
    (tmp_path / "eval_segments.csv").write_bytes(b"rows")
    (found,) = stream_members(tmp_path / "eval_segments.csv", "file")
    assert found == Member(name="eval_segments.csv", content=b"rows")


def test_an_archive_made_by_gnu_tar_is_read(tmp_path):
    (tmp_path / "in" / LONG_NAME).parent.mkdir(parents=True)
    (tmp_path / "in" / LONG_NAME).write_bytes(b"long")
    (tmp_path / "in/short").write_bytes(b"short")
    for form in ("gnu", "pax"):
        command = ["tar", f"--format={form}", "--sort=name", "-czf", "a.tgz", "-C", "in", "."]
        subprocess.run(command, cwd=tmp_path, check=True)
        found = pairs(stream_members(tmp_path / "a.tgz", "tar"))
        assert found == [(LONG_NAME, b"long"), ("short", b"short")]


def test_a_leading_dot_of_a_tar_is_dropped_and_folders_are_skipped(members_of):
    folder, root = tarfile.TarInfo("./a/"), tarfile.TarInfo(".")
    folder.type = root.type = tarfile.DIRTYPE
    content = tar_bytes([(root, b""), (folder, b""), ("./a/1", b"one"), ("b", b"two")])
    assert pairs(members_of(content, "tar")) == [("a/1", b"one"), ("b", b"two")]


@pytest.mark.parametrize(("pack", "contents"), [(zip_bytes, "zip"), (tar_bytes, "tar")])
def test_hidden_files_are_skipped(members_of, pack, contents):
    content = pack([(".git/x", b"1"), ("__MACOSX/a", b"2"), ("a", b"3"), ("b/._a", b"4")])
    assert pairs(members_of(content, contents)) == [("a", b"3")]


def test_hidden_rows_are_skipped(members_of):
    rows = [{"bytes": b"1", "path": ".hidden"}, {"bytes": b"2", "path": "seen"}]
    assert pairs(members_of(table_bytes(table(rows)), "parquet")) == [("seen", b"2")]


@pytest.mark.parametrize(("pack", "contents"), [(zip_bytes, "zip"), (tar_bytes, "tar")])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../somebody", "member 1: expected a path without"),
        ("a/../../somebody", "member 1: expected a path without"),
        ("a//somebody", "member 1: expected a path without"),
        ("./../somebody", "member 1: expected a path without"),
        ("/etc/somebody", "member 1: expected a relative path"),
        ("..\\somebody", "member 1: expected a relative path"),
        ("C:/somebody", "member 1: expected a relative path"),
        ("somebody" + "x" * 292, "member 1: the name is longer"),
        ("/".join(["somebody" * 25] * 6), "member 1: the name is longer"),
        ("good", "two members have the same name"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_name_is_refused(refused, pack, contents, name, message):
    refused(pack([("good", b""), (name, b"bad")]), contents, message)


def test_a_hostile_name_in_an_extended_header_is_refused(refused):
    for name in ("../somebody", "/somebody", "a\0somebody", "x" * 300):
        info = tarfile.TarInfo("innocent")
        info.pax_headers = {"path": name}
        refused(tar_bytes([(info, b"bad")]), "tar", "member 0: ")


def test_a_name_that_is_not_utf8_is_refused(refused):
    content = bytearray(tar_bytes([("innocent", b"")], tarfile.USTAR_FORMAT))
    content[0:1] = b"\xff"
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 8 * 32 + sum(content[156:512]))
    refused(bytes(content), "tar", "member 0: expected a name in UTF-8")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "../../somebody"),
        (tarfile.SYMTYPE, "good"),
        (tarfile.LNKTYPE, "/etc/somebody"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (b"Z", ""),
    ],
)
def test_a_tar_with_a_link_or_device_is_refused(refused, kind, target):
    info = tarfile.TarInfo("somebody")
    info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 5
    content = tar_bytes([("good", b""), (info, b""), ("somebody/x", b"escaped")])
    refused(content, "tar", "member 1: expected a file or folder, found a link, device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_a_zip_with_a_link_or_device_is_refused(refused, kind):
    info = zipfile.ZipInfo("somebody")
    info.external_attr = (kind | 0o777) << 16
    refused(
        zip_bytes([("good", b""), (info, "/etc")]), "zip", "member 1: .* found a link or device"
    )


def test_a_sparse_file_is_refused(tmp_path):
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(2**20)
        file.seek(2**19)
        file.write(b"x")
    for form in ("gnu", "pax"):
        command = ["tar", f"--format={form}", "-cSf", "a.tar", "holes"]
        subprocess.run(command, cwd=tmp_path, check=True)
        with pytest.raises(BatError, match="sparse file"):
            list(stream_members(tmp_path / "a.tar", "tar"))


def test_a_zip_bomb_is_refused(refused):
    refused(zip_bytes([("a", bytes(65 * 2**20))]), "zip", "expands 10[0-9]{2}-fold, more than 100")


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_a_tar_bomb_is_refused(refused, compression):
    content = COMPRESSIONS[compression](tar_bytes([("a", bytes(70 * 2**20))]))
    refused(content, "tar", r"expands \d+-fold, more than 100-fold")


def test_a_bomb_of_many_small_members_is_refused_before_it_is_read_to_its_end(members_of, refused):
    content = gzip.compress(tar_bytes((f"{number}", bytes(2**20)) for number in range(70)))
    refused(content, "tar", r"expands \d+-fold, more than 100-fold")
    refused(
        content,
        "tar",
        r"expands to \d+ bytes, more than 5000000",
        limits=Limits(max_total_bytes=5_000_000, max_ratio=1e9),
    )
    assert len(members_of(content, "tar", limits=Limits(max_ratio=1e9))) == 70


def test_a_bomb_behind_the_end_marker_is_refused(refused):
    content = gzip.compress(tar_bytes([("a", b"")]) + bytes(80 * 2**20))
    refused(content, "tar", r"expands \d+-fold, more than 100-fold")


def test_a_bomb_in_a_header_is_refused_before_it_is_read(members_of, refused):
    info = tarfile.TarInfo("somebody")
    info.pax_headers = {"comment": "x" * 2**21}
    refused(tar_bytes([(info, b"")]), "tar", "absurd header")
    refused(tar_bytes([("a/" * 2**20, b"")], tarfile.GNU_FORMAT), "tar", "absurd header")
    info.pax_headers = {"comment": "x" * 2**19}
    assert len(members_of(tar_bytes([(info, b""), ("b", b"")]), "tar")) == 2


def test_headers_of_headers_are_refused(refused):
    info = tarfile.TarInfo("somebody")
    info.type = tarfile.XHDTYPE
    header = info.tobuf()
    refused(header * 5000, "tar", "truncated or damaged at member 0")
    refused(header * 900, "tar", "truncated or damaged at member 0")


def test_negative_sizes_are_refused(refused):
    info = tarfile.TarInfo("somebody")
    info.size = -1024
    refused(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048), "tar", "negative size")
    info = tarfile.TarInfo("somebody")
    info.pax_headers = {"size": "-1024"}
    refused(tar_bytes([(info, b"")]), "tar", "negative size")


def test_a_table_that_repeats_itself_absurdly_is_refused(refused):
    rows = [{"bytes": bytes(2**20), "path": f"{number}"} for number in range(80)]
    refused(table_bytes(table(rows)), "parquet", r"expands \d+-fold, more than 100-fold")


def test_sizes_beyond_the_limits_are_refused(refused):
    packed = [("a", bytes(600)), ("b", bytes(700))]
    rows = [{"bytes": content, "path": name} for name, content in packed]
    member, total = Limits(max_member_bytes=650), Limits(max_total_bytes=1250)
    for content, contents in (
        (zip_bytes(packed), "zip"),
        (tar_bytes(packed), "tar"),
        (table_bytes(table(rows)), "parquet"),
    ):
        refused(content, contents, r"(member|row) 1: expands to 700 bytes", limits=member)
        refused(content, contents, r"expands to \d+ bytes, more than 1250", limits=total)
    refused(bytes(700), "file", "archive: expands to 700 bytes", limits=member)


def test_a_declared_size_takes_no_memory(tmp_path):
    """A tar of 1.5 KiB that declares a member of 3 GiB."""
    info = tarfile.TarInfo("a")
    info.size = 3 * 2**30
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf() + bytes(1024))
    program = PEAK + (
        "from bat.data.members import stream_members\n"
        "from bat.errors import BatError\n"
        "before = peak_kib()\n"
        "try: list(stream_members(Path(sys.argv[1]), 'tar'))\n"
        "except BatError as error: print(error)\n"
        "assert peak_kib() - before < 50_000, peak_kib() - before\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "expands" in done.stdout


def test_memory_does_not_grow_with_the_archive(tmp_path):
    """Forty members of 2 MiB, and what is needed beyond the imports."""
    rng = random.Random(0)
    packed = [(f"{number}", rng.randbytes(2**21)) for number in range(40)]
    rows = [{"bytes": content, "path": name} for name, content in packed]
    (tmp_path / "zip").write_bytes(zip_bytes(packed, zipfile.ZIP_STORED))
    (tmp_path / "tar").write_bytes(gzip.compress(tar_bytes(packed), 0))
    parquet = table_bytes(table(rows), row_group_size=4, compression="uncompressed")
    (tmp_path / "parquet").write_bytes(parquet)
    program = PEAK + (
        "from bat.data.members import stream_members\n"
        "import polars; polars.select(polars.lit(1)); before = peak_kib()\n"
        "total = sum(len(m.content) for m in stream_members(Path(sys.argv[1]), sys.argv[2]))\n"
        "print(total, peak_kib() - before)\n"
    )
    for contents, most_kib in (("zip", 30_000), ("tar", 30_000), ("parquet", 250_000)):
        command = [sys.executable, "-c", program, str(tmp_path / contents), contents]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        total, grown_kib = map(int, done.stdout.split())
        assert total == 40 * 2**21
        assert grown_kib < most_kib, contents


def test_a_member_of_a_zip_with_a_wrong_checksum_is_reported_alone(members_of):
    content = bytearray(zip_bytes(PACKED, zipfile.ZIP_STORED))
    content[content.index(PACKED[4][1]) + 7] ^= 1
    found = members_of(bytes(content), "zip")
    assert found[4] == Member(
        name=PACKED[4][0], content=b"", problem="damaged in the archive (BadZipFile)"
    )
    assert pairs(found[:4] + found[5:]) == PACKED[:4] + PACKED[5:]


def test_a_row_without_bytes_is_reported_alone(members_of):
    rows = [
        {"bytes": b"1", "path": "a.flac"},
        {"bytes": None, "path": "b.flac"},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"5", "path": None},
        {"bytes": b"", "path": "C:\\data\\e.flac"},
    ]
    found = members_of(table_bytes(table(rows, video_id=list("uvwxyz"))), "parquet")
    names = ["a.flac", "b.flac", "w.flac", "x.flac", "y.flac", "e.flac"]
    assert [member.name for member in found] == names
    assert [member.content for member in found] == [b"1", b"", b"", b"", b"5", b""]
    problem = "no bytes in its row"
    assert [member.problem for member in found] == [None, problem, problem, problem, None, None]


def test_a_table_of_another_kind_is_refused(refused):
    other = table_bytes(pl.DataFrame({"sound": [b"1"]}))
    refused(other, "parquet", "archive: expected a column audio of .*, found sound: Binary")
    odd = pl.DataFrame({"audio": [{"bytes": "text", "path": "a"}]})
    refused(table_bytes(odd), "parquet", "expected a column audio of .* found audio: Struct")
    rows = [{"bytes": b"1", "path": None}]
    refused(table_bytes(table(rows)), "parquet", "row 0: expected a path in audio or a video_id")
    refused(table_bytes(table(rows, video_id=[1])), "parquet", "expected video_id of String")
    rows = [{"bytes": b"1", "path": path} for path in ("a/somebody", "b/somebody")]
    refused(table_bytes(table(rows)), "parquet", "two members have the same name")
    rows = [{"bytes": b"1", "path": ".."}]
    refused(table_bytes(table(rows)), "parquet", "row 0: expected a path without")


def test_what_is_no_archive_is_refused(tmp_path, refused):
    refused(b"no archive", "zip", "archive: expected a zip archive")
    refused(b"no archive" * 100, "tar", "archive: expected a tar archive, .*: invalid header")
    refused(gzip.compress(b"no archive" * 100), "tar", "archive: expected a tar archive")
    refused(b"no archive", "parquet", "archive: expected a Parquet table")
    refused(b"\x28\xb5\x2f\xfd" + bytes(100), "tar", "found zstd; unpack it")
    for contents in ("zip", "tar", "parquet"):
        refused(b"", contents, "archive: expected a")
    with pytest.raises(BatError, match=r"absent.zip: No such file or directory"):
        list(stream_members(tmp_path / "absent.zip", "zip"))


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_a_tar_that_is_cut_anywhere_is_refused(refused, compression):
    content = COMPRESSIONS[compression](tar_bytes(PACKED))
    # A plain archive may lose some of the zeros at its end.
    needed = len(content.rstrip(b"\0")) if compression == "plain" else len(content)
    for length in random.Random(compression).sample(range(needed), 150):
        refused(content[:length], "tar", "archive: expected a tar archive, found it truncated")


@pytest.mark.parametrize("contents", ["zip", "parquet"])
def test_a_zip_or_table_that_is_cut_anywhere_is_refused(refused, contents):
    rows = [{"bytes": content, "path": name} for name, content in PACKED]
    content = zip_bytes(PACKED) if contents == "zip" else table_bytes(table(rows))
    for length in random.Random(contents).sample(range(len(content)), 150):
        refused(content[:length], contents, "archive: expected a (zip|Parquet)")


def flipped(content, rng, positions=None):
    """Return the content with one bit flipped, at one of some positions."""
    damaged = bytearray(content)
    position = rng.randrange(len(content)) if positions is None else rng.choice(positions)
    damaged[position] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def outcome(members_of, content, contents):
    """Return the sound members of a damaged archive and whether its damage was told."""
    try:
        found = members_of(content, contents)
    except BatError:
        return [], True
    sound = [(member.name, member.content) for member in found if member.problem is None]
    return sound, len(sound) < len(found)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_a_flipped_bit_of_a_compressed_tar_never_changes_a_member(members_of, compression):
    content = COMPRESSIONS[compression](tar_bytes(PACKED))
    rng = random.Random(compression)
    told = 0
    for _ in range(250):
        sound, is_told = outcome(members_of, flipped(content, rng), "tar")
        assert is_told or sound == PACKED
        told += is_told
    assert told > 200


def test_a_flipped_bit_in_a_header_of_a_tar_is_told(members_of):
    content = tar_bytes(PACKED)
    rng = random.Random(0)
    starts = [content.index(name.encode()) for name, _ in PACKED]
    positions = [start + offset for start in starts for offset in range(512)]
    told = 0
    for _ in range(250):
        sound, is_told = outcome(members_of, flipped(content, rng, positions), "tar")
        assert is_told or sound == PACKED
        told += is_told
    assert told > 200


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_of_a_zip_never_changes_a_member(members_of, compression):
    content = zip_bytes(PACKED, compression)
    rng = random.Random(compression)
    for _ in range(400):
        sound, is_told = outcome(members_of, flipped(content, rng), "zip")
        assert is_told or sound == PACKED
        assert set(sound) <= set(PACKED)


def test_a_flipped_bit_of_a_table_ends_in_rows_or_a_refusal(members_of):
    """A table has no checksums, so its contents may differ; nothing worse may happen."""
    rows = [{"bytes": content, "path": name} for name, content in PACKED]
    content = table_bytes(table(rows))
    rng = random.Random(0)
    refusals = 0
    for _ in range(250):
        sound, is_told = outcome(members_of, flipped(content, rng), "parquet")
        refusals += is_told
        assert is_told or len(sound) == len(PACKED)
    assert refusals > 0
