"""Fills in their numbers: what agents gained adds up to what the account did, to the wei."""

import random
from collections import Counter
from collections.abc import Mapping

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.workers import Batch, in_batches
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address, Hash
from toolkit.model.decision import Fill, Reading, Reservation
from toolkit.orchestrator.capital.ledger import Ledger, Share
from toolkit.orchestrator.capital.profit import account_wei, profits_wei
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.testing.decide import OFFLINE_MARKET

SIZE = 1_000_000
BATCH = 10_000  # fills of one life
AGENTS = tuple(f"agent-{n}" for n in range(8))
TOKENS = (WETH.address, USDC.address, ZERO_ADDRESS)
RICH = 10**27
VALUED_EVERY = 50  # fills
KINDS = {"whole": 6, "partial": 3, "reverted": 2, "missed": 1}
HEADS, REORGS, TWICE = 0.5, 0.05, 0.02  # a fill
KINDS_TOLD = (*KINDS, "undone by a reorg", "told twice")


class Life:
    """One ledger, and what an account without agents would have."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a replayable life, nothing secret
        self.ledger = Ledger()
        self.ledger.open(dict.fromkeys(TOKENS, RICH))
        self.account = dict.fromkeys(TOKENS, 0)  # what fills changed
        self.blocks: list[tuple[Hash, list[Fill]]] = []
        self.counts: Counter[str] = Counter()
        self.block = 0

    def live(self, fills: int) -> None:
        """Take fills one after the other, and add up after each."""
        for number in range(fills):
            self._one(f"v{number}")
            if self.rng.random() < REORGS:
                self._reorg()
            self._add_up()
            if number % VALUED_EVERY == 0:
                self._value()
        self._value()
        self.ledger.expire(self.block + 10)
        assert not self.ledger.memory().held, "a reservation outlives its time"

    def _one(self, name: str) -> None:
        rng, ledger = self.rng, self.ledger
        owners = rng.sample(AGENTS, rng.randint(1, 4))
        shares = [
            Share(agent=agent, intent=f"{name}/{agent}", amount_in=rng.randint(1, 10**21))
            for agent in owners
        ]
        held = Reservation(
            verdict_id=name,
            token=rng.choice(TOKENS),
            amount=rng.randrange(10**21),
            gas_wei=rng.randrange(10**17),
            expires_block=self.block + 3,
        )
        assert ledger.reserve(held, shares), "there is plenty"
        if not self.blocks or rng.random() < HEADS:
            self._head()
        (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
        self.counts[kind] += 1
        if kind == "partial":
            first = self._changes(held, tenths=rng.randrange(1, 8))
            self._post(name, shares, first, partial=True)
            self._post(name, shares, self._changes(held, tenths=2), partial=False)
        elif kind == "whole":
            self._post(name, shares, self._changes(held, tenths=10), partial=False)
        elif kind == "reverted":
            gas = {ZERO_ADDRESS: -rng.randint(1, held.gas_wei + 1)}
            self._post(name, shares, gas, partial=False)
        else:
            self._post(name, shares, {}, partial=False)

    def _changes(self, held: Reservation, *, tenths: int) -> dict[Address, int]:
        changes = {held.token: -held.amount * tenths // 10}
        changes[ZERO_ADDRESS] = changes.get(ZERO_ADDRESS, 0) - held.gas_wei * tenths // 10
        gained = self.rng.choice(TOKENS)
        changes[gained] = changes.get(gained, 0) + self.rng.randrange(10**21)
        return changes

    def _head(self) -> None:
        self.block += 1
        self.ledger.dispatch()
        self.ledger.expire(self.block)
        hash_ = Hash(f"0x{self.block:032x}{self.rng.getrandbits(128):032x}")
        self.blocks = [*self.blocks[-3:], (hash_, [])]

    def _post(
        self, name: str, shares: list[Share], changes: Mapping[Address, int], *, partial: bool
    ) -> None:
        hash_, fills = self.blocks[-1]
        fill = Fill(
            verdict_id=name,
            agents=tuple(sorted(share.agent for share in shares)),
            landed=bool(changes),
            block_number=self.block,
            block_hash=hash_,
            tx_hashes=(Hash(f"0x{self.rng.getrandbits(256):064x}"),),
            changes={str(token): change for token, change in changes.items()},
            gas_fee_wei=max(0, -changes.get(ZERO_ADDRESS, 0)),
        )
        self.ledger.post(fill, shares, partial=partial)
        if changes:
            fills.append(fill)
        for token, change in changes.items():
            self.account[token] += change
        if changes and self.rng.random() < TWICE:  # news of it comes twice
            self.counts["told twice"] += 1
            self.ledger.post(fill, shares)

    def _reorg(self) -> None:
        depth = self.rng.randint(1, len(self.blocks))
        gone, self.blocks = self.blocks[-depth:], self.blocks[:-depth]
        undone = self.ledger.revert([hash_ for hash_, _ in gone])
        fills = [fill for _, fills in gone for fill in fills]
        assert sorted(undone) == sorted(fill.verdict_id for fill in fills)
        self.counts["undone by a reorg"] += len(fills)
        for fill in fills:
            for token, change in fill.changes.items():
                self.account[Address(token)] -= change
        if not self.blocks:
            self._head()

    def _add_up(self) -> None:
        books = [self.ledger.book(agent) for agent in AGENTS]
        for token in TOKENS:
            gained = sum(book.get(token, 0) for book in books)
            assert gained == self.account[token], f"{token}: {gained} for {self.account[token]}"
            assert self.ledger.balance(token).adds_up, f"{self.ledger.balance(token)}"
            assert self.ledger.total(token) == RICH + gained

    def _value(self) -> None:
        """At any price, agents' gains in wei are the account's."""
        readings = {
            source.key: Reading(
                key=source.key,
                value=str(self.rng.randrange(10**9, 10**11) / 10**7),
                source=source.pool,
                block_number=self.block,
                block_hash=ZERO_HASH,
                observed_at=self.block,
                max_age_blocks=1,
            )
            for source in OFFLINE_MARKET.prices
        }
        books = {agent: self.ledger.book(agent) for agent in AGENTS}
        whole = {"account": self.account}
        parts = profits_wei(books, OFFLINE_MARKET, readings)
        account = account_wei(whole, OFFLINE_MARKET, readings)
        assert sum(parts.values()) == account, f"{sum(parts.values())} for {account}"
        self.counts["valuations"] += 1


def life(batch: Batch) -> tuple[dict[str, int], tuple[str, ...]]:
    """Live one life of so many fills."""
    seed, fills = batch
    one = Life(seed)
    try:
        one.live(fills)
    except AssertionError as error:
        return dict(one.counts), (f"seed {seed}: {error}",)
    return dict(one.counts), ()


def work(progress: Progress) -> None:
    """Live on every core until all fills are booked."""
    for fills, (counts, failures) in in_batches(progress, life, batch=BATCH):
        progress.add(counts)
        progress.advance(fills, failures=failures)


def figures(run: Run) -> tuple[Figure, ...]:
    """What kinds of fills there were, and how often all was valued."""
    counts = {name: count for name, count in run.counts.items() if not isinstance(count, dict)}
    kinds = tuple(
        Figure(name=f"fills {kind}", unit="", ours=float(counts.get(kind, 0)))
        for kind in KINDS_TOLD
    )
    times = Figure(
        name="times that agents' gains in wei were compared with the account's",
        unit="",
        ours=float(counts.get("valuations", 0)),
    )
    return (*kinds, times)


PART = Part(
    size=SIZE,
    cases="fills",
    work=work,
    figures=figures,
    not_covered=("tokens that take a fee of each transfer",),
)
