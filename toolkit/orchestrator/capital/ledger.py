"""Capital: who holds what, what is promised, and whose gain a fill was. Integers only."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Fill, Reservation
from toolkit.model.errors import ConfigError
from toolkit.model.units import split
from toolkit.orchestrator.capital.accounts import OWNER, Accounts, Balance, Bucket

REORG_BLOCKS = 256
"""Fills this far behind the newest may still be reverted; older ones are taken as final."""
MOST = 8_192
"""Fills that are kept at most while their blocks may be reverted."""

FREE = (Bucket.FREE, OWNER)


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One intent's part of a leg, in units of the leg's input token."""

    agent: str
    intent: str
    amount_in: int


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one agent's book; the transfers of a verdict add up to 0 in each token."""

    agent: str
    token: Address
    change: int


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation as it is held: what is left of it for each agent, and whether it is sent."""

    reservation: Reservation
    parts: dict[str, dict[Address, int]]
    sent: bool = False

    @property
    def bucket(self) -> Bucket:
        """Where its capital is."""
        return Bucket.IN_FLIGHT if self.sent else Bucket.RESERVED


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as it was booked, kept while its block may be reverted."""

    verdict_id: str
    block_number: int
    block_hash: Hash
    tx_hashes: tuple[Hash, ...]
    changes: dict[str, dict[Address, int]]
    gas: dict[str, int]

    @property
    def key(self) -> tuple[str, Hash, tuple[Hash, ...]]:
        """What makes it this fill: news of it may come twice."""
        return self.verdict_id, self.block_hash, self.tx_hashes


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable copy of the ledger, in smallest units.

    `books` are agents' signed gains; `promised` is held for plans, sent or not, and `in_flight`
    the part of it that was sent; `gas` is what agents' fills cost, in wei, part of their books.
    """

    initial: dict[Address, int]
    books: dict[str, dict[Address, int]]
    promised: dict[Address, int]
    in_flight: dict[Address, int]
    gas: dict[str, int]


class LedgerMemory(msgspec.Struct, frozen=True, kw_only=True):
    """All that a ledger is: what one resumes from."""

    initial: dict[Address, int] | None
    books: dict[str, dict[Address, int]]
    held: tuple[Held, ...]
    posted: tuple[Posted, ...]
    gas: dict[str, int]
    served: dict[str, int]
    turns: int


def weights_of(shares: Sequence[Share]) -> dict[str, int]:
    """Return each agent's part in what its intents share, by name."""
    if len(shares) == 1:
        return {shares[0].agent: shares[0].amount_in}
    weights: dict[str, int] = {}
    for share in sorted(shares, key=lambda one: one.agent):
        weights[share.agent] = weights.get(share.agent, 0) + share.amount_in
    return weights


def attribute(fill: Fill, shares: Sequence[Share]) -> dict[str, dict[Address, int]]:
    """Divide what a fill changed among the agents whose intents it served, exactly."""
    if not shares:
        raise ConfigError(f"fill of {fill.verdict_id} serves no intent")
    return _divided({Address(token): change for token, change in fill.changes.items()}, shares)


class Ledger:
    """Double entry per agent and token over one chain's accounts.

    What the owner put in is free, reserved for plans, in flight with those that were sent, or
    posted: paid out by agents' fills, less what these brought in. The four add up to it after
    every operation, and what the chain must show is what is not posted. Reservations are
    two-phase: `reserve`, then exactly one of `post`, `void` or the timeout.
    """

    def __init__(self) -> None:
        self._accounts = Accounts()
        self._free = self._accounts.sums(Bucket.FREE)
        self._reserved = self._accounts.sums(Bucket.RESERVED)
        self._in_flight = self._accounts.sums(Bucket.IN_FLIGHT)
        self._expected: dict[Address, int] | None = None  # None where it has to be added up anew
        self._opened = False
        self._held: dict[str, Held] = {}
        self._recent: deque[Posted] = deque()
        self._booked: set[tuple[str, Hash, tuple[Hash, ...]]] = set()  # keys of `_recent`
        self._verdicts: Counter[str] = Counter()  # of `_recent`: most fills are told once
        self._gas: dict[str, int] = {}
        self._served: dict[str, int] = {}
        self._turns = 0

    def open(self, balances: Mapping[Address, int]) -> None:
        """Start the books from the accounts' balances; once."""
        if self._opened:
            raise ConfigError("the ledger is open already")
        if negative := [token for token, amount in balances.items() if amount < 0]:
            raise ConfigError(f"negative opening balance of {', '.join(sorted(negative))}")
        self._endow(balances)

    def rebase(self, balances: Mapping[Address, int]) -> dict[Address, int]:
        """Take the chain's balances as they are, and return what nobody's book explains.

        For what moved while nobody watched: the difference goes into the opening balances,
        which may become negative where the owner took out what agents had gained.
        """
        changes = {
            token: found - self.total(token)
            for token, found in sorted(balances.items())
            if found != self.total(token)
        }
        self._endow(changes)
        return changes

    @property
    def opening(self) -> Mapping[Address, int]:
        """What the owner put in, by token."""
        return self._accounts.capital

    @property
    def is_open(self) -> bool:
        """Whether opening balances are known."""
        return self._opened

    def balance(self, token: Address) -> Balance:
        """Return where a token's capital is."""
        return self._accounts.balance(token)

    def total(self, token: Address) -> int:
        """Return what the accounts must hold on the chain."""
        return self._accounts.capital_of(token) - self._accounts.sum_of(Bucket.POSTED, token)

    def promised(self, token: Address) -> int:
        """Return what is held for plans, sent or not; worst-case gas counts as native token."""
        return self._reserved.get(token, 0) + self._in_flight.get(token, 0)

    def free(self, token: Address) -> int:
        """Return what may still be promised; below 0 where late fills took more than there is."""
        return self._free.get(token, 0)

    def available(self, token: Address, held: int) -> int:
        """Return what may be promised where the chain confirms that `held` is there: no more."""
        promised = self._reserved.get(token, 0) + self._in_flight.get(token, 0)
        return min(self._free.get(token, 0), held - promised)

    def book(self, agent: str) -> dict[Address, int]:
        """Return one agent's signed gains, by token."""
        posted = self._accounts.held(Bucket.POSTED, agent)
        return {token: -posted[token] for token in sorted(posted)} if posted else {}

    @property
    def agents(self) -> tuple[str, ...]:
        """Everybody who has a book, sorted; also who is not asked any more."""
        return self._accounts.holders(Bucket.POSTED)

    @property
    def blocks(self) -> dict[int, Hash]:
        """The blocks of fills that may still be reverted."""
        return {entry.block_number: entry.block_hash for entry in self._recent}

    @property
    def served(self) -> dict[str, int]:
        """When each agent last had its turn: the least waits longest."""
        return dict(sorted(self._served.items()))

    def reserve(self, reservation: Reservation, shares: Sequence[Share] = ()) -> bool:
        """Promise capital and gas to a verdict; False, and nothing changed, if there is too little.

        Args:
            reservation: what is promised, and until when.
            shares: whose it is; the owner's where nobody is named.

        Raises:
            ConfigError: negative amounts, or the verdict holds a reservation already.
        """
        name = reservation.verdict_id
        if reservation.amount < 0 or reservation.gas_wei < 0:
            raise ConfigError(f"negative reservation for {name}")
        if name in self._held:
            raise ConfigError(f"verdict {name} holds a reservation already")
        asked = {reservation.token: reservation.amount}
        asked[ZERO_ADDRESS] = asked.get(ZERO_ADDRESS, 0) + reservation.gas_wei
        for token, amount in asked.items():
            if amount > max(self.free(token), 0):
                return False
        parts = _divided(asked, shares)
        self._keep(Held(reservation=reservation, parts=parts))
        self.take_turn([share.agent for share in shares])
        return True

    def take_turn(self, agents: Iterable[str]) -> None:
        """Let agents have had their turn in this block, whatever came of it."""
        self._served.update(dict.fromkeys(agents, self._turns))

    def dispatch(self) -> tuple[str, ...]:
        """Begin a block: what is reserved counts as sent; its end tells what became of it."""
        waiting = tuple(sorted([name for name, held in self._held.items() if not held.sent]))
        self._turns += 1
        for name in waiting:
            held = self._held[name]
            sent = Held(reservation=held.reservation, parts=held.parts, sent=True)
            for agent, amounts in held.parts.items():
                here, there = (Bucket.RESERVED, agent), (Bucket.IN_FLIGHT, agent)
                for token, amount in amounts.items():
                    self._accounts.move(token, amount, out_of=here, into=there)
            self._held[name] = sent
        return waiting

    def post(
        self, fill: Fill, shares: Sequence[Share], *, partial: bool = False
    ) -> dict[str, dict[Address, int]]:
        """Book what a fill changed, release its reservation, and return each agent's part.

        Also books fills that come after the timeout: the chain is right, and the ledger follows.
        A fill that is booked already changes nothing, and nobody has a part in it.

        Args:
            fill: what the chain did.
            shares: whose it is.
            partial: more may follow: what is left of the reservation stays promised.
        """
        parts = attribute(fill, shares)
        entry = Posted(
            verdict_id=fill.verdict_id,
            block_number=fill.block_number,
            block_hash=fill.block_hash or Hash(""),
            tx_hashes=fill.tx_hashes,
            changes=parts,
            gas={agent: gas for agent, gas in _gas_of(fill, shares).items() if gas},
        )
        if entry.key in self._booked:
            return {}
        if fill.verdict_id in self._held:
            held = self._release(fill.verdict_id)
            if partial:
                self._keep(_left(held, fill))
        self._book(entry, sign=1)
        if entry.block_hash and fill.changes:
            self._remember(entry)
        return parts

    def holds(self, verdict_id: str) -> bool:
        """Whether anything is promised to a verdict."""
        return verdict_id in self._held

    def void(self, verdict_id: str) -> bool:
        """Release a reservation unused; False if there was none (it was resolved before)."""
        if verdict_id not in self._held:
            return False
        self._release(verdict_id)
        return True

    def expire(self, block: int) -> tuple[str, ...]:
        """Release what was promised for blocks before `block`, and name it."""
        late = sorted(
            [name for name, held in self._held.items() if held.reservation.expires_block < block]
        )
        for verdict_id in late:
            self._release(verdict_id)
        return tuple(late)

    def transfer(self, transfers: Iterable[Transfer]) -> None:
        """Book a trade between agents, at no cost and without the chain.

        Raises:
            ConfigError: the transfers do not add up to 0 in each token.
        """
        moves = tuple(transfers)
        if not moves:
            return
        for token in sorted({move.token for move in moves}):
            if sum(move.change for move in moves if move.token == token):
                raise ConfigError(f"transfers of {token} do not add up to 0")
        for move in moves:
            self._gain(move.agent, move.token, move.change)

    def revert(self, blocks: Iterable[Hash]) -> tuple[str, ...]:
        """Take back fills of blocks that are no longer canonical, and name their verdicts."""
        gone = frozenset(blocks)
        return self._take_back([entry for entry in self._recent if entry.block_hash in gone])

    def supersede(self, fill: Fill) -> tuple[str, ...]:
        """Take back what was booked for a fill's verdict otherwise than it says.

        A plan lands once, so the newest word is the right one; names the verdict if it was so.
        Transactions of which the fill names none stay: torn apart, they may be in several blocks.
        """
        if fill.verdict_id not in self._verdicts:
            return ()
        there, sent = (fill.block_hash or Hash(""), fill.tx_hashes), frozenset(fill.tx_hashes)
        return self._take_back(
            [
                entry
                for entry in self._recent
                if entry.verdict_id == fill.verdict_id
                and (entry.block_hash, entry.tx_hashes) != there
                and not (sent and entry.tx_hashes and sent.isdisjoint(entry.tx_hashes))
            ]
        )

    def _take_back(self, undone: Sequence[Posted]) -> tuple[str, ...]:
        if undone:
            gone = {entry.key for entry in undone}
            self._recent = deque(one for one in self._recent if one.key not in gone)
            self._verdicts = Counter([one.verdict_id for one in self._recent])
            self._booked -= gone
        for entry in undone:
            self._book(entry, sign=-1)
        return tuple(entry.verdict_id for entry in undone)

    def expected(self) -> dict[Address, int]:
        """Return the balance the chain must show for every token ever held: read-only."""
        if self._expected is None:
            capital, posted = self._accounts.capital, self._accounts.sums(Bucket.POSTED)
            tokens = sorted({*capital, *posted, *self._accounts.tokens(Bucket.POSTED)})
            self._expected = {one: capital.get(one, 0) - posted.get(one, 0) for one in tokens}
        return self._expected

    def state(self) -> LedgerState:
        """Return an immutable copy of all of it."""
        tokens = sorted({token for held in self._held.values() for token in _sums(held)})
        sent = Bucket.IN_FLIGHT
        return LedgerState(
            initial=dict(self._accounts.capital),
            books={agent: self.book(agent) for agent in self.agents},
            promised={token: self.promised(token) for token in tokens},
            in_flight={
                token: amount for token in tokens if (amount := self._accounts.sum_of(sent, token))
            },
            gas=dict(sorted(self._gas.items())),
        )

    def memory(self) -> LedgerMemory:
        """Return all that `resume` needs to go on from here."""
        return LedgerMemory(
            initial=dict(self._accounts.capital) if self._opened else None,
            books={agent: self.book(agent) for agent in self.agents},
            held=tuple(held for _, held in sorted(self._held.items())),
            posted=tuple(self._recent),
            gas=dict(sorted(self._gas.items())),
            served=self.served,
            turns=self._turns,
        )

    def resume(self, memory: LedgerMemory) -> None:
        """Become what another ledger was.

        Raises:
            ConfigError: this one has been used already.
        """
        if self._opened or self._held or self._recent or self._turns:
            raise ConfigError("only a new ledger can resume from another's memory")
        if memory.initial is not None:
            self._endow(memory.initial)
        for agent, book in sorted(memory.books.items()):
            for token, change in sorted(book.items()):
                self._gain(agent, token, change)
        for held in memory.held:
            self._keep(held)
        for entry in memory.posted:
            self._remember(entry)
        self._gas = dict(memory.gas)
        self._served = dict(memory.served)
        self._turns = memory.turns

    def _endow(self, amounts: Mapping[Address, int]) -> None:
        self._opened, self._expected = True, None
        for token, amount in sorted(amounts.items()):
            self._accounts.endow(token, amount)

    def _gain(self, agent: str, token: Address, change: int) -> None:
        self._accounts.move(token, -change, out_of=FREE, into=(Bucket.POSTED, agent))
        self._expected = None

    def _keep(self, held: Held) -> None:
        bucket = held.bucket
        for agent, amounts in held.parts.items():
            for token, amount in amounts.items():
                self._accounts.move(token, amount, out_of=FREE, into=(bucket, agent))
        self._held[held.reservation.verdict_id] = held

    def _release(self, verdict_id: str) -> Held:
        held = self._held.pop(verdict_id)
        bucket = held.bucket
        for agent, amounts in held.parts.items():
            for token, amount in amounts.items():
                self._accounts.move(token, amount, out_of=(bucket, agent), into=FREE)
        return held

    def _book(self, entry: Posted, *, sign: int) -> None:
        for agent, changes in entry.changes.items():
            for token, change in changes.items():
                self._gain(agent, token, sign * change)
                assert self._accounts.adds_up(token)
        for agent, gas in entry.gas.items():
            self._gas[agent] = self._gas.get(agent, 0) + sign * gas

    def _remember(self, entry: Posted) -> None:
        recent = self._recent
        recent.append(entry)
        self._booked.add(entry.key)
        self._verdicts[entry.verdict_id] += 1
        while recent[0].block_number < entry.block_number - REORG_BLOCKS or len(recent) > MOST:
            old = recent.popleft()
            self._booked.discard(old.key)
            self._verdicts[old.verdict_id] -= 1
            if not self._verdicts[old.verdict_id]:
                del self._verdicts[old.verdict_id]


def _divided(
    amounts: Mapping[Address, int], shares: Sequence[Share]
) -> dict[str, dict[Address, int]]:
    """Divide amounts among whose shares there are; the owner's where nobody is named."""
    weights = weights_of(shares) or {OWNER: 1}
    if len(weights) == 1:
        return {agent: dict(sorted(amounts.items())) for agent in weights}
    parts: dict[str, dict[Address, int]] = {agent: {} for agent in weights}
    for token, amount in sorted(amounts.items()):
        for agent, part in zip(weights, split(amount, tuple(weights.values())), strict=True):
            parts[agent][token] = part
    return parts


def _gas_of(fill: Fill, shares: Sequence[Share]) -> dict[str, int]:
    """Divide a fill's gas fee; it is in its changes already, this only says how much it was."""
    weights = weights_of(shares)
    parts = split(fill.gas_fee_wei, tuple(weights.values()))
    return dict(zip(weights, parts, strict=True))


def _sums(held: Held) -> dict[Address, int]:
    """What is left of a reservation, of all agents together."""
    sums: dict[Address, int] = {}
    for amounts in held.parts.values():
        for token, amount in amounts.items():
            sums[token] = sums.get(token, 0) + amount
    return sums


def _left(held: Held, fill: Fill) -> Held:
    """Take what a fill has spent off a reservation, each agent's part in proportion."""
    agents = sorted(held.parts)
    parts: dict[str, dict[Address, int]] = {agent: {} for agent in agents}
    for token, amount in sorted(_sums(held).items()):
        spent = min(max(-fill.changes.get(token, 0), 0), amount)
        before = [held.parts[agent].get(token, 0) for agent in agents]
        for agent, part in zip(agents, split(amount - spent, before), strict=True):
            parts[agent][token] = part
    return msgspec.structs.replace(held, parts=parts)
