"""What a step of pretraining computes, in closed form: for its utilisation and for plans.

Products of matrices and convolutions are counted, two operations per multiply-accumulate, as
``torch.utils.flop_counter`` counts them; normalisations, activations, softmax and the optimiser
are not. Torch is not needed.
"""

from dataclasses import dataclass
from typing import Literal

from bat.errors import BatError
from bat.params.models import AudioTransformer, Encoder, Pretraining, VitDecoder

# Dense bfloat16 operations per second by a part of the device's name, from the vendor's data
# sheets; the first that fits counts.
_PEAKS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "GH200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "A40": 150e12,
    "A30": 165e12,
    "L40S": 362e12,
    "L4": 121e12,
}


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A stack of transformer blocks: width D, depth, hidden width of the MLP, gate or none."""

    width: int
    depth: int
    hidden: int
    gated: bool

    def forward(self, tokens: int) -> int:
        """Operations on one sequence."""
        projections = (5 if self.gated else 4) * self.width**2  # q, k, v, output and gate
        each = projections + 2 * self.width * self.hidden
        attention = 2 * tokens**2 * self.width
        return 2 * self.depth * (tokens * each + attention)


@dataclass(frozen=True, kw_only=True)
class Convolutions:
    """The layers of the convolutional decoder on the grid of patches."""

    width: int
    depth: int
    groups: int
    kernel: int = 3

    def forward(self, tokens: int) -> int:
        """Operations on one grid of so many patches."""
        return 2 * self.depth * tokens * self.kernel**2 * self.width * self.width // self.groups


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Pretraining of one architecture on clips of one length.

    Attributes
    ----------
    encoder : Blocks
    decoder : Blocks or Convolutions
        Of its own width; a linear map leads in where that differs from the encoder's.
    patch_values : int
        Values of a patch, 256 for 16 x 16.
    patches, visible, views : int
        Patches of a clip, visible ones of a view, views of a clip.
    """

    encoder: Blocks
    decoder: Blocks | Convolutions
    patch_values: int
    patches: int
    visible: int
    views: int

    @property
    def embedding(self) -> int:
        """The patch embedding of one clip."""
        return 2 * self.patches * self.patch_values * self.encoder.width

    @property
    def teacher(self) -> int:
        """The teacher's pass over one whole clip."""
        return self.embedding + self.encoder.forward(1 + self.patches)

    @property
    def student(self) -> int:
        """The student's forward pass over all views of one clip, without the embedding."""
        inner, width = self.decoder.width, self.encoder.width
        leads_in = 2 * self.visible * width * inner if inner != width else 0
        leads_out = 2 * self.patches * inner * width
        decoder = leads_in + self.decoder.forward(self.patches) + leads_out
        return self.views * (self.encoder.forward(1 + self.visible) + decoder)

    def of(self, clips: int) -> int:
        """Floating-point operations of one step on a global batch.

        The backward pass costs twice the forward pass, except that of the patch embedding, whose
        input needs no gradient.
        """
        return clips * (self.teacher + 2 * self.embedding + 3 * self.student)


def step_cost(encoder: Encoder, pretraining: Pretraining, *, patches: int) -> StepCost:
    """Say what a step of pretraining computes on clips of so many patches.

    Raises
    ------
    BatError
        Where the encoder is of a kind that is not pretrained here.
    """
    if not isinstance(encoder, AudioTransformer):
        raise BatError(f"an encoder of kind {encoder.kind} cannot be pretrained here")
    decoder = pretraining.decoder
    return StepCost(
        encoder=_blocks(encoder, gated=encoder.gated),
        decoder=_blocks(decoder, gated=True)
        if isinstance(decoder, VitDecoder)
        else Convolutions(width=encoder.width, depth=decoder.depth, groups=decoder.groups),
        patch_values=encoder.patch_size**2,
        patches=patches,
        visible=int((1 - pretraining.mask_ratio) * patches),
        views=pretraining.views,
    )


def _blocks(stack: AudioTransformer | VitDecoder, *, gated: bool) -> Blocks:
    hidden = int(stack.width * stack.mlp_ratio)
    return Blocks(width=stack.width, depth=stack.depth, hidden=hidden, gated=gated)


def peak_flops(device: str, precision: Literal["float32", "bfloat16"]) -> float | None:
    """Return the operations per second that a device could do; None where that is not known.

    Parameters
    ----------
    device : str
        Its name as its driver gives it, e.g. ``NVIDIA H100 80GB HBM3``.
    precision : {"float32", "bfloat16"}
        Known for bfloat16 only.
    """
    if precision != "bfloat16":
        return None
    return next((peak for name, peak in _PEAKS.items() if name in device), None)
