"""Figures of studies and trials: frames and results in, Axes out; what they show is computed elsewhere."""
