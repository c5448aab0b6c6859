"""Schedules and sensors: thin. What they decide is decided in the library, by `toto_ops.pipeline.retraining_decision`."""
