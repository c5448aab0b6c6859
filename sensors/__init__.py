"""Schedules and sensors: thin. What they decide is decided in the library, in `toto_ops.monitoring` and `toto_ops.pipeline`."""
