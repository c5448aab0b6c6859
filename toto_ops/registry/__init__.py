"""MLflow runs and models, ONNX export, promotion, rollback and freeze, the diary of all that, and the lineage page."""
