"""The paper's experiments: what a study of one of them says."""
