"""Say what became of every entry in the lists of an acquired data set."""

from bat.data.archive import open_archive
from bat.data.ledger import LEDGER_SCHEMA, account, pcm_index
from bat.data.pcm_store import PCM_INDEX_SCHEMA
from bat.data.recordings import RECORDINGS_SCHEMA
from bat.data.sources import AcquiredSource
from bat.data.tables import read_table, write_table
from bat.provenance.job import Job
from bat.settings import AccountSettings
from bat.stages.ledgers import check_usable, freeze_ledger, listing_of

DETERMINISM = "bitwise"


def run(job: Job, settings: AccountSettings) -> None:
    """Write ``ledger.parquet``, and ``index.parquet``: where the usable recordings' PCM lies."""
    recordings = read_table(job.path("recordings"), RECORDINGS_SCHEMA)
    with open_archive(job.path("lists")) as lists:
        source = AcquiredSource(lists, recordings["file"])
        listing = listing_of(settings.layout, source)
    ledger = account(
        listing.entries,
        recordings,
        minimum_duration_s=settings.minimum_duration_s,
        excludes=settings.excludes,
        excluded=settings.excluded,
    )
    check_usable(ledger, listing, settings.maximum_bad_share)
    metadata = listing.label_order.metadata()
    write_table(ledger, job.output("ledger.parquet"), LEDGER_SCHEMA, metadata=metadata)
    index = pcm_index(ledger, recordings, rate_hz=settings.rate_hz)
    write_table(index, job.output("index.parquet"), PCM_INDEX_SCHEMA)
    job.afterwards(lambda: freeze_ledger(job))
