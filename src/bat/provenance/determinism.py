"""How exactly a rebuild repeats a stage, as the stage itself declares it.

``bitwise``
    The same bytes with the same software, on any machine.
``bitwise-same-hardware``
    The same bytes on the same kind of processor with the same number of threads. Elsewhere sums are
    taken in another order, and what follows is within the stage's tolerance.
``tolerance``
    Within the stage's tolerance everywhere.
``stochastic``
    Of the same form; the content is another one each time.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a rebuilt number may be from the one on record.

    A number ``b`` repeats ``a`` if ``|a - b| <= absolute + relative * |a|``.

    Attributes
    ----------
    absolute
        In the unit of the number.
    relative
        As a share.
    """

    absolute: float = 0.0
    relative: float = 0.0


EXACT = Tolerance()
