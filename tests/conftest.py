"""Settings every test shares."""

import os

from hypothesis import settings

# No test may reach the live store, an MLflow server or a configuration of whoever runs the tests.
for name in [name for name in os.environ if name.startswith("TOTO_")]:
    del os.environ[name]

# Property tests draw the same examples everywhere: a red run must mean that the code changed.
settings.register_profile("shared", deadline=None, derandomize=True)
settings.load_profile("shared")
