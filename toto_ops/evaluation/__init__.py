"""The one honest judge: splits, backtests, metrics, baselines, gates and the report."""
