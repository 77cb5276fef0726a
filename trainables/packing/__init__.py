"""Many trials on one device as one: `pack` holds them, `stack` trains them together, `network` is their arithmetic."""
