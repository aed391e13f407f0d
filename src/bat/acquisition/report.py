"""Print the catalogue, and what its addresses answered."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bat.acquisition.catalogue import (
    Catalogue,
    HubMirror,
    Mirror,
    PackageMirror,
    Pattern,
    Published,
    PublishedDataset,
    PublishedFile,
    known_bytes,
    own_files,
)
from bat.acquisition.contact import Contact, contact_all
from bat.acquisition.network import Network
from bat.errors import BatError
from bat.progress import readable_bytes

# Lines are not cut where nobody looks: a program reads them.
_PIPED_WIDTH = 10_000


def print_sources(
    catalogue: Catalogue,
    name: str | None = None,
    *,
    as_json: bool = False,
    console: Console | None = None,
) -> None:
    """Print all data sets and weights as a table, or everything about one.

    Parameters
    ----------
    catalogue : Catalogue
    name : str, optional
        Of a data set or weights.
    as_json : bool
        Print what the catalogue has, for programs.
    console : Console, optional
        Where to; standard output by default.

    Raises
    ------
    BatError
        If there is no entry of that name.
    """
    console = console or _console()
    if as_json:
        shown = catalogue if name is None else catalogue.entry(name)
        _print_json(console, shown.model_dump(mode="json"))
    elif name is None:
        console.print(_overview(catalogue))
    else:
        _print_entry(console, catalogue.entry(name))


def print_contacts(
    catalogue: Catalogue,
    network: Network,
    name: str | None = None,
    *,
    as_json: bool = False,
    console: Console | None = None,
) -> None:
    """Ask every address, of all entries or of one, and print what came back.

    Raises
    ------
    BatError
        After printing, if an address does not answer or has another size than expected; and if
        there is no entry of that name.
    """
    console = console or _console()
    entries = catalogue.entries if name is None else [catalogue.entry(name)]
    contacts = contact_all(entries, network)
    if as_json:
        _print_json(console, [_plain(contact) for contact in contacts])
    else:
        console.print(_answers(contacts))
    bad = [contact for contact in contacts if not contact.good]
    if bad:
        raise BatError(
            f"{len(bad)} of {len(contacts)} addresses do not answer as expected, the first is "
            f"{bad[0].file} of {bad[0].entry}; take another mirror (bat sources {bad[0].entry})"
        )


def _console() -> Console:
    """Write to standard output; where that is a file or a pipe, with whole lines."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)


def _print_json(console: Console, content: object) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _plain(contact: Contact) -> dict[str, object]:
    return asdict(contact) | {"size_agrees": contact.size_agrees, "good": contact.good}


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _overview(catalogue: Catalogue) -> Table:
    table = _table("name", "kind", "mirrors", "size", "licence", "recordings")
    for entry in catalogue.entries:
        table.add_row(
            entry.name,
            "data set" if isinstance(entry, PublishedDataset) else "weights",
            ", ".join(mirror.name for mirror in entry.mirrors),
            readable_bytes(known_bytes(entry.mirrors[0])),
            escape(entry.licence),
            _counts(entry.counts, entry.recordings) if isinstance(entry, PublishedDataset) else "",
        )
    return table


def _counts(counts: Mapping[str, int], total: int) -> str:
    if not counts:
        return f"{total:,}"
    return ", ".join(f"{part} {count:,}" for part, count in counts.items())


def _print_entry(console: Console, entry: Published) -> None:
    console.print(f"{entry.name}: {entry.title}", style="bold", markup=False)
    about = {"homepage": entry.homepage, "licence": entry.licence, "citation": entry.citation}
    if isinstance(entry, PublishedDataset):
        about |= _facts(entry)
    else:
        about |= {"layout": entry.layout}
    _print_lines(console, about | {"notes": entry.notes}, indent=2)
    for mirror in entry.mirrors:
        default = " (default)" if mirror is entry.mirrors[0] else ""
        console.print(f"\n  mirror {mirror.name}{default}", style="bold", markup=False)
        _print_lines(console, _mirror_lines(mirror), indent=4)


def _facts(dataset: PublishedDataset) -> dict[str, str]:
    facts = {"recordings": _counts(dataset.counts, dataset.recordings)}
    facts |= {f"label order {name}": text for name, text in dataset.label_orders.items()}
    facts |= {f"inside, {member.path}": f"md5 {member.md5}" for member in dataset.members}
    return facts | {file.name: _file(file) for file in dataset.lists}


def _mirror_lines(mirror: Mirror) -> dict[str, str | None]:
    lines: dict[str, str | None] = {"size": readable_bytes(known_bytes(mirror))}
    if mirror.counts:
        lines["recordings"] = _counts(mirror.counts, 0)
    if isinstance(mirror, HubMirror):
        lines["repository"] = f"Hugging Face {mirror.repo_type} {mirror.repo}"
        lines["revision"] = mirror.revision or "not fixed; resolved at the first contact"
        lines |= {pattern.match: _place(pattern) for pattern in mirror.patterns}
    elif isinstance(mirror, PackageMirror):
        lines["package"] = f"{mirror.package} {mirror.version}, sha256 {mirror.sha256}"
        lines[mirror.inner] = f"sha256 {mirror.inner_sha256}"
    lines |= {file.name: _file(file) for file in own_files(mirror)}
    return lines | {"notes": mirror.notes}


def _file(file: PublishedFile) -> str:
    checksums = [
        f"{kind} {value}" for kind, value in (("sha256", file.sha256), ("md5", file.md5)) if value
    ]
    facts = [
        _place(file),
        f"{file.bytes:,} bytes" if file.bytes else "size not published",
        *(checksums or ["no checksum published"]),
    ]
    return "\n".join([", ".join(facts), *file.urls])


def _place(holder: PublishedFile | Pattern) -> str:
    into = f" into {holder.into}" if holder.into else ""
    part = f", for {holder.part}" if holder.part else ""
    return f"{holder.contents}{into}{part}"


def _print_lines(console: Console, lines: Mapping[str, str | None], *, indent: int) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, text in lines.items():
        if text is not None:
            table.add_row(escape(name), escape(text))
    console.print(Padding(table, (0, 0, 0, indent)), highlight=False)


def _answers(contacts: Sequence[Contact]) -> Table:
    table = _table("", "name", "mirror", "address", "status", "size", "ranges")
    for contact in contacts:
        table.add_row(
            "ok" if contact.good else "BAD",
            contact.entry,
            contact.mirror,
            escape(contact.address),
            escape(contact.status),
            _size(contact),
            {True: "yes", False: "no", None: "not said"}[contact.ranges],
        )
    return table


def _size(contact: Contact) -> str:
    if contact.size_agrees is None:
        return readable_bytes(contact.found_bytes) if contact.found_bytes else "not said"
    if contact.size_agrees:
        return f"{contact.found_bytes:,} as expected"
    return f"{contact.found_bytes:,}, expected {contact.expected_bytes:,}"
