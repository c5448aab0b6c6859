"""The steps of a retraining, in order, for one universe: plain functions that Dagster assets and scripts both call.

Each step reads what earlier steps of the same retraining recorded, reuses what is stored from the same inputs, and
records what it made. No step knows who called it.
"""
