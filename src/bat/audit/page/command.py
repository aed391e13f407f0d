"""``bat audit page``: make the page."""

import os
from pathlib import Path

from bat.audit.experiment import TABLES
from bat.audit.page.gather import gather
from bat.audit.page.judgement import judged
from bat.audit.page.render import render
from bat.options import Common
from bat.progress import readable_bytes


def write_page(out: Path, *, params: Path = Common.params) -> None:
    """Gather what there is and write the page; a reader never sees half of one.

    Parameters
    ----------
    out
        The page's file.
    params
        Parameter file of the experiment.

    Raises
    ------
    BatError
        Where there is no table yet.
    """
    named = None if params == Common.params else params.as_posix()
    data = gather(params=named, judgement=judged(params, TABLES))
    text = render(data)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}-{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(out)
    print(  # noqa: T201
        f"{out}: {len(data.cells)} numbers, {len(data.records)} records, "
        f"{len(data.claims)} claims, {len(data.problems)} problems, "
        f"{readable_bytes(out.stat().st_size)}"
    )
