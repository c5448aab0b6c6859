"""The one honest judge: candidates, the contest they are measured in, criteria and gates, and the evidence with its verdict."""
