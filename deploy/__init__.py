"""Composition root: puts assets, jobs, schedules, sensors and resources together, and launches retrainings."""
