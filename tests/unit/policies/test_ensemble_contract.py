"""The analysts' ensemble under the checks of every policy; what its analysts say is tested in `tests/unit/analysts`."""

from __future__ import annotations

import pytest

from tests.unit.policies.policy_checks import PolicyChecks
from toto_ops.analysts.ensemble import EnsemblePolicy
from toto_ops.analysts.strategy import load_strategy
from toto_ops.configuration import PROJECT_ROOT


class TestEnsemblePolicy(PolicyChecks):
    @pytest.fixture(params=[False, True], ids=["long only", "may short"])
    def policy(self, request: pytest.FixtureRequest) -> EnsemblePolicy:
        strategy = load_strategy(PROJECT_ROOT / "deploy" / "config")
        return EnsemblePolicy(strategy.model_dump(mode="json"), w_max=0.2, may_short=request.param)
