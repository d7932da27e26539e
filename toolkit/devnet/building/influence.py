"""Whose being in a block may change what an order does: which orders have to be tried together.

Two runs of all orders, forwards and backwards, show who does the same whatever came before. Only
for the rest is it asked whose doing it is.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from toolkit.devnet.building.orders import Order
from toolkit.devnet.building.trials import Trials
from toolkit.model.chain import Address

FEW = 12
"""Up to so many orders every pair is tried; of more it is guessed by the contracts they touch."""

EXHAUSTIVE = 6
"""Of so few orders every sequence is tried, among those that depend on each other."""

_AS_SELDOM = 2  # times as often as what an order shares with the fewest


async def find_influences(
    trials: Trials, orders: Sequence[Order], members: Sequence[int]
) -> dict[int, frozenset[int]]:
    """For each order, by number, those that may change what it does; all were tried alone.

    Effects tell: logs, gas, output and payment. Orders of one account always depend on each other.
    """
    sound = [each for each in members if not trials.known(each).failure]
    loose = set(await _unsettled(trials, orders, sound)) | (set(members) - set(sound))
    senders = {each: _senders(orders[each]) for each in members}
    found: dict[int, set[int]] = {
        each: {other for other in members if other != each and senders[each] & senders[other]}
        for each in members
    }
    pairs = [
        pair for pair in product(sorted(loose), members) if pair[0] != pair[1] and pair[1] in sound
    ]
    if len(members) <= FEW:
        await _add_tried(found, trials, pairs)
    else:
        _add_guessed(found, trials, orders, pairs)
    whole = [each for each in sound if not trials.known(each).left_out(orders[each])]
    _add_hopeful(found, orders, members, whole)
    return {each: frozenset(others) for each, others in found.items()}


def components(
    influences: Mapping[int, frozenset[int]], members: Sequence[int]
) -> list[tuple[int, ...]]:
    """Groups of orders that have nothing to do with each other, each in the order of `members`."""
    group = {each: {each} for each in members}
    for order in members:
        for other in influences[order]:
            if group[order] is not group[other]:
                group[order] |= group[other]
                for each in group[other]:
                    group[each] = group[order]
    seen: list[tuple[int, ...]] = []
    for order in members:
        whole = tuple(each for each in members if each in group[order])
        if whole not in seen:
            seen.append(whole)
    return seen


async def _unsettled(
    trials: Trials, orders: Sequence[Order], sound: Sequence[int]
) -> Iterable[int]:
    """Orders that do something else behind others, or would not leave out what they left out."""
    if len(sound) < 2:  # noqa: PLR2004 - it takes two
        return ()
    ways = [tuple(sound), tuple(reversed(sound))]
    results = await trials.together([[trials.known(each).kept for each in way] for way in ways])
    loose = {
        each for each in sound if len(trials.known(each).kept) < len(orders[each].transactions)
    }
    for way, result in zip(ways, results, strict=True):
        if result is None:
            return sound
        effects = zip(way, result, strict=True)
        loose |= {each for each, found in effects if found != trials.known(each).effects}
    return loose


async def _add_tried(
    found: Mapping[int, set[int]], trials: Trials, pairs: Sequence[tuple[int, int]]
) -> None:
    places = [(order, (other,)) for order, other in pairs if other not in found[order]]
    await trials.run(places)
    for order, (other,) in places:
        if not trials.known(order, (other,)).is_like(trials.known(order)):
            found[order].add(other)


def _add_guessed(
    found: Mapping[int, set[int]],
    trials: Trials,
    orders: Sequence[Order],
    pairs: Sequence[tuple[int, int]],
) -> None:
    """Orders depend on who touches the same contract, if it is among the seldom ones they touch.

    Everybody meets at the routers and the wrapped coin, few in one pool. A guess that is wrong
    shows when the whole block is run.
    """
    touched = {each: _touched(trials, orders, each) for each in found}
    counts = Counter(address for each in touched.values() for address in each)
    telling: dict[int, set[Address]] = {}
    for each, met in touched.items():
        shared = {address: counts[address] for address in met if counts[address] > 1}
        rarest = min(shared.values(), default=0)
        telling[each] = {a for a, count in shared.items() if count <= _AS_SELDOM * rarest}
    for order, other in pairs:
        if telling[order] & touched[other]:
            found[order].add(other)


def _touched(trials: Trials, orders: Sequence[Order], order: int) -> set[Address]:
    """Whom an order visibly deals with: whom it calls or pays, and what logs."""
    transactions = orders[order].transactions
    found = {signed.unsigned.to for signed in transactions if signed.unsigned.to is not None}
    effects = trials.known(order).effects
    return found | {Address(log[0]) for effect in effects for log in effect.logs}


def _senders(order: Order) -> set[Address]:
    return {signed.sender for signed in order.transactions}


def _add_hopeful(
    found: Mapping[int, set[int]],
    orders: Sequence[Order],
    members: Sequence[int],
    whole: Sequence[int],
) -> None:
    """What fails alone, or is left out, may work behind others, and then change what others do.

    It may take several of them together, so that no pair shows it.
    """
    hopeful = [each for each in members if each not in whole]
    for one, other in product(hopeful, members):
        if one == other:
            continue
        if len(members) <= EXHAUSTIVE or _meet(orders[one], orders[other]):
            found[one].add(other)
            found[other].add(one)


def _meet(one: Order, other: Order) -> bool:
    """Whether one calls or pays what the other calls or is sent by."""
    mine, theirs = (
        {signed.unsigned.to for signed in order.transactions} | _senders(order)
        for order in (one, other)
    )
    return bool((mine & theirs) - {None})
