"""Dagster assets: thin adapters that call one step of `toto_ops.pipeline` each and show what it made."""
