"""The command line: `toto-ops retrain | data | predict | registry | dev | mlflow | tensorboard`."""

from toto_ops.cli.app import app

__all__ = ["app"]
