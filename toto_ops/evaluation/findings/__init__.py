"""What is found of a policy beside its returns: accuracies, hard times and round trips, and the documents that say so."""
