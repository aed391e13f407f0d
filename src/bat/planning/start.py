"""Where the work of a run starts."""

from enum import StrEnum


class Start(StrEnum):
    """What is taken as given: nothing, encoders, their tokens too, or every measured number."""

    SOURCE = "source"
    CHECKPOINT = "checkpoint"
    EMBEDDINGS = "embeddings"
    METRICS = "metrics"
