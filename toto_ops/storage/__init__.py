"""Content-addressed artefacts, the index of what each retraining used, and the hashes both rest on."""
