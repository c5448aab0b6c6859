"""Money: one pure portfolio step, the backtest built on it, and the scalar reference that checks it."""
