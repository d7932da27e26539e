"""Weights come from a policy."""

import pytest

from toolkit.model.errors import ConfigError
from toolkit.orchestrator.deciding.policy import EqualWeights, checked
from toolkit.testing.decide import given, main_pool


def test_everybody_is_trusted_alike_unless_told_otherwise() -> None:
    """Without a policy of its own an orchestrator gives every agent all of its weight."""
    head = given(1, pools=[main_pool("2000")]).head

    assert {"a": 1.0, "b": 1.0} == EqualWeights().weights(["b", "a"], head=head, readings={})


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), float("inf"), "1", None, True])
def test_what_is_no_weight_is_refused(weight: object) -> None:
    """A policy is somebody's code as well: what it returns is looked at."""
    with pytest.raises(ConfigError, match="the policy gives a a weight of"):
        checked({"a": weight}, ["a"])  # type: ignore[dict-item]


def test_an_agent_that_a_policy_forgot_is_named() -> None:
    """Nobody's weight is guessed."""
    with pytest.raises(ConfigError, match="the policy gives b a weight of None"):
        checked({"a": 1.0}, ["a", "b"])


def test_weights_of_strangers_are_left_out() -> None:
    """Only agents of this orchestrator count; whole numbers are weights as well."""
    assert {"a": 1.0} == checked({"a": 1, "z": 0.5}, ["a"])
