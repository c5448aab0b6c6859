"""The analysts, their weighted vote and the decision history it leaves."""
