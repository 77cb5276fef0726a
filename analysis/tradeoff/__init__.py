"""The reconstruction-disentanglement trade-off in numbers: pure functions on tidy frames, nothing drawn."""
