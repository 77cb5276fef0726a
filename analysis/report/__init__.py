"""The report page of a study: `python -m analysis.report STORE`."""
