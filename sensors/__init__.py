"""Schedules and sensors: thin. What they decide is decided by pure functions in `toto_ops.monitoring`."""
