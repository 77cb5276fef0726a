"""An objective of one's own: free bits, which let every latent carry some nats for nothing.

python study/run.py --store results/free-bits --set objective=beta_vae,examples.free_bits:free_bits --set beta=4

Source: Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow", Eq. 15.
"""

from torch import Tensor

from trainables.config import TrialConfig

FREE_NATS = 0.5
"""Of every latent."""


def free_bits(recon: Tensor, kl_per_latent: Tensor, step: int, config: TrialConfig) -> Tensor:
    """Reconstruction plus beta times the KL, in which a latent under `FREE_NATS` counts as if it were there.

    Args:
        recon: Reconstruction loss of each image, nats, shape (batch,).
        kl_per_latent: KL of each latent of each image, nats, shape (batch, latents).
        step: Completed updates.
        config: Any of its fields may be read; `--set` gives their values.
    """
    paid = kl_per_latent.mean(0).clamp(min=FREE_NATS)
    return recon.mean() + config.beta * paid.sum()
