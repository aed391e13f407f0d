"""Seeds that depend on what is seeded, not on the order or the grain of the jobs."""

import hashlib


def derive_seed(base: int, *parts: str) -> int:
    """Return a seed in [0, 2**63) for one purpose of one run.

    Parameters
    ----------
    base
        The seed that the parameters give.
    *parts
        What it is for, e.g. the fold and ``"initialisation"``.
    """
    text = "/".join([str(base), *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
