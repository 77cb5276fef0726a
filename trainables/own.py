"""One's own objective or model, by the name `package.module:attribute`, from the current folder or what is installed.

An objective is a function(recon, kl_per_latent, step, config) -> loss. A model is a class whose (image_shape, latents)
gives a `torch.nn.Module` with encode(images) -> (mean, log_std) and decode(codes) -> logits. README has examples.
"""

import hashlib
import importlib
import os
import sys
from typing import Any

from trainables.checks import ConfigError, near


def load(name: str) -> Any:
    """The attribute that `name` points to; its module is imported here and nowhere else.

    Raises:
        ConfigError: No such module, one that cannot be imported, no such attribute, or one that cannot be called.
    """
    attribute = name.partition(":")[2]
    module = _module(name)
    found = getattr(module, attribute, None)
    if found is None:
        names = [word for word in vars(module) if not word.startswith("_")]
        raise ConfigError(f"{name}: {module.__name__} has no {attribute!r}; {near(attribute, names)}")
    if not callable(found):
        raise ConfigError(f"{name} is of type {type(found).__name__}; give a function for objective, a class for model")
    return found


def source_sha256(name: str) -> str:
    """A hash of the file in which `name` is defined; a store refuses to mix trials of two of them."""
    path = _module(name).__file__
    if path is None:
        raise ConfigError(f"{name} is in a package without a file of its own; name the module")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _module(name: str) -> Any:
    path = name.partition(":")[0]
    if (here := os.getcwd()) not in sys.path:  # as for `python -m`; a study's workers run in the driver's folder
        sys.path.append(here)
    try:
        return importlib.import_module(path)
    except Exception as error:  # whatever somebody's module does while it is imported
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{name} cannot be imported from {here} ({reason}); give package.module:name") from error
