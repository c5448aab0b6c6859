"""Causal features per bar, the 34-feature state and the aligned panel."""
