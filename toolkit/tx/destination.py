"""Where attempts go, and what each answer says about who may hold their bytes."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from toolkit.model.chain import Hash
from toolkit.model.checks import shown
from toolkit.model.errors import (
    CallReverted,
    ConfigError,
    NodeError,
    NodeUnavailable,
    Recovery,
    RejectedByNode,
    RelayError,
    RelayRejected,
    ToolkitError,
)
from toolkit.model.tx import Attempt, Exposure


class Destination(Protocol):
    """Takes attempts: the public node, a relay. `name` is journalled and must stay the same."""

    @property
    def name(self) -> str:
        """What the journal calls it."""
        ...

    @property
    def exposure(self) -> Exposure:
        """PUBLIC or PRIVATE: what an accepted attempt is exposed to."""
        ...

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Hand over the bytes, meant for `target_block` or soon after.

        Raises:
            RejectedByNode, RelayError, NodeError: refused, or the answer is unknown.
        """
        ...


class RawSender(Protocol):
    """The part of a node that broadcasts (`toolkit.chain.node.Node` is one)."""

    async def send_raw(self, raw: str) -> Hash:
        """Broadcast signed bytes."""
        ...


class PublicNode:
    """The public mempool, by way of one node."""

    name = "public"
    exposure = Exposure.PUBLIC

    def __init__(self, node: RawSender) -> None:
        self._node = node

    async def send(self, attempt: Attempt, *, target_block: int) -> None:  # noqa: ARG002 - Protocol
        """Broadcast; a public pool keeps it for whichever block takes it."""
        await self._node.send_raw(attempt.signed.raw)


class Answer(NamedTuple):
    """What follows from a hand-over; `error` is what the destination raised, if it did."""

    exposure: Exposure
    recovery: Recovery | None = None
    error: ToolkitError | None = None


async def hand_over(destination: Destination, attempt: Attempt, *, target_block: int) -> Answer:
    """Send and turn every refusal, silence or failure into what it means for the nonce."""
    try:
        await destination.send(attempt, target_block=target_block)
    except RejectedByNode as error:
        return Answer(_after_refusal(error, destination), error.recovery, error)
    except RelayRejected as error:
        return Answer(Exposure.NONE, Recovery.WAIT, error)
    except NodeUnavailable as error:
        return Answer(Exposure.UNKNOWN if error.sent else Exposure.NONE, Recovery.WAIT, error)
    # A send reverts nowhere; a node that says so has its codes mixed up, or tried it first.
    except (NodeError, RelayError, CallReverted) as error:
        return Answer(Exposure.UNKNOWN, Recovery.WAIT, error)
    return Answer(destination.exposure)


def _after_refusal(error: RejectedByNode, destination: Destination) -> Exposure:
    if error.recovery is Recovery.TREAT_AS_SENT:
        return destination.exposure
    # "Nonce too low" may be said of these very bytes, mined a moment ago.
    return Exposure.UNKNOWN if error.recovery is Recovery.RESYNC else Exposure.NONE


def register(known: dict[str, Destination], places: Sequence[Destination]) -> tuple[str, ...]:
    """Take these among the known ones; returns their names.

    Raises:
        ConfigError: there is none, one is no destination, or its name is that of another.
    """
    if not places:
        raise ConfigError("a transaction needs at least one destination")
    for place in places:
        if not isinstance(getattr(place, "name", None), str):
            raise ConfigError(f"destinations holds {shown(place)}; give destinations, not names")
        if known.setdefault(place.name, place) is not place:
            raise ConfigError(f"two different destinations are named {place.name!r}")
    return tuple(place.name for place in places)
