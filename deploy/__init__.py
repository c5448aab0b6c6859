"""Composition root: puts assets, jobs, schedules, sensors and resources together, and does to Dagster what commands ask for."""
