"""Which trials, where, at what price."""
