"""Decisions about the running system: what is stale, what should be retrained."""
