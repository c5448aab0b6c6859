"""Forecasts measured against what came to be, and against forecasts that cost nothing."""
