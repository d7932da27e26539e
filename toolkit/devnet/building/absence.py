"""Orders for a slot that its builder did not consider: somewhere else, withdrawn, late, too old."""

from collections.abc import Iterator, Sequence

from toolkit.devnet.builders import Builder
from toolkit.devnet.building.admission import Refusal
from toolkit.devnet.building.merging import Consideration, missed
from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.simulation import SlotEnv
from toolkit.model.bundle import MissCause
from toolkit.model.chain import Hash


def absent(
    builders: Sequence[Builder], winner: Builder, env: SlotEnv, *, built: Sequence[Order]
) -> tuple[Consideration, ...]:
    """What became of them: the winner's own reason first, then that of who had them.

    `built` are those that the winner did consider, whatever has been asked of it since.
    """
    known = {order.bundle_hash for order in built}
    found: dict[Hash, Consideration] = {}
    for order, refusal in _reasons(builders, winner, env):
        if order.first_block <= env.number <= order.last_block and order.bundle_hash not in known:
            found.setdefault(order.bundle_hash, missed(order, refusal))
    return tuple(found.values())


def _reasons(
    builders: Sequence[Builder], winner: Builder, env: SlotEnv
) -> Iterator[tuple[Order, Refusal]]:
    others = [each for each in builders if each is not winner]
    for order in winner.orders():
        if order.last_block == env.number and not order.wants(env.number, env.timestamp):
            yield order, _expired(order, env)
    yield from _gone(winner, winner)
    for builder in others:
        for order in builder.orders():
            if order.wants(env.number, env.timestamp):
                yield order, _elsewhere(f"{winner.name} built, without having it")
            elif order.last_block == env.number:
                yield order, _expired(order, env)
    for builder in others:
        yield from _gone(builder, winner)


def _gone(builder: Builder, winner: Builder) -> Iterator[tuple[Order, Refusal]]:
    for order in builder.cancelled():
        yield order, Refusal(MissCause.CANCELLED, "withdrawn in time")
    for order in builder.late():
        yield order, Refusal(MissCause.LATE, f"{builder.name} had it only after the slot")
    for order in builder.forgotten():
        yield (
            order,
            _elsewhere(f"{winner.name} built, and {builder.name} forgot what it had answered for"),
        )


def _expired(order: Order, env: SlotEnv) -> Refusal:
    window = f"{order.min_timestamp} to {order.max_timestamp or 'any'}"
    return Refusal(
        MissCause.EXPIRED,
        f"block {env.number} has timestamp {env.timestamp}, the bundle allows {window}",
    )


def _elsewhere(evidence: str) -> Refusal:
    return Refusal(MissCause.WRONG_BUILDER, evidence)
