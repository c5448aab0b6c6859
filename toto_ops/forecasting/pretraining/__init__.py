"""Fitting a forecaster: windows streamed from bars, augmented, foretold, and stopped in time."""
