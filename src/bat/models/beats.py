"""The encoder of BEATs, a baseline: relative positions instead of a position table, no CLS token.

Source: Chen et al., *BEATs: Audio Pre-Training with Acoustic Tokenizers* (2023), whose encoder
takes its convolutional positions from wav2vec 2.0, its gated relative position bias from WavLM
and its residuals and initialisation from DeepNet.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bat.compat  # noqa: F401  (makes timm importable beside a CPU-only torch)
from bat.errors import BatError
from bat.models.base import GridEncoder, frequency_patches
from bat.models.tokens import Tokens

# isort: split
from timm.layers.drop import DropPath

# Outputs of the linear map behind the gate of the position bias: two groups, each summed.
_GATE_GROUPS, _GATE_GROUP_SIZE = 2, 4


def relative_buckets(tokens: int, *, buckets: int, maximum_distance: int) -> Tensor:
    """Return the bucket of the distance from each query to each key.

    Half of the buckets are for keys after the query. Of each half, the first half counts single
    distances, the second grows logarithmically up to the maximum distance, beyond which all
    distances share the last bucket.

    Parameters
    ----------
    tokens : int
        Length N of the sequence.
    buckets : int
        Number of buckets.
    maximum_distance : int
        Distance in tokens from which on there is one bucket.

    Returns
    -------
    Tensor [N, N], int64
        Query, then key.
    """
    side = buckets // 2
    exact = side // 2
    places = torch.arange(tokens)
    offset = places[None, :] - places[:, None]
    distance = offset.abs()
    # float32 as in training: a distance at a bucket's edge falls where it fell there.
    grown = torch.log(distance.clamp(min=1).float() / exact) / math.log(maximum_distance / exact)
    logarithmic = (exact + (grown * (side - exact)).long()).clamp(max=side - 1)
    return torch.where(distance < exact, distance, logarithmic) + side * (offset > 0)


class ConvolutionalPositions(nn.Module):
    """Grouped convolution over the sequence whose output is added as position.

    The weight is normalised over everything but the kernel axis: one learned length ``weight_g``
    per place of the kernel. An even kernel gives one output too many; the last is dropped.
    """

    def __init__(self, *, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        if width % groups:
            raise BatError(f"positions: width {width} is not divisible by {groups} groups")
        deviation = math.sqrt(4 / (kernel * width))
        self.groups = groups
        self.weight_v = nn.Parameter(torch.randn(width, width // groups, kernel) * deviation)
        self.weight_g = nn.Parameter(self._lengths().detach())
        self.bias = nn.Parameter(torch.zeros(width))

    def _lengths(self) -> Tensor:
        lengths: Tensor = torch.linalg.vector_norm(self.weight_v, dim=(0, 1), keepdim=True)
        return lengths

    def forward(self, x_BND: Tensor) -> Tensor:
        """Return the positions [B, N, D] of a sequence [B, N, D]."""
        kernel = self.weight_v.shape[2]
        weight = self.weight_g * self.weight_v / self._lengths()
        positions = F.conv1d(
            x_BND.transpose(1, 2), weight, self.bias, padding=kernel // 2, groups=self.groups
        )
        return F.gelu(positions[..., : x_BND.shape[1]]).transpose(1, 2)


class RelativeAttention(nn.Module):
    """Self-attention with a learned bias of relative position, gated per head and query.

    A linear map of the head's query, summed in two groups and passed through a sigmoid, gives a
    and b; with c learned per head the bias is multiplied by ``a * (b * c - 1) + 2``.

    Parameters
    ----------
    width, heads : int
        Token width D and number of heads H.
    bias_table : Embedding
        Bias of each bucket and head; all blocks share it.
    """

    def __init__(self, *, width: int, heads: int, bias_table: nn.Embedding) -> None:
        super().__init__()
        if width % heads:
            raise BatError(f"attention: width {width} is not divisible by {heads} heads")
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.grep_linear = nn.Linear(width // heads, _GATE_GROUPS * _GATE_GROUP_SIZE)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.relative_attention_bias = bias_table

    def forward(self, x_BND: Tensor, bias_HNN: Tensor) -> Tensor:
        """Attend over the tokens [B, N, D]; the bias is that of relative position, ungated."""
        queries, keys, values = (
            projection(x_BND).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        bias_BHNN = self._gate(queries) * bias_HNN
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=bias_BHNN.to(queries.dtype)
        )
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _gate(self, queries_BHNd: Tensor) -> Tensor:
        """Return the multiplier of the bias, [B, H, N, 1]."""
        groups = self.grep_linear(queries_BHNd).unflatten(-1, (_GATE_GROUPS, _GATE_GROUP_SIZE))
        a, b = torch.sigmoid(groups.sum(dim=-1, keepdim=True)).unbind(dim=-2)
        gate: Tensor = a * (b * self.grep_a - 1) + 2
        return gate


class BeatsBlock(nn.Module):
    """Post-norm block with deep-norm residuals: ``x = LN(alpha * x + f(x))``.

    Parameters
    ----------
    attention : RelativeAttention
        The block's attention.
    width, mlp_width : int
        Width D of the tokens and of the MLP's hidden layer.
    residual_scale : float
        The residual's factor alpha.
    drop_path : float
        Probability of leaving out a residual branch in training.
    """

    def __init__(
        self,
        attention: RelativeAttention,
        *,
        width: int,
        mlp_width: int,
        residual_scale: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.self_attn = attention
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x_BND: Tensor, bias_HNN: Tensor) -> Tensor:
        """Transform tokens [B, N, D] under a bias of relative position [H, N, N]."""
        attended = self.drop_path(self.self_attn(x_BND, bias_HNN))
        x_BND = self.self_attn_layer_norm(self.residual_scale * x_BND + attended)
        mlp = self.drop_path(self.fc2(F.gelu(self.fc1(x_BND))))
        out: Tensor = self.final_layer_norm(self.residual_scale * x_BND + mlp)
        return out


class _Layers(nn.Module):
    """Positions, norm and blocks: what stands under ``encoder`` in the released checkpoint."""

    def __init__(self, positions: nn.Module, norm: nn.Module, layers: list[BeatsBlock]) -> None:
        super().__init__()
        self.pos_conv = nn.Sequential(positions)
        self.layer_norm = norm
        self.layers = nn.ModuleList(layers)


class BeatsEncoder(GridEncoder):
    """Encoder of BEATs; the mean over the patches of each block takes the place of CLS.

    Parameter names are those of the released checkpoint, so that its weights load strictly. The
    one table of position biases has a name under every block.

    Parameters
    ----------
    width, depth, heads : int
        Token width D, number of blocks L, attention heads H (released: 768, 12, 12).
    mlp_width : int
        Hidden width of the MLP (released: 3072).
    patch_width : int
        Width of the embedded patches before the linear map to D (released: 512).
    patch_size : int
        Side of a patch in frames and mel bins.
    mel_bins : int
        Mel bins of the spectrogram, a multiple of the patch size.
    position_kernel, position_groups : int
        Kernel and groups of the convolutional positions.
    buckets, maximum_distance : int
        Size of the table of relative positions; see ``relative_buckets``.
    grid_time_patches : int
        Time patches that are encoded at once. A longer input is encoded in chunks.
    drop_path : float
        Stochastic depth of the last block; it grows linearly from zero at the first.

    Raises
    ------
    BatError
        If widths, heads, groups or mel bins do not divide as they must.

    Notes
    -----
    Weights are initialised from torch's global random generator: seed it first.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        mlp_width: int,
        patch_width: int,
        patch_size: int = 16,
        mel_bins: int = 128,
        position_kernel: int = 128,
        position_groups: int = 16,
        buckets: int = 320,
        maximum_distance: int = 800,
        grid_time_patches: int = 64,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        _check_buckets(buckets, maximum_distance)
        self.width, self.depth, self.patch_size = width, depth, patch_size
        self.frequency_patches = frequency_patches(mel_bins=mel_bins, patch_size=patch_size)
        self.grid_time_patches = grid_time_patches
        self.buckets, self.maximum_distance = buckets, maximum_distance
        self.patch_embedding = nn.Conv2d(1, patch_width, patch_size, patch_size, bias=False)
        self.layer_norm = nn.LayerNorm(patch_width)
        self.post_extract_proj = nn.Linear(patch_width, width)
        bias_table = nn.Embedding(buckets, heads)
        blocks = [
            BeatsBlock(
                RelativeAttention(width=width, heads=heads, bias_table=bias_table),
                width=width,
                mlp_width=mlp_width,
                residual_scale=(2 * depth) ** 0.25,
                drop_path=drop_path * block / max(1, depth - 1),
            )
            for block in range(depth)
        ]
        positions = ConvolutionalPositions(
            width=width, kernel=position_kernel, groups=position_groups
        )
        self.encoder = _Layers(positions, nn.LayerNorm(width), blocks)
        self._initialise()

    def _encode_chunk(self, spectrogram: Tensor) -> Tokens:
        patches_BND = self.patch_embedding(spectrogram).flatten(2).transpose(1, 2)
        x = self.post_extract_proj(self.layer_norm(patches_BND))
        x = self.encoder.layer_norm(x + self.encoder.pos_conv(x))
        bias_HNN = self._position_bias(x.shape[1])
        outputs = []
        for block in self.encoder.layers:
            x = block(x, bias_HNN)
            outputs.append(x)
        return self._tokens(torch.stack(outputs))

    def _position_bias(self, tokens: int) -> Tensor:
        """Return the bias of each relative position, [H, N, N]: query, then key."""
        table = self._blocks()[0].self_attn.relative_attention_bias
        buckets = relative_buckets(
            tokens, buckets=self.buckets, maximum_distance=self.maximum_distance
        )
        bias: Tensor = table(buckets.to(table.weight.device))
        return bias.permute(2, 0, 1)

    def _blocks(self) -> list[BeatsBlock]:
        return cast(list[BeatsBlock], list(self.encoder.layers))

    def _initialise(self) -> None:
        """Initialise as DeepNet does: weights behind a residual are scaled down with depth."""
        gain = (8 * self.depth) ** -0.25
        for linear in (m for m in self.modules() if isinstance(m, nn.Linear)):
            nn.init.xavier_normal_(linear.weight)
            nn.init.zeros_(linear.bias)
        for block in self._blocks():
            attention = block.self_attn
            for linear in (attention.v_proj, attention.out_proj, block.fc1, block.fc2):
                nn.init.xavier_normal_(linear.weight, gain=gain)
        nn.init.normal_(self._blocks()[0].self_attn.relative_attention_bias.weight, std=0.02)


def _check_buckets(buckets: int, maximum_distance: int) -> None:
    if buckets < 4 or buckets % 4 or maximum_distance <= buckets // 4:
        raise BatError(
            "relative positions: expected a multiple of 4 buckets and a maximum distance above a "
            f"quarter of them, found {buckets} buckets and maximum distance {maximum_distance}"
        )
