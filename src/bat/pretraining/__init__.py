"""Masked latent regression: masks, targets, loss, teacher average and the training step."""
