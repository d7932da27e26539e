"""Capital under every schedule."""

import random

import msgspec
import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Fill, Reservation
from toolkit.model.errors import ConfigError
from toolkit.model.units import split
from toolkit.orchestrator.capital.accounts import Balance
from toolkit.orchestrator.capital.ledger import (
    REORG_BLOCKS,
    Ledger,
    LedgerMemory,
    Share,
    Transfer,
    attribute,
)

A, B = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)
TOKENS = (A, B, ZERO_ADDRESS)


def reservation(
    name: str, token: Address, amount: int, *, gas: int = 0, expires: int = 5
) -> Reservation:
    """Capital held for a verdict."""
    return Reservation(
        verdict_id=name, token=token, amount=amount, gas_wei=gas, expires_block=expires
    )


def fill(name: str, changes: dict[Address, int], *, block: int = 1) -> Fill:
    """What became of a verdict."""
    return Fill(
        verdict_id=name,
        agents=("x",),
        landed=bool(changes),
        block_number=block,
        block_hash=Hash(f"0x{block:064x}"),
        changes={str(token): change for token, change in changes.items()},
    )


def share(agent: str, amount: int) -> Share:
    """One agent's part."""
    return Share(agent=agent, intent=f"1/{agent}/0", amount_in=amount)


class Model:
    """A second, slower count of the same money."""

    def __init__(self, balances: dict[Address, int]) -> None:
        self.chain = dict(balances)
        self.held: dict[str, Reservation] = {}

    def reserved(self, token: Address) -> int:
        """What is promised of a token."""
        gas = sum(r.gas_wei for r in self.held.values()) if token == ZERO_ADDRESS else 0
        return gas + sum(r.amount for r in self.held.values() if r.token == token)


def check(ledger: Ledger, model: Model) -> None:
    """The invariants after every event."""
    for token in TOKENS:
        assert model.chain[token] == ledger.total(token)
        assert model.reserved(token) == ledger.promised(token)
        assert ledger.total(token) == ledger.free(token) + ledger.promised(token)
        assert ledger.free(token) >= 0


def test_invariants_hold_under_random_schedules() -> None:
    """free + reserved == total == chain after every event; nothing negative or promised twice."""
    for seed in fresh_seeds(200):
        rng = random.Random(seed)
        start = {token: rng.randrange(10**6) for token in TOKENS}
        ledger, model = Ledger(), Model(start)
        ledger.open(start)
        for step in range(60):
            _one_event(rng, ledger, model, step)
            check(ledger, model)
        for name in list(model.held):
            assert ledger.void(name), f"seed {seed}"
        assert [0, 0, 0] == [ledger.promised(token) for token in TOKENS], f"seed {seed}"


def _one_event(rng: random.Random, ledger: Ledger, model: Model, step: int) -> None:
    kind = rng.choice(["reserve", "reserve", "post", "void", "expire", "late"])
    if kind == "reserve":
        asked = reservation(
            f"v{step}",
            rng.choice(TOKENS),
            rng.randrange(10**6),
            gas=rng.randrange(10**4),
            expires=step + rng.randrange(20),
        )
        needs = dict.fromkeys(TOKENS, 0) | {asked.token: asked.amount}
        needs[ZERO_ADDRESS] += asked.gas_wei
        fits = all(model.chain[t] - model.reserved(t) >= need for t, need in needs.items())
        assert fits == ledger.reserve(asked)
        if fits:
            model.held[asked.verdict_id] = asked
    elif kind == "post" and model.held:
        name = rng.choice(sorted(model.held))
        held = model.held.pop(name)
        spent = {held.token: -rng.randrange(held.amount + 1)}
        spent[ZERO_ADDRESS] = spent.get(ZERO_ADDRESS, 0) - rng.randrange(held.gas_wei + 1)
        spent[B if held.token == A else A] = rng.randrange(10**6)
        ledger.post(
            fill(name, spent, block=step + 1), [share("p", 3), share("q", rng.randrange(9))]
        )
        for token, change in spent.items():
            model.chain[token] += change
    elif kind == "void" and model.held:
        name = rng.choice(sorted(model.held))
        del model.held[name]
        assert ledger.void(name)
        assert not ledger.void(name)
    elif kind == "expire":
        late = sorted(n for n, r in model.held.items() if r.expires_block < step)
        assert tuple(late) == ledger.expire(step)
        for name in late:
            del model.held[name]
    elif kind == "late":
        ledger.post(fill("gone", {A: 7}, block=step + 1), [share("p", 1)])
        model.chain[A] += 7


def test_split_conserves_every_unit() -> None:
    """Any signed amount is divided without losing or making a unit, fair to within one."""
    for seed in fresh_seeds(500):
        rng = random.Random(seed)
        weights = [rng.randrange(10**18) for _ in range(rng.randrange(1, 6))]
        amount = rng.randrange(-(10**24), 10**24)
        parts = split(amount, weights)
        total = sum(weights)

        assert amount == sum(parts), f"seed {seed}"
        if total:
            assert all(
                abs(part * total - amount * weight) < 2 * total
                for part, weight in zip(parts, weights, strict=True)
            ), f"seed {seed}"


def test_books_add_up_to_the_account_over_many_fills() -> None:
    """The sum of all agents' books is the account's own change, to the wei."""
    (seed,) = fresh_seeds(1)
    rng = random.Random(seed)
    ledger = Ledger()
    ledger.open(dict.fromkeys(TOKENS, 10**30))
    total = dict.fromkeys(TOKENS, 10**30)
    for number in range(5_000):
        changes = {token: rng.randrange(-(10**20), 10**20) for token in TOKENS}
        shares = [share(f"a{rng.randrange(5)}", rng.randrange(1, 10**19)) for _ in range(3)]
        ledger.post(fill(f"v{number}", changes, block=number + 1), shares)
        if rng.random() < 0.2:
            assert (f"v{number}",) == ledger.revert([Hash(f"0x{number + 1:064x}")])
            changes = dict.fromkeys(TOKENS, 0)
        total = {token: total[token] + changes[token] for token in TOKENS}

    assert total == ledger.expected(), f"seed {seed}"


def test_attribution_is_pro_rata_and_exact() -> None:
    """Two agents that share a leg 1 : 2 share its changes 1 : 2; odd units go to the larger."""
    parts = attribute(fill("v", {A: -100, B: 31}), [share("p", 1), share("q", 2)])

    assert {"p": {A: -33, B: 10}, "q": {A: -67, B: 21}} == parts


def test_a_reverted_fill_is_taken_back_once() -> None:
    """A reorg undoes the fills of its blocks, and only those."""
    ledger = Ledger()
    ledger.open({A: 100})
    ledger.post(fill("v", {A: 5}, block=1), [share("p", 1)])
    ledger.post(fill("w", {A: 7}, block=2), [share("p", 1)])
    gone = [Hash(f"0x{2:064x}")]

    assert ("w",) == ledger.revert(gone)
    assert () == ledger.revert(gone)
    assert 105 == ledger.total(A)


def test_unbalanced_transfers_are_refused() -> None:
    """A trade inside that makes money from nothing is refused, and nothing is booked."""
    ledger = Ledger()
    ledger.open({A: 1})
    moves = [Transfer(agent="p", token=A, change=5), Transfer(agent="q", token=A, change=-4)]

    with pytest.raises(ConfigError, match="do not add up"):
        ledger.transfer(moves)

    assert {} == ledger.book("p")


def test_a_verdict_reserves_once() -> None:
    """A second reservation for one verdict is a mistake of ours, not a bigger reservation."""
    ledger = Ledger()
    ledger.open({A: 10})
    assert ledger.reserve(reservation("v", A, 5))

    with pytest.raises(ConfigError, match="already"):
        ledger.reserve(reservation("v", A, 1))


def test_what_nobody_did_enters_the_opening() -> None:
    """A rebase makes the ledger agree with the chain, tells by how much, and touches no book."""
    ledger = Ledger()
    ledger.open({A: 100, B: 5})
    ledger.post(fill("v", {A: 7}, block=1), [share("p", 1)])
    changes = ledger.rebase({A: 3, B: 5, ZERO_ADDRESS: 2})

    assert {A: -104, ZERO_ADDRESS: 2} == changes
    assert {A: 3, B: 5, ZERO_ADDRESS: 2} == ledger.expected()
    assert {A: 7} == ledger.book("p")
    assert -4 == ledger.state().initial[A]
    assert {} == ledger.rebase({A: 3})


def test_capital_goes_from_free_over_promised_to_posted() -> None:
    """Each step of a plan moves its capital, gas included, and the four always add up."""
    ledger = Ledger()
    ledger.open({A: 100, ZERO_ADDRESS: 10})
    shares = [share("p", 1), share("q", 2)]

    def where(token: Address) -> tuple[int, int, int, int]:
        at = ledger.balance(token)
        assert at.adds_up
        return at.free, at.reserved, at.in_flight, at.posted

    assert ledger.reserve(reservation("v", A, 30, gas=4), shares)
    assert (70, 30, 0, 0) == where(A)
    assert ("v",) == ledger.dispatch()
    assert () == ledger.dispatch()
    assert (70, 0, 30, 0) == where(A)
    ledger.post(fill("v", {A: -12, ZERO_ADDRESS: -1}), shares, partial=True)
    assert (70, 0, 18, 12) == where(A)
    assert (6, 0, 3, 1) == where(ZERO_ADDRESS)
    ledger.post(fill("v", {A: -6, B: 40, ZERO_ADDRESS: -2}, block=2), shares)

    assert (82, 0, 0, 18) == where(A)
    assert (40, 0, 0, -40) == where(B)
    assert {"p": {A: -6, B: 13, ZERO_ADDRESS: -1}, "q": {A: -12, B: 27, ZERO_ADDRESS: -2}} == (
        ledger.state().books
    )
    assert Balance(free=7, reserved=0, in_flight=0, posted=3, capital=10) == (
        ledger.balance(ZERO_ADDRESS)
    )


def test_a_reservation_is_divided_among_whose_it_is() -> None:
    """What is held is each agent's in proportion, and what is left after a part of it too."""
    ledger = Ledger()
    ledger.open({A: 100, ZERO_ADDRESS: 10})
    shares = [share("p", 1), share("q", 3)]
    assert ledger.reserve(reservation("v", A, 40, gas=4), shares)
    ledger.dispatch()

    ledger.post(fill("v", {A: -20}), shares, partial=True)

    (held,) = ledger.memory().held
    assert {"p": {A: 5, ZERO_ADDRESS: 1}, "q": {A: 15, ZERO_ADDRESS: 3}} == held.parts
    assert {A: 20, ZERO_ADDRESS: 4} == ledger.state().promised == ledger.state().in_flight
    assert ledger.void("v")
    assert {} == ledger.state().promised


def test_gas_is_told_apart_and_divided() -> None:
    """What fills cost is part of the books, known per agent, and taken back with its fill."""
    ledger = Ledger()
    ledger.open({ZERO_ADDRESS: 100})
    paid = msgspec.structs.replace(fill("v", {ZERO_ADDRESS: -31}), gas_fee_wei=31)

    ledger.post(paid, [share("p", 1), share("q", 2)])

    assert {"p": 10, "q": 21} == ledger.state().gas
    assert {ZERO_ADDRESS: -21} == ledger.book("q")
    ledger.revert([Hash(f"0x{1:064x}")])
    assert {"p": 0, "q": 0} == ledger.state().gas


def test_news_of_a_fill_that_comes_twice_is_booked_once() -> None:
    """The same transaction in the same block changes nothing again; in another block it does."""
    ledger = Ledger()
    ledger.open({A: 100})
    ledger.post(fill("v", {A: 5}, block=1), [share("p", 1)])

    assert {} == ledger.post(fill("v", {A: 5}, block=1), [share("p", 1)])
    assert 105 == ledger.total(A)
    ledger.revert([Hash(f"0x{1:064x}")])
    ledger.post(fill("v", {A: 5}, block=2), [share("p", 1)])
    assert 105 == ledger.total(A)
    ledger.revert([Hash(f"0x{2:064x}")])
    ledger.post(fill("v", {A: 5}, block=1), [share("p", 1)])  # a reorg back to what there was
    assert 105 == ledger.total(A)


def test_a_bundle_torn_apart_costs_in_every_block_that_holds_a_part_of_it() -> None:
    """Other transactions of a verdict add up; the same in another block stand in their place."""
    ledger, shares = Ledger(), [share("x", 2), share("y", 1)]
    ledger.open({ZERO_ADDRESS: 100})
    parts = [
        msgspec.structs.replace(
            fill("v", {ZERO_ADDRESS: -gas}, block=block), landed=False, tx_hashes=hashes
        )
        for gas, block, hashes in (
            (3, 1, (Hash("0xa"),)),
            (10, 2, (Hash("0xb"),)),
            (7, 3, (Hash("0xa"), Hash("0xb"))),
            (5, 3, (Hash("0xa"),)),
        )
    ]
    totals, undone = [], []

    for one in parts:
        undone.append(ledger.supersede(one))
        ledger.post(one, shares)
        totals.append(ledger.total(ZERO_ADDRESS))
    gone = ledger.supersede(fill("v", {}, block=4))

    assert [97, 87, 93, 95] == totals
    assert [(), (), ("v", "v"), ("v",)] == undone
    assert ("v",) == gone
    assert 100 == ledger.total(ZERO_ADDRESS)
    assert ({}, {}) == (ledger.book("x"), ledger.book("y"))


def test_old_fills_are_final_by_blocks_not_by_their_number() -> None:
    """Any number of fills of recent blocks can be reverted; those far behind cannot."""
    ledger = Ledger()
    ledger.open({A: 0})
    for number in range(500):
        ledger.post(fill(f"v{number}", {A: 1}, block=number // 5), [share("p", 1)])
    ledger.post(fill("new", {A: 1}, block=REORG_BLOCKS + 1), [share("p", 1)])

    assert () == ledger.revert([Hash(f"0x{0:064x}")])
    assert 5 == len(ledger.revert([Hash(f"0x{1:064x}")]))
    assert 496 == ledger.total(A)


def test_who_waits_longest_is_known() -> None:
    """Each promise is a turn, a try too; who never had one is not named; a refusal is none."""
    ledger = Ledger()
    ledger.open({A: 10, ZERO_ADDRESS: 0})
    ledger.dispatch()
    assert ledger.reserve(reservation("v", A, 5), [share("p", 1), share("q", 1)])
    ledger.dispatch()
    assert ledger.reserve(reservation("w", A, 5), [share("p", 1)])
    assert not ledger.reserve(reservation("x", A, 5), [share("r", 1)])
    ledger.take_turn(["s"])

    assert {"p": 2, "q": 1, "s": 2} == ledger.served


def test_a_ledger_goes_on_from_its_memory() -> None:
    """What was written down makes the same ledger again; one in use takes no other's memory."""
    ledger = Ledger()
    ledger.open({A: 100, ZERO_ADDRESS: 10})
    ledger.reserve(reservation("v", A, 30, gas=4), [share("p", 1)])
    ledger.dispatch()
    ledger.reserve(reservation("w", A, 30), [share("q", 1)])
    ledger.post(fill("old", {A: -7}), [share("p", 1)])
    written = msgspec.json.encode(ledger.memory())

    again = Ledger()
    again.resume(msgspec.json.decode(written, type=LedgerMemory))

    assert ledger.memory() == again.memory()
    assert ledger.balance(A) == again.balance(A)
    assert ("old",) == again.revert([Hash(f"0x{1:064x}")])
    assert ("w",) == again.dispatch()
    with pytest.raises(ConfigError, match="only a new ledger"):
        again.resume(ledger.memory())


def test_an_unopened_ledger_is_remembered_as_such() -> None:
    """A run that ended before its first block leaves the opening to the next."""
    again = Ledger()
    again.resume(Ledger().memory())

    assert not again.is_open
    again.open({A: 1})
    assert 1 == again.total(A)
