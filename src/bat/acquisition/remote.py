"""One file that somebody publishes, and what is known of it before it is fetched."""

from dataclasses import dataclass

from bat.data.archive import Contents


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch.

    Attributes
    ----------
    name : str
        Relative path with forward slashes, unique among the files of a data set's mirror. It names
        the file on disk and in records.
    urls : tuple of str
        Addresses of the same bytes, tried in order: the primary one, then archives of it.
    bytes : int or None
        Size, where it is known beforehand.
    sha256, md5 : str or None
        Checksums, where one is published; in lower-case hexadecimal.
    contents : {"zip", "tar", "parquet", "file"}
    into : str
        Folder of the data set's published layout that the contents belong to; "" for the top.
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    contents: Contents = "file"
    into: str = ""
