"""Eight agents share capital for three, and no unit is lost, promised twice or kept for ever."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from tests.orchestrator.properties.turns import check_turns
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Fill, Reservation
from toolkit.orchestrator.capital.accounts import OWNER, Bucket
from toolkit.orchestrator.capital.ledger import Ledger, LedgerMemory, Share, Transfer

AGENTS = tuple(f"agent-{n}" for n in range(8))
BASE, QUOTE = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20)
TOKENS = (BASE, QUOTE, ZERO_ADDRESS)
APPETITE = 1_000_003  # what one agent wants; there is three times as much
STEPS = 40
PROMISED = (Bucket.RESERVED, Bucket.IN_FLIGHT)


class Mined(NamedTuple):
    """A fill with what each agent was told it had of it."""

    fill: Fill
    shares: tuple[Share, ...]
    parts: dict[str, dict[Address, int]]
    gas: dict[str, int]


def fair(parts: Mapping[str, int], whole: int, shares: Sequence[Share]) -> None:
    """Parts lose no unit, and are within one of what is exactly each agent's."""
    weights = dict.fromkeys(parts, 0)
    for share in shares:
        weights[share.agent] += share.amount_in
    total = sum(weights.values())
    assert sum(parts.values()) == whole, "units were lost"
    assert all(abs(part * total - whole * weights[a]) < total for a, part in parts.items())


class Schedule:
    """One seeded life of a ledger, beside a second and slower count of the same money."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        start = {token: 3 * APPETITE + self.rng.randrange(1_000) for token in TOKENS}
        self.ledger = Ledger()
        self.ledger.open(start)
        self.start = dict(start)
        self.chain = dict(start)  # what the accounts have
        self.gains = {agent: dict.fromkeys(TOKENS, 0) for agent in AGENTS}
        self.gas = dict.fromkeys(AGENTS, 0)
        self.left: dict[str, dict[Address, int]] = {}  # of each reservation
        self.sent: set[str] = set()
        self.expires: dict[str, int] = {}
        self.owners: dict[str, tuple[Share, ...]] = {}
        self.blocks: list[tuple[Hash, list[Mined]]] = []
        self.ended: dict[str, int] = {}
        self.block = 0
        self.names = 0
        self.over_spent = False  # a fill nobody held capital for was mined after all

    def run(self) -> None:
        """Let anything happen in any order, and compare after every event."""
        events = {
            self.reserve: 8,
            self.head: 4,
            self.fill: 6,
            self.late: 1,
            self.void: 1,
            self.told_twice: 2,
            self.reorg: 2,
            self.trade_inside: 2,
            self.crash: 3,
        }
        for _ in range(STEPS):
            (event,) = self.rng.choices(list(events), list(events.values()))
            event()
            self.compare(event.__name__)
        self.block += 100
        self.expire()
        self.compare("the end")
        memory = self.ledger.memory()
        assert not memory.held, "a reservation outlives its time"
        assert set(self.ended) == set(self.owners), "a reservation has no end"
        assert all(times == 1 for times in self.ended.values()), "a reservation ended twice"

    def compare(self, event: str) -> None:
        """Hold the ledger to the other count, token by token and agent by agent."""
        ledger = self.ledger
        for token in TOKENS:
            balance = ledger.balance(token)
            held = sum(left.get(token, 0) for left in self.left.values())
            in_flight = sum(self.left[name].get(token, 0) for name in self.sent)
            assert balance.adds_up, f"{event}: {balance}"
            assert balance.capital == self.start[token], f"{event}: capital was made"
            assert (balance.in_flight, balance.reserved) == (in_flight, held - in_flight), event
            assert ledger.total(token) == self.chain[token], f"{event}: not what the chain has"
            assert ledger.free(token) == self.chain[token] - held, event
            assert ledger.promised(token) == held, f"{event}: {held} promised"
            assert self.over_spent or ledger.free(token) >= 0, f"{event}: promised twice"
        for agent, gains in self.gains.items():
            assert ledger.book(agent) == {t: g for t, g in gains.items() if g}, f"{event}: {agent}"
        assert {a: gas for a, gas in ledger.state().gas.items() if gas} == {
            a: gas for a, gas in self.gas.items() if gas
        }, event

    def reserve(self) -> None:
        """Some agents ask for capital and gas together; what fits is promised, nothing else."""
        self.names += 1
        name = f"v{self.names}"
        owners = self.rng.sample(AGENTS, self.rng.randint(1, 3))
        shares = tuple(
            Share(agent=agent, intent=f"{name}/{agent}", amount_in=self.rng.randint(1, 10**9))
            for agent in owners
        )
        asked = Reservation(
            verdict_id=name,
            token=self.rng.choice(TOKENS),
            amount=self.rng.randrange(2 * APPETITE),
            gas_wei=self.rng.randrange(APPETITE // 4),
            expires_block=self.block + self.rng.randint(1, 4),
        )
        needs = {asked.token: asked.amount}
        needs[ZERO_ADDRESS] = needs.get(ZERO_ADDRESS, 0) + asked.gas_wei
        free = {
            token: self.chain[token] - sum(left.get(token, 0) for left in self.left.values())
            for token in needs
        }
        fits = all(amount <= max(0, free[token]) for token, amount in needs.items())
        assert self.ledger.reserve(asked, shares) == fits, f"{asked} of {free}"
        if fits:
            self.left[name], self.owners[name] = needs, shares
            self.expires[name] = asked.expires_block

    def head(self) -> None:
        """A block comes: what was planned is out, and what was promised for earlier ones ends."""
        self.block += 1
        self.ledger.dispatch()
        self.sent = set(self.left)
        self.blocks.append((Hash(f"0x{self.block:032x}{self.rng.getrandbits(128):032x}"), []))
        self.expire()

    def expire(self) -> None:
        """Let time run out."""
        late = sorted(name for name, block in self.expires.items() if block < self.block)
        assert self.ledger.expire(self.block) == tuple(late)
        for name in late:
            self.end(name)

    def end(self, name: str) -> None:
        """A reservation is over."""
        del self.left[name], self.expires[name]
        self.sent.discard(name)
        self.ended[name] = self.ended.get(name, 0) + 1

    def fill(self) -> None:
        """A plan lands wholly or in part, reverts on chain and pays gas, or is missed."""
        if not self.sent or not self.blocks:
            return
        name = self.rng.choice(sorted(self.sent))
        left = self.left[name]
        how = self.rng.choice(["whole", "partial", "reverted", "missed"])
        changes: dict[Address, int] = {}
        if how in {"whole", "partial"}:
            changes = {token: -self.rng.randint(0, amount) for token, amount in left.items()}
            gained = self.rng.choice([token for token in TOKENS if token not in left] or [BASE])
            changes[gained] = changes.get(gained, 0) + self.rng.randrange(APPETITE)
        elif how == "reverted":
            changes = {ZERO_ADDRESS: -self.rng.randint(0, left.get(ZERO_ADDRESS, 0))}
        gas = min(self.rng.randrange(1_000), max(0, -changes.get(ZERO_ADDRESS, 0)))
        self.post(name, self.owners[name], changes, gas=gas, partial=how == "partial")
        if how == "partial":
            for token, change in changes.items():
                left[token] = left.get(token, 0) - min(max(-change, 0), left.get(token, 0))
        else:
            self.end(name)

    def late(self) -> None:
        """What had timed out was mined after all, capital or not."""
        over = [name for name in sorted(self.owners) if name not in self.left]
        if over and self.blocks:
            name = self.rng.choice(over)
            changes = {QUOTE: -self.rng.randrange(APPETITE), BASE: self.rng.randrange(APPETITE)}
            self.over_spent = True
            self.post(name, self.owners[name], changes, gas=0, partial=False)

    def post(
        self,
        name: str,
        shares: tuple[Share, ...],
        changes: dict[Address, int],
        *,
        gas: int,
        partial: bool,
    ) -> None:
        """Tell the ledger of a fill in the newest block."""
        hash_, fills = self.blocks[-1]
        fill = Fill(
            verdict_id=name,
            agents=tuple(sorted(share.agent for share in shares)),
            landed=bool(changes),
            block_number=self.block,
            block_hash=hash_,
            tx_hashes=(Hash(f"0x{self.rng.getrandbits(256):064x}"),),
            changes={str(token): change for token, change in changes.items()},
            gas_fee_wei=gas,
        )
        gas_before = self.ledger.state().gas
        parts = self.ledger.post(fill, shares, partial=partial)
        gas_after = self.ledger.state().gas
        paid = {agent: gas_after.get(agent, 0) - gas_before.get(agent, 0) for agent in AGENTS}
        fair(paid, gas, shares)
        for token, change in changes.items():
            fair({agent: book.get(token, 0) for agent, book in parts.items()}, change, shares)
        mined = Mined(fill, shares, parts, paid)
        fills.append(mined)
        self.take(mined, sign=1)

    def take(self, mined: "Mined", *, sign: int) -> None:
        """Count a fill, or take it back."""
        for agent, book in mined.parts.items():
            for token, change in book.items():
                self.gains[agent][token] += sign * change
                self.chain[token] += sign * change
        for agent, paid in mined.gas.items():
            self.gas[agent] += sign * paid

    def mined(self) -> "list[Mined]":
        """What fills changed anything, and is in a block that stands."""
        return [one for _, fills in self.blocks for one in fills if one.fill.changes]

    def void(self) -> None:
        """A plan was not sent after all; it cannot be released twice."""
        if self.left:
            name = self.rng.choice(sorted(self.left))
            assert self.ledger.void(name)
            assert not self.ledger.void(name)
            self.end(name)

    def told_twice(self) -> None:
        """News of a fill that is booked already changes nothing."""
        told = self.mined()
        if told:
            fill, shares, *_ = self.rng.choice(told)
            assert self.ledger.post(fill, shares) == {}

    def reorg(self) -> None:
        """The newest blocks go, with their fills."""
        depth = min(len(self.blocks), self.rng.randint(1, 3))
        gone, self.blocks = self.blocks[len(self.blocks) - depth :], self.blocks[: -depth or None]
        undone = self.ledger.revert([hash_ for hash_, _ in gone])
        fills = [one for _, fills in gone for one in fills if one.fill.changes]
        assert sorted(undone) == sorted(one.fill.verdict_id for one in fills)
        for one in fills:
            self.take(one, sign=-1)
        self.over_spent = self.over_spent or bool(fills)  # what they brought in is gone

    def trade_inside(self) -> None:
        """Two agents trade with each other; no unit leaves the account."""
        buyer, seller = self.rng.sample(AGENTS, 2)
        amount, price = self.rng.randrange(APPETITE), self.rng.randrange(APPETITE)
        moves = [
            Transfer(agent=buyer, token=BASE, change=amount),
            Transfer(agent=seller, token=BASE, change=-amount),
            Transfer(agent=buyer, token=QUOTE, change=-price),
            Transfer(agent=seller, token=QUOTE, change=price),
        ]
        self.ledger.transfer(moves)
        for move in moves:
            self.gains[move.agent][move.token] += move.change

    def crash(self) -> None:
        """The process dies here: between reserve and submit, or submit and receipt."""
        written = msgspec.json.encode(self.ledger.memory())
        again = Ledger()
        again.resume(msgspec.json.decode(written, type=LedgerMemory))
        assert json.loads(written) == json.loads(msgspec.json.encode(again.memory()))
        self.ledger = again


def check(seed: int) -> None:
    """Try one seed."""
    schedule = Schedule(seed)
    schedule.run()
    parts = schedule.ledger._accounts
    assert all(parts.holders(bucket) == () for bucket in PROMISED), "a promise leaked"
    assert set(parts.holders(Bucket.FREE)) <= {OWNER}
    check_turns(seed)
