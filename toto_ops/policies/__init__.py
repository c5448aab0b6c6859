"""The Policy contract and every policy network."""
