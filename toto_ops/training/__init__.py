"""Lines of models: datasets, trainers and the trial ledger."""
