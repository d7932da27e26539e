"""Many callers and a few keys, some halted, some poor: where each request goes."""

import random
from contextlib import ExitStack
from fractions import Fraction

from toolkit.model.chain import Address
from toolkit.model.errors import InsufficientFunds, LaneHalted
from toolkit.testing.coverage import Coverage
from toolkit.tx.key_pool import KeyLoad, Spread

MOST_AT_ONCE = 8


class _Key:
    """One key's lane, by our own count."""

    def __init__(self, rng: random.Random, place: int) -> None:
        self.sender = Address(f"0x{place:040x}")
        self.window = rng.choice([1, 4, 16])
        self.balance_wei = rng.choice([0, 5, 50, 500])
        self.halted = rng.choice(["", "", "", "a reorg took back what was final"])
        self.costs: list[int] = []  # of what is in the lane
        self.chosen: list[int] = []  # of what is on its way into it

    def free_wei(self) -> int:
        """What another request may cost."""
        return self.balance_wei - sum(self.costs) - sum(self.chosen)

    def share(self) -> Fraction:
        """How full it is."""
        return Fraction(len(self.costs) + len(self.chosen), self.window)

    def load(self) -> KeyLoad:
        """What its lane tells: nothing of what is only on its way."""
        return KeyLoad(
            sender=self.sender,
            window=self.window,
            busy=len(self.costs),
            free_balance_wei=self.balance_wei - sum(self.costs),
            halted=self.halted,
        )


def live_with_keys(seed: int, *, steps: int = 60) -> Coverage:
    """One seeded life of a pool of keys.

    Raises:
        AssertionError: a key was chosen that is halted, cannot pay, or is fuller than another.
    """
    rng = random.Random(seed)  # noqa: S311 - a life is drawn, not a secret
    keys = {one.sender: one for one in (_Key(rng, place) for place in range(rng.randint(2, 5)))}
    spread, coverage = Spread(), Coverage()
    underway: list[tuple[_Key, int, ExitStack]] = []
    try:
        for _ in range(steps):
            action = rng.choices(["ask", "enter", "end", "change"], [6, 4, 3, 1])[0]
            coverage.actions[action] += 1
            coverage.events += 1
            if action == "ask" and len(underway) < MOST_AT_ONCE:
                _ask(rng, keys, spread, underway, coverage)
            elif action == "enter" and underway:
                _enter(underway.pop(rng.randrange(len(underway))))
            elif action == "end":
                _end(rng, list(keys.values()))
            elif action == "change":
                _change(rng, rng.choice(list(keys.values())), coverage)
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        for _, _, stack in underway:
            stack.close()
    coverage.close(most_in_flight=MOST_AT_ONCE, faults=coverage.faults.total())
    return coverage


def _ask(
    rng: random.Random,
    keys: dict[Address, _Key],
    spread: Spread,
    underway: list[tuple[_Key, int, ExitStack]],
    coverage: Coverage,
) -> None:
    cost, stack = rng.choice([1, 3, 20]), ExitStack()
    running = [one for one in keys.values() if not one.halted]
    able = [one for one in running if one.free_wei() >= cost]
    try:
        sender = stack.enter_context(spread.chosen([one.load() for one in keys.values()], cost))
    except LaneHalted:
        assert not running, "refused, though a key runs"
        coverage.ends["all halted"] += 1
        return
    except InsufficientFunds:
        assert not able, "refused, though a key can pay"
        coverage.ends["nobody can pay"] += 1
        return
    key = keys[sender]
    key_is = f"{sender} was chosen for {cost}"
    underway.append((key, cost, stack))
    assert not key.halted, f"{key_is}, and is halted"
    assert key.free_wei() >= cost, f"{key_is}, and has {key.free_wei()}"
    assert key.share() == min(one.share() for one in able), f"{key_is}, and others are freer"
    key.chosen.append(cost)
    coverage.ends["chosen"] += 1


def _enter(request: tuple[_Key, int, ExitStack]) -> None:
    """The request is in its lane, which counts it from here on."""
    key, cost, stack = request
    key.chosen.remove(cost)
    key.costs.append(cost)
    stack.close()


def _end(rng: random.Random, keys: list[_Key]) -> None:
    busy = [one for one in keys if one.costs]
    if busy:
        key = rng.choice(busy)
        key.balance_wei -= key.costs.pop(rng.randrange(len(key.costs)))


def _change(rng: random.Random, key: _Key, coverage: Coverage) -> None:
    """A lane halts or goes on; an account is paid."""
    key.halted = rng.choice(["", "", "halted"])
    key.balance_wei += rng.choice([0, 5, 50])
    coverage.faults["changed"] += 1
