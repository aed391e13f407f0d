"""What an encoder hands to a probe: the tokens of every block."""

from dataclasses import dataclass

from torch import Tensor

from bat.errors import BatError


@dataclass(frozen=True)
class Tokens:
    """Tokens of all encoder blocks for a batch of clips.

    Attributes
    ----------
    cls : Tensor [L, B, D]
        The CLS token after each of the L blocks.
    patches : Tensor [L, B, D, T, F]
        The patch tokens after each block on their grid of T time and F frequency patches.

    Raises
    ------
    BatError
        If the two tensors do not belong together.
    """

    cls: Tensor
    patches: Tensor

    def __post_init__(self) -> None:
        cls, patches = ([*getattr(tokens, "shape", ())] for tokens in (self.cls, self.patches))
        if len(patches) != 5 or cls != patches[:3]:
            raise BatError(
                "tokens: expected cls [L, B, D] and patches [L, B, D, T, F] of equal L, B, D, "
                f"found {cls or 'none'} and {patches or 'none'}"
            )

    @property
    def clips(self) -> int:
        """Number of clips B."""
        return self.cls.shape[1]

    def select(self, clips: Tensor | slice) -> "Tokens":
        """Return the tokens of some clips (an index tensor or a slice of the batch axis)."""
        return Tokens(cls=self.cls[:, clips], patches=self.patches[:, clips])

    def float(self) -> "Tokens":
        """Return the tokens in float32."""
        return Tokens(cls=self.cls.float(), patches=self.patches.float())
