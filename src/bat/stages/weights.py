"""Fetch the published weights of an encoder."""

from bat.acquisition.catalogue import published_weights
from bat.acquisition.listing import list_weights
from bat.acquisition.network import Network, public
from bat.acquisition.transfer import fetch
from bat.provenance.job import Job
from bat.settings import WeightsSettings
from bat.stages.scratch import discard_scratch, hand_over, scratch_of

DETERMINISM = "bitwise"


def run(job: Job, settings: WeightsSettings) -> None:
    """Write ``weights``, the checkpoint as it was published, and ``files.json``: which it is."""
    network = Network.from_environment()
    listed = list_weights(published_weights(settings.name), network=network)
    (remote,) = listed.files
    fetched = fetch(remote, scratch_of(job), network)
    hand_over(fetched.path, job.output("weights"))
    job.write_json(
        "files.json",
        {
            "revision": listed.revision,
            "files": [
                {
                    "name": remote.name,
                    "url": public(remote.urls[0]),
                    "bytes": fetched.bytes,
                    "sha256": fetched.sha256,
                }
            ],
        },
    )
    job.afterwards(lambda: discard_scratch(job))
