"""How much each agent's wishes count."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from toolkit.model.chain import Head
from toolkit.model.decision import Reading
from toolkit.model.errors import ConfigError


class Policy(Protocol):
    """Gives each agent a weight in 0..1; its wishes are granted in that proportion.

    Pure: the same block and readings give the same weights, or a replay will say otherwise.
    """

    def weights(
        self, agents: Sequence[str], *, head: Head, readings: Mapping[str, Reading]
    ) -> dict[str, float]:
        """Return a weight for every agent named."""
        ...


class EqualWeights:
    """Trusts every agent fully."""

    def weights(
        self,
        agents: Sequence[str],
        *,
        head: Head,  # noqa: ARG002 - part of the seam; other policies need it
        readings: Mapping[str, Reading],  # noqa: ARG002 - as above
    ) -> dict[str, float]:
        """Return 1 for every agent."""
        return dict.fromkeys(sorted(agents), 1.0)


def checked(weights: Mapping[str, float], agents: Sequence[str]) -> dict[str, float]:
    """Return a policy's weights of these agents, if they are weights.

    Raises:
        ConfigError: an agent has none, or one that is no number in 0..1.
    """
    found: dict[str, float] = {}
    for agent in sorted(agents):
        weight = weights.get(agent)
        if weight is None or type(weight) not in {int, float} or not 0 <= weight <= 1:  # or NaN
            raise ConfigError(
                f"the policy gives {agent} a weight of {weight!r}; it must be a number in 0..1"
            )
        found[agent] = float(weight)
    return found
