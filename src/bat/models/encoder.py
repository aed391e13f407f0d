"""The audio transformer: spectrogram in, tokens of every block out."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

import bat.compat  # noqa: F401  (makes timm importable beside a CPU-only torch)
from bat.errors import BatError
from bat.models.base import GridEncoder, frequency_patches
from bat.models.blocks import NORM_EPS, PostNormBlock, initialise
from bat.models.positions import PositionOrder, sine_cosine_positions
from bat.models.tokens import Tokens

# isort: split
from timm.layers.patch_embed import PatchEmbed

TargetOutput = Literal["eob", "mlp"]


@dataclass(frozen=True, kw_only=True)
class VitSize:
    """Width, depth and number of heads of a vision transformer."""

    width: int
    depth: int
    heads: int


VIT_SIZES = {
    "S": VitSize(width=384, depth=12, heads=6),
    "B": VitSize(width=768, depth=12, heads=12),
    "L": VitSize(width=1024, depth=24, heads=16),
}


def _initialise_patches(convolution: nn.Conv2d) -> None:
    """Initialise the patch convolution as what it is, a linear map of each patch."""
    nn.init.xavier_uniform_(convolution.weight.flatten(1))
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


class AudioTransformer(GridEncoder):
    """Post-norm vision transformer on spectrogram patches (BAT; ungated: EAT, SSLAM).

    Parameter names are those of the released weights, so that these load with ``strict=True``.

    Parameters
    ----------
    width, depth, heads : int
        Token width D, number of blocks L, attention heads H; see ``VIT_SIZES``.
    mlp_ratio : float
        Hidden width of the MLP over D.
    gated : bool
        Gated attention (BAT) or plain attention (EAT, SSLAM).
    patch_size : int
        Side of a patch in frames and mel bins.
    mel_bins : int
        Mel bins of the spectrogram, a multiple of the patch size.
    grid_time_patches : int
        Time patches of the position grid. A longer input is encoded in chunks of this length.
    position_order : {"frequency-major", "time-major"}
        Row order of the position table; the released weights are frequency-major although their
        tokens are time-major.
    drop_path : float
        Stochastic depth of the last block; it grows linearly from zero at the first.

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
        mlp_ratio: float = 4.0,
        gated: bool = True,
        patch_size: int = 16,
        mel_bins: int = 128,
        grid_time_patches: int = 64,
        position_order: PositionOrder = "frequency-major",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.depth, self.patch_size = width, depth, patch_size
        self.frequency_patches = frequency_patches(mel_bins=mel_bins, patch_size=patch_size)
        self.grid_time_patches = grid_time_patches
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        positions = sine_cosine_positions(
            width=width,
            time_patches=grid_time_patches,
            frequency_patches=self.frequency_patches,
            order=position_order,
        )
        self.pos_embed = nn.Parameter(positions, requires_grad=False)
        self.patch_embed = PatchEmbed(
            img_size=(grid_time_patches * patch_size, mel_bins),
            patch_size=patch_size,
            in_chans=1,
            embed_dim=width,
            strict_img_size=False,
        )
        self.pre_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.blocks = nn.ModuleList(
            PostNormBlock(
                width=width,
                heads=heads,
                mlp_ratio=mlp_ratio,
                gated=gated,
                drop_path=drop_path * block / max(1, depth - 1),
            )
            for block in range(depth)
        )
        self.apply(initialise)
        _initialise_patches(self.patch_embed.proj)

    def encode_visible(self, spectrogram: Tensor, keep_BVn: Tensor) -> tuple[Tensor, Tensor]:
        """Encode only the visible patches of V masked views of each clip (the student).

        Parameters
        ----------
        spectrogram : Tensor [B, 1, time, mel]
            At most as many time patches as the position grid.
        keep_BVn : Tensor [B, V, n], int64
            Indices of the visible patches of each view.

        Returns
        -------
        tuple of Tensor
            CLS tokens [B, V, D] and visible patch tokens [B, V, n, D] of the last block.

        Raises
        ------
        BatError
            If the spectrogram or the indices have another shape.
        """
        self._check_one_grid(spectrogram)
        clips, views, visible = keep_BVn.shape
        if clips != len(spectrogram):
            raise BatError(f"masked views of {clips} clips, expected {len(spectrogram)}")
        # Embedding, positions and pre-norm act on each token alone: once per clip, not per view.
        cls_BD, patches_BND = self._embed(spectrogram)
        index = keep_BVn.flatten(1)[..., None].expand(-1, -1, self.width)
        visible_RnD = patches_BND.gather(1, index).view(clips * views, visible, self.width)
        cls_RD = cls_BD.repeat_interleave(views, dim=0)
        x = torch.cat([cls_RD[:, None], visible_RnD], dim=1)
        for block in self._blocks():
            x = block(x)
        x = x.view(clips, views, 1 + visible, self.width)
        return x[:, :, 0], x[:, :, 1:]

    def block_outputs(self, spectrogram: Tensor, target: TargetOutput = "eob") -> Tensor:
        """Return what the teacher's blocks output for the patches of whole clips.

        Parameters
        ----------
        spectrogram : Tensor [B, 1, time, mel]
            At most as many time patches as the position grid.
        target : {"eob", "mlp"}
            End of block, or the MLP's output inside the block before its residual and LN2.

        Returns
        -------
        Tensor [L, B, N, D]
            Patch tokens; CLS takes part in the attention but is not returned.
        """
        self._check_one_grid(spectrogram)
        if target not in ("eob", "mlp"):
            raise BatError(f"regression target: expected eob or mlp, found {target}")
        x = self._with_cls(*self._embed(spectrogram))
        outputs = []
        for block in self._blocks():
            x, mlp = block.with_mlp_output(x)
            outputs.append((x if target == "eob" else mlp)[:, 1:])
        return torch.stack(outputs)

    def with_queries(self, spectrogram: Tensor, queries_LqD: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole clips while queries of their own read every block.

        Each block's queries attend over the tokens that the block receives, pass the rest of the
        block and are dropped; the tokens do not see them.

        Parameters
        ----------
        spectrogram : Tensor [B, 1, time, mel]
            Time must be a multiple of the patch size.
        queries_LqD : Tensor [L, q, D]
            The q queries of each block.

        Returns
        -------
        tuple of Tensor
            CLS token of the last block, [B, D], and the queries' output of each block,
            [L, B, q, D]. Of an input with more time patches than the position grid both are
            averaged over the chunks, as CLS tokens are in ``forward``.

        Raises
        ------
        BatError
            If the spectrogram or the queries have another shape.
        """
        self._check(spectrogram)
        if queries_LqD.ndim != 3 or queries_LqD.shape[::2] != (self.depth, self.width):
            raise BatError(
                f"encoder: expected queries [{self.depth}, q, {self.width}], "
                f"found {list(queries_LqD.shape)}"
            )
        chunk_frames = self.grid_time_patches * self.patch_size
        chunks = [
            self._read_chunk(chunk, queries_LqD)
            for chunk in torch.split(spectrogram, chunk_frames, dim=2)
        ]
        cls, queries = zip(*chunks, strict=True)
        return torch.stack(cls).mean(dim=0), torch.stack(queries).mean(dim=0)

    @torch.no_grad()
    def attention(self, spectrogram: Tensor) -> Tensor:
        """Return the attention maps [L, B, H, 1+N, 1+N] of clips that fit the position grid.

        Rows are queries, columns keys; index 0 is the CLS token.
        """
        self._check_one_grid(spectrogram)
        x = self._with_cls(*self._embed(spectrogram))
        maps = []
        for block in self._blocks():
            maps.append(block.attn.weights(x))
            x = block(x)
        return torch.stack(maps)

    def _blocks(self) -> list[PostNormBlock]:
        return cast(list[PostNormBlock], list(self.blocks))

    def _embed(self, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        """Return CLS [B, D] and patch tokens [B, N, D] as the first block receives them."""
        patches: Tensor = self.patch_embed(spectrogram)
        patches = self.pre_norm(patches + self.pos_embed[:, : patches.shape[1]])
        cls_D = self.pre_norm(self.cls_token)[0, 0]
        return cls_D.expand(len(patches), -1), patches

    @staticmethod
    def _with_cls(cls_BD: Tensor, patches_BND: Tensor) -> Tensor:
        return torch.cat([cls_BD[:, None], patches_BND], dim=1)

    def _encode_chunk(self, spectrogram: Tensor) -> Tokens:
        x = self._with_cls(*self._embed(spectrogram))
        outputs = []
        for block in self._blocks():
            x = block(x)
            outputs.append(x)
        tokens_LBND = torch.stack(outputs)
        return self._tokens(tokens_LBND[:, :, 1:], cls_LBD=tokens_LBND[:, :, 0])

    def _read_chunk(self, spectrogram: Tensor, queries_LqD: Tensor) -> tuple[Tensor, Tensor]:
        x = self._with_cls(*self._embed(spectrogram))
        outputs = []
        for block, queries_qD in zip(self._blocks(), queries_LqD, strict=True):
            x, output_BqD = block.with_queries(x, queries_qD.expand(len(x), -1, -1))
            outputs.append(output_BqD)
        return x[:, 0], torch.stack(outputs)

    def _check_one_grid(self, spectrogram: Tensor) -> None:
        self._check(spectrogram)
        if spectrogram.shape[2] > self.grid_time_patches * self.patch_size:
            raise BatError(
                f"encoder: expected at most {self.grid_time_patches} time patches here, "
                f"found {spectrogram.shape[2] // self.patch_size}"
            )
