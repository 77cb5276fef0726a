"""What a study says: frames, statistics, figures and the report. Imports neither ray nor torch."""
