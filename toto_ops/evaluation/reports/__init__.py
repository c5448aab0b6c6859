"""Evidence, backtests and cross-validations for people to read: pages, plain text, plots and tables."""
