"""Specialists: the generic forecaster's head adapted to single symbols, where that is better."""
