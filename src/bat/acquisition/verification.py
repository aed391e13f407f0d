"""Compare what was acquired with what the catalogue knows of it beyond whole files."""

import hashlib

from bat.acquisition.catalogue import PublishedDataset
from bat.data.sources import Source
from bat.errors import BatError


def check_members(dataset: PublishedDataset, source: Source) -> None:
    """Compare files of an unpacked data set with the checksums that the catalogue has of them.

    Raises
    ------
    BatError
        If such a file is absent or another.
    """
    for member in dataset.members:
        found = [name for name in source.names if f"/{name}".endswith(f"/{member.path}")]
        if len(found) != 1:
            raise BatError(f"{dataset.name}: expected one file {member.path}, found {len(found)}")
        md5 = hashlib.md5(source.read(found[0]), usedforsecurity=False).hexdigest()
        if md5 != member.md5:
            raise BatError(f"{found[0]}: expected md5 {member.md5}, found {md5}")
