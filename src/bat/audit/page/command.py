"""``bat audit page``: make the page."""

import os
from pathlib import Path

from bat.audit.page.gather import Judgement, gather
from bat.audit.page.render import render
from bat.options import Common
from bat.progress import readable_bytes


def write_page(
    out: Path,
    *,
    root: Path = Path(),
    params: Path = Common.params,
    judgement: Judgement | None = None,
) -> None:
    """Gather what there is and write the page; a reader never sees half of one.

    Parameters
    ----------
    out
        The page's file.
    root, params, judgement
        See :func:`bat.audit.page.gather.gather`.

    Raises
    ------
    BatError
        Where there is no table yet.
    """
    named = None if params == Common.params else params.as_posix()
    data = gather(root, params=named, judgement=judgement)
    text = render(data)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}-{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(out)
    print(  # noqa: T201
        f"{out}: {len(data.cells)} numbers, {len(data.records)} records, {len(data.claims)} claims, "
        f"{len(data.problems)} problems, {readable_bytes(out.stat().st_size)}"
    )
