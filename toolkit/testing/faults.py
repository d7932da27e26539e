"""What may go wrong between a scheduler and its chain, by name, and how often it does."""

from collections.abc import Mapping
from types import MappingProxyType

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "delay": "every call may take a few turns of the loop, so one seed is one interleaving",
        "skip": "a block leaves out a transaction that it could have taken",
        "refused": "the connection is refused: nothing left",
        "lost_before": "no answer, and the bytes never arrived",
        "lost_after": "no answer, but the bytes arrived",
        "dropped": "the pool forgets what it has just accepted",
        "full": "the pool says that it is full",
        "cheap": "the pool says that the fees are too low, and says so of these bytes for ever",
        "banned": "the pool refuses these bytes for good",
        "stale": "a count of transactions is one block old",
        "lag": "a receipt is not there yet",
        "unreachable": "a question to the node gets no answer",
        "unsigned": "the signer fails, and has signed nothing",
        "forged": "the signer signs something else than it was asked to",
    }
)
"""The faults that `World` knows; their rates are probabilities a call."""

QUIET = frozenset({"delay", "skip"})
"""What happens on any healthy chain, and so does not count as a fault."""

CHAOS: Mapping[str, float] = MappingProxyType(
    {
        "delay": 1.0,
        "skip": 0.1,
        "refused": 0.05,
        "lost_before": 0.05,
        "lost_after": 0.08,
        "dropped": 0.05,
        "full": 0.03,
        "cheap": 0.03,
        "banned": 0.03,
        "stale": 0.03,
        "lag": 0.05,
        "unreachable": 0.004,
        "unsigned": 0.02,
        "forged": 0.01,
    }
)
"""A bad day: about every third hand-over goes wrong in one way or another."""
