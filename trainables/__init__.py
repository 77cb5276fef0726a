"""What one trial is, and how it is scored; knows nothing of studies."""
