"""What every stage that makes a ledger does with it."""

import logging

import polars as pl

from bat.data.entries import Listing
from bat.data.layouts import read_layout
from bat.data.ledger import check_bad_share, describe
from bat.data.sources import Source
from bat.data.versions import LEDGERS, freeze
from bat.errors import BatError
from bat.params.data import Layout
from bat.provenance.job import Job

_LOG = logging.getLogger(__name__)
_REASONS_SHOWN = 20


def listing_of(layout: Layout, source: Source) -> Listing:
    """Read the lists of a data set in its layout."""
    options = layout.model_dump(exclude={"kind"}, exclude_none=True)
    return read_layout(layout.kind, source, **options)


def freeze_ledger(job: Job) -> None:
    """Keep the ledger as a version of its own, if it says something new."""
    freeze(job.folder / "ledger.parquet", LEDGERS / job.selection["dataset"])


def check_usable(ledger: pl.DataFrame, listing: Listing, maximum_bad_share: float) -> None:
    """Say what is in a ledger, and refuse one with too many bad files or no usable one."""
    _LOG.info("ledger: %s", describe(ledger))
    _report_unusable(ledger)
    listed = listing.entries.select("recording_id", "origin").drop_nulls()
    origins = dict(listed.iter_rows())
    check_bad_share(ledger, max_bad_share=maximum_bad_share, origins=origins)
    if not (ledger["status"] == "ok").any():
        raise BatError(f"ledger: no usable recording ({describe(ledger)})")


def _report_unusable(ledger: pl.DataFrame) -> None:
    unusable = ledger.filter(pl.col("status") != "ok")
    for row in unusable.head(_REASONS_SHOWN).iter_rows(named=True):
        _LOG.info("not used: %s: %s: %s", row["recording_id"], row["status"], row["reason"])
    if unusable.height > _REASONS_SHOWN:
        _LOG.info("not used: %d more, see the ledger", unusable.height - _REASONS_SHOWN)
