"""The post-norm transformer block with gated attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bat.compat  # noqa: F401  (makes timm importable beside a CPU-only torch)
from bat.errors import BatError

# isort: split
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp

NORM_EPS = 1e-6
# On a CPU, short sequences attend faster by plain products (1.2x at 56 tokens) than by the fused
# kernel, which moreover is ten times slower where oneDNN computes float32 products.
EXPLICIT_ATTENTION_TOKENS = 128


def initialise(module: nn.Module) -> None:
    """Initialise a linear layer: Xavier-uniform weight, zero bias. For ``nn.Module.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def attention_weights(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the softmax of scaled products, [B, H, N, N]: query, then key."""
    return torch.softmax((queries * queries.shape[-1] ** -0.5) @ keys.transpose(-2, -1), dim=-1)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return scaled dot-product attention [B, H, N, d] by the faster of two equal ways."""
    if queries.device.type == "cpu" and queries.shape[-2] <= EXPLICIT_ATTENTION_TOKENS:
        return attention_weights(queries, keys) @ values
    return F.scaled_dot_product_attention(queries, keys, values)


class GatedAttention(nn.Module):
    """Multi-head self-attention whose output passes an elementwise gate.

    ``W_o(softmax(QK'/sqrt(d)) V * sigmoid(W_g x + b_g))``, the gate computed from the block's
    input x. Without the gate it is plain self-attention.

    Parameters
    ----------
    width, heads : int
        Token width D and number of heads; D must be divisible by the number of heads.
    gated : bool
        Whether there is a gate.
    """

    def __init__(self, *, width: int, heads: int, gated: bool) -> None:
        super().__init__()
        if width % heads:
            raise BatError(f"attention: width {width} is not divisible by {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.gate = nn.Linear(width, width) if gated else None

    def _queries_keys_values(self, x_BND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each [B, H, N, D/H]."""
        qkv: Tensor = self.qkv(x_BND)
        split = qkv.view(*x_BND.shape[:2], 3, self.heads, -1)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        return queries, keys, values

    def forward(self, x_BND: Tensor) -> Tensor:
        """Attend over the tokens [B, N, D] of each sample."""
        return self._project(attend(*self._queries_keys_values(x_BND)), x_BND)

    def with_queries(self, x_BND: Tensor, extra_BqD: Tensor) -> tuple[Tensor, Tensor]:
        """Attend over the tokens, and let extra queries attend over them too.

        The extra queries give neither keys nor values: they see the tokens and are seen by none.

        Returns
        -------
        tuple of Tensor
            Attention's output for the tokens, [B, N, D], as of ``forward``, and for the extra
            queries, [B, q, D].
        """
        queries, keys, values = self._queries_keys_values(x_BND)
        width = self.proj.out_features
        extra = F.linear(extra_BqD, self.qkv.weight[:width], self.qkv.bias[:width])
        extra = extra.view(*extra_BqD.shape[:2], self.heads, -1).transpose(1, 2)
        return (
            self._project(attend(queries, keys, values), x_BND),
            self._project(attend(extra, keys, values), extra_BqD),
        )

    def _project(self, mixed_BHNd: Tensor, x_BND: Tensor) -> Tensor:
        """Join the heads, apply the gate of the inputs x and project."""
        mixed = mixed_BHNd.transpose(1, 2).flatten(2)
        if self.gate is not None:
            mixed = mixed * torch.sigmoid(self.gate(x_BND))
        out: Tensor = self.proj(mixed)
        return out

    def weights(self, x_BND: Tensor) -> Tensor:
        """Return the attention maps [B, H, N, N]: query, then key; each row sums to one."""
        queries, keys, _ = self._queries_keys_values(x_BND)
        return attention_weights(queries, keys)


class PostNormBlock(nn.Module):
    """Transformer block with the normalisation after each residual sum.

    ``x = LN1(x + Attn(x)); x = LN2(x + MLP(x))``.

    Parameters
    ----------
    width, heads : int
        Token width D and number of attention heads.
    mlp_ratio : float
        Hidden width of the MLP over D.
    gated : bool
        Whether the attention has a gate.
    drop_path : float
        Probability of leaving out a residual branch in training.
    """

    def __init__(
        self, *, width: int, heads: int, mlp_ratio: float, gated: bool, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.attn = GatedAttention(width=width, heads=heads, gated=gated)
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, hidden_features=int(width * mlp_ratio))
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.drop_path = DropPath(drop_path)

    def forward(self, x_BND: Tensor) -> Tensor:
        """Transform tokens [B, N, D]."""
        return self.with_mlp_output(x_BND)[0]

    def with_mlp_output(self, x_BND: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and its MLP's output before residual and LN2."""
        return self._after_attention(x_BND, self.attn(x_BND))

    def with_queries(self, x_BND: Tensor, extra_BqD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output for its tokens, [B, N, D], and for extra queries, [B, q, D].

        The queries read the tokens and pass the whole block; the tokens do not see them.
        """
        attended, extra = self.attn.with_queries(x_BND, extra_BqD)
        return (
            self._after_attention(x_BND, attended)[0],
            self._after_attention(extra_BqD, extra)[0],
        )

    def _after_attention(self, x_BND: Tensor, attended_BND: Tensor) -> tuple[Tensor, Tensor]:
        x_BND = self.norm1(x_BND + self.drop_path(attended_BND))
        mlp_BND: Tensor = self.mlp(x_BND)
        return self.norm2(x_BND + self.drop_path(mlp_BND)), mlp_BND
