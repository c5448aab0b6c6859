"""Weights of earlier models: found, judged by what they recorded, and taken over where they fit."""
