"""Dagster assets, checks and jobs: thin adapters that call one step of `toto_ops.pipeline` each and show what it made.

Partitioned asset checks and single-run backfills are preview and beta features of Dagster; the lock file pins the
release they were tested with, and `tests/unit/assets/test_partitioned_checks.py` says when an upgrade changes them.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=r"Specifying a partitions_def on an AssetCheckSpec")
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=r"Parameter `backfill_policy`")
