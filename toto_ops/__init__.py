"""toto-ops: retrains, judges and promotes trading policies.

Data flows one way through the sub-packages:
market -> features -> simulation -> policies -> analysts -> training -> evaluation -> registry -> serving.
Nothing in here imports dagster; `assets`, `sensors` and `deploy` adapt this library to it.
"""

__version__ = "0.1.0"
