"""What any policy must be better than: portfolios that anyone can hold, the market itself, and the bound of perfect foresight."""
