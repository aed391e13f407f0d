"""Training curves of pretraining: one row per logged step."""

import polars as pl

CURVES = pl.DataFrame(
    schema={
        "step": pl.Int64,
        "global_loss": pl.Float64,
        "local_loss": pl.Float64,
        "learning_rate": pl.Float64,
        "ema_decay": pl.Float64,
    }
)
