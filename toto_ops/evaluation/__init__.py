"""The one honest judge: metrics and their intervals, baselines, gates, evidence and the report."""
