"""Training curves of pretraining: one row per logged step."""

import polars as pl

CURVES = pl.DataFrame(
    schema={
        "step": pl.Int64,
        "global_loss": pl.Float64,
        "local_loss": pl.Float64,
        "learning_rate": pl.Float64,
        "ema_decay": pl.Float64,
        "gradient_norm": pl.Float64,
        # the collapse monitor, see bat.pretraining.collapse
        "target_clip_variance": pl.Float64,
        "target_token_variance": pl.Float64,
        "cls_target_variance": pl.Float64,
        "embedding_variance": pl.Float64,
    }
)
