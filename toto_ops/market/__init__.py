"""Bars: sources, schema, calendars, storage, quality and the snapshot a retraining works on."""
