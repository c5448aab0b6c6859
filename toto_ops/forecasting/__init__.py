"""Forecasts and embeddings: backbones, the pretrained forecaster, its specialists, and a vector for every bar."""
