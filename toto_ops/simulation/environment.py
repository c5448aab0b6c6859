"""The market simulator as a native, batched TorchRL environment."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Bounded, Composite, Unbounded
from torchrl.envs import EnvBase

from toto_ops.simulation.observation import Observation
from toto_ops.simulation.observation_schema import FIELDS
from toto_ops.simulation.simulator import MarketSimulator, action_weights


class MarketEnv(EnvBase):
    """All accounts of a `MarketSimulator` as one environment of batch size `[B]`.

    An action is `[B, A]` in [-1, 1]: weights in units of `w_max`, the weight of a full position, so that policies of one
    symbol and of many speak alike. Observations are the fields of the simulator's schema under their names; reward, done,
    terminated and truncated are `[B, 1]`. Finished accounts restart by TorchRL's reset masks.

    `set_seed` seeds the rows at which episodes begin. Random actions (`rand_action`, a rollout without a policy) come from
    torch's global generator, as in all environments of TorchRL: `torch.manual_seed` repeats them. Copies in a `ParallelEnv` or
    `SerialEnv` begin at the same rows until the whole is given a seed, which gives each of them another.

    Rewards are differentiable in the actions of a rollout; `simulator.detach()` between rollouts that go on from each other
    ends the gradients there.

    Parameters
    ----------
    simulator
        Owned by the environment from here on.
    """

    def __init__(self, simulator: MarketSimulator) -> None:
        batch, assets, widths = simulator.batch, simulator.market.assets, simulator.market.widths
        super().__init__(batch_size=torch.Size([batch]))
        self._simulator = simulator
        self._money = simulator.market.table.dtype
        shapes = {name: (batch, *FIELDS[name].shape(assets, widths)) for name in simulator.schema.fields}
        fields = {
            name: Binary(n=shape[-1], shape=shape, dtype=torch.bool) if name == "mask" else Unbounded(shape=shape)
            for name, shape in shapes.items()
        }
        flag = {name: Binary(n=1, shape=(batch, 1), dtype=torch.bool) for name in ("done", "terminated", "truncated")}
        self.observation_spec = Composite(fields, shape=(batch,))
        self.action_spec = Bounded(low=-1.0, high=1.0, shape=(batch, assets), dtype=torch.float32)
        self.reward_spec = Unbounded(shape=(batch, 1), dtype=self._money)
        self.done_spec = Composite(flag, shape=(batch,))

    def _reset(self, tensordict: TensorDictBase | None = None, **_: object) -> TensorDictBase:
        chosen = None if tensordict is None else tensordict.get("_reset", None)
        if chosen is None:
            return self._observed(self._simulator.reset())
        self._simulator.restart(chosen.reshape(-1))
        return self._observed(self._simulator.observe())

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        action = tensordict["action"]
        if action.shape != self.action_spec.shape:
            raise ValueError(f"actions must be {tuple(self.action_spec.shape)}, got {tuple(action.shape)}")
        observation, transition = self._simulator.step(action_weights(action, self._simulator.rules))
        moved = self._observed(observation)
        moved.update(
            {
                "reward": transition.reward.unsqueeze(-1),
                "done": transition.finished.unsqueeze(-1),
                "terminated": transition.terminated.unsqueeze(-1).clone(),
                "truncated": transition.truncated.unsqueeze(-1),
            }
        )
        return moved

    def _set_seed(self, seed: int | None) -> None:
        if seed is None:
            raise ValueError("a seed must be given: an environment without one could not be run again")
        self._simulator.seed(seed)

    def _observed(self, observation: Observation) -> TensorDict:
        # The simulator goes on with this mask, as with `terminated`: whoever looks is free to write to what is shown.
        fields: dict[str, Tensor] = observation._replace(mask=observation.mask.clone()).tensors()
        return TensorDict({name: fields[name] for name in self._simulator.schema.fields}, batch_size=self.batch_size)
