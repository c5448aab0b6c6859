"""Answers from the incumbent: state in, action, strength, probabilities and target weights out."""
