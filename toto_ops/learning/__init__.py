"""What every training needs, whatever it trains: spans of time, checkpoints, epochs, seeds."""
