"""MLflow runs and models, ONNX export, promotion and rollback."""
