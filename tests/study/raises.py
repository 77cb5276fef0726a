"""An objective of one's own that fails in one trial of two, every time."""

from typing import Any


def on_seed_1(recon: Any, kl_per_latent: Any, step: int, config: Any) -> Any:
    """The VAE's, but of seed 1 it raises at step 7, after two reports."""
    if config.seed == 1 and step >= 7:
        raise ArithmeticError("this trial fails every time")
    return recon.mean() + kl_per_latent.sum(1).mean()
