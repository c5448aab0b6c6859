"""A vector for every bar and symbol: what the forecaster made of its series, in the place of the market it stands in."""
