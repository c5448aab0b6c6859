"""What backtests and cross-validations of policies found, as documents: figures without a verdict."""
