"""Capital: who holds what, what is promised, and whose gain a fill was. Integers only."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Fill, Reservation
from toolkit.model.errors import ConfigError

REORG_MEMORY = 256
"""Fills whose block may still be reverted; older ones are taken as final."""


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


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as it was booked, kept while its block may be reverted."""

    verdict_id: str
    block_hash: Hash
    changes: dict[str, dict[Address, int]]


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable copy of the ledger, in smallest units."""

    initial: dict[Address, int]
    books: dict[str, dict[Address, int]]
    reserved: dict[Address, int]


def split(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide a signed amount in proportion to `weights`, without losing a unit.

    Each part is rounded towards 0; units left over go to the largest remainders, first come
    first served among equals. A sum of weights of 0 gives everything to the first.
    """
    if not weights or min(weights) < 0:
        raise ConfigError(f"cannot divide {amount} by weights {list(weights)}")
    total = sum(weights)
    if total == 0:
        return (amount, *(0 for _ in weights[1:]))
    size, sign = abs(amount), -1 if amount < 0 else 1
    parts = [size * weight // total for weight in weights]
    left = size - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % total), i))
    for index in by_remainder[:left]:
        parts[index] += 1
    assert sum(parts) == size
    return tuple(sign * part for part in parts)


def attribute(fill: Fill, shares: Sequence[Share]) -> dict[str, dict[Address, int]]:
    """Divide what a fill changed among the agents whose intents it served, exactly."""
    if not shares:
        raise ConfigError(f"fill of {fill.verdict_id} serves no intent")
    agents = sorted({share.agent for share in shares})
    weights = [sum(s.amount_in for s in shares if s.agent == agent) for agent in agents]
    books: dict[str, dict[Address, int]] = {agent: {} for agent in agents}
    for token, change in sorted(fill.changes.items()):
        for agent, part in zip(agents, split(change, weights), strict=True):
            books[agent][Address(token)] = part
    return books


class Ledger:
    """Double entry per agent and token over one set of accounts.

    The accounts' balance of a token is what they began with plus every agent's book, and is
    either free or reserved: `free + reserved == total`, after every operation. Books are
    signed: an agent that bought owes what it paid. Reservations are two-phase: `reserve`, then
    exactly one of `post`, `void` or the timeout.
    """

    def __init__(self) -> None:
        self._initial: dict[Address, int] | None = None
        self._books: dict[str, dict[Address, int]] = {}
        self._held: dict[str, Reservation] = {}
        self._posted: list[Posted] = []

    def open(self, balances: Mapping[Address, int]) -> None:
        """Start the books from the accounts' balances; once."""
        if self._initial is not None:
            raise ConfigError("the ledger is open already")
        if negative := [token for token, amount in balances.items() if amount < 0]:
            raise ConfigError(f"negative opening balance of {', '.join(sorted(negative))}")
        self._initial = dict(balances)

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
        opening = self._initial or {}
        moved = {token: opening.get(token, 0) + change for token, change in changes.items()}
        self._initial = {**opening, **moved}
        return changes

    @property
    def is_open(self) -> bool:
        """Whether opening balances are known."""
        return self._initial is not None

    def total(self, token: Address) -> int:
        """Return what the accounts must hold on the chain."""
        initial = (self._initial or {}).get(token, 0)
        return initial + sum(book.get(token, 0) for book in self._books.values())

    def reserved(self, token: Address) -> int:
        """Return what is promised to plans; worst-case gas counts as native token."""
        tokens = sum(r.amount for r in self._held.values() if r.token == token)
        gas = sum(r.gas_wei for r in self._held.values()) if token == ZERO_ADDRESS else 0
        return tokens + gas

    def free(self, token: Address) -> int:
        """Return what may still be promised."""
        return self.total(token) - self.reserved(token)

    def book(self, agent: str) -> dict[Address, int]:
        """Return a copy of one agent's signed book."""
        return dict(self._books.get(agent, {}))

    @property
    def agents(self) -> tuple[str, ...]:
        """Everybody who has a book, sorted; also who is not asked any more."""
        return tuple(sorted(self._books))

    def reserve(self, reservation: Reservation) -> bool:
        """Promise capital and gas to a verdict; False, and nothing changed, if there is too little.

        Raises:
            ConfigError: negative amounts, or the verdict holds a reservation already.
        """
        if reservation.amount < 0 or reservation.gas_wei < 0:
            raise ConfigError(f"negative reservation for {reservation.verdict_id}")
        if reservation.verdict_id in self._held:
            raise ConfigError(f"verdict {reservation.verdict_id} holds a reservation already")
        asked = {reservation.token: reservation.amount}
        asked[ZERO_ADDRESS] = asked.get(ZERO_ADDRESS, 0) + reservation.gas_wei
        if any(amount > max(self.free(token), 0) for token, amount in asked.items()):
            return False
        self._held[reservation.verdict_id] = reservation
        return True

    def post(self, fill: Fill, shares: Sequence[Share]) -> dict[str, dict[Address, int]]:
        """Book what a fill changed, release its reservation, and return each agent's part.

        Also books fills that come after the timeout: the chain is right, and the ledger follows.
        """
        self._held.pop(fill.verdict_id, None)
        parts = attribute(fill, shares)
        self._apply(parts)
        if fill.block_hash is not None and fill.changes:
            entry = Posted(verdict_id=fill.verdict_id, block_hash=fill.block_hash, changes=parts)
            self._posted = [*self._posted[-REORG_MEMORY + 1 :], entry]
        return parts

    def void(self, verdict_id: str) -> bool:
        """Release a reservation unused; False if there was none (it was resolved before)."""
        return self._held.pop(verdict_id, None) is not None

    def expire(self, block: int) -> tuple[str, ...]:
        """Release what was promised for blocks before `block`, and name it."""
        late = sorted(key for key, held in self._held.items() if held.expires_block < block)
        for verdict_id in late:
            del self._held[verdict_id]
        return tuple(late)

    def transfer(self, transfers: Iterable[Transfer]) -> None:
        """Book a trade between agents, at no cost and without the chain.

        Raises:
            ConfigError: the transfers do not add up to 0 in each token.
        """
        moves = tuple(transfers)
        for token in {move.token for move in moves}:
            if sum(move.change for move in moves if move.token == token):
                raise ConfigError(f"transfers of {token} do not add up to 0")
        for move in moves:
            self._apply({move.agent: {move.token: move.change}})

    def revert(self, blocks: Iterable[Hash]) -> tuple[str, ...]:
        """Take back fills of blocks that are no longer canonical, and name their verdicts."""
        gone = frozenset(blocks)
        undone = [entry for entry in self._posted if entry.block_hash in gone]
        self._posted = [entry for entry in self._posted if entry.block_hash not in gone]
        for entry in undone:
            self._apply(
                {
                    agent: {token: -change for token, change in book.items()}
                    for agent, book in entry.changes.items()
                }
            )
        return tuple(entry.verdict_id for entry in undone)

    def expected(self) -> dict[Address, int]:
        """Return the balance the chain must show for every token ever held."""
        tokens = set(self._initial or {}) | {t for book in self._books.values() for t in book}
        return {token: self.total(token) for token in sorted(tokens)}

    def state(self) -> LedgerState:
        """Return an immutable copy of all of it."""
        tokens = sorted({held.token for held in self._held.values()} | {ZERO_ADDRESS})
        return LedgerState(
            initial=dict(sorted((self._initial or {}).items())),
            books={
                agent: dict(sorted(book.items())) for agent, book in sorted(self._books.items())
            },
            reserved={token: self.reserved(token) for token in tokens if self.reserved(token)},
        )

    def _apply(self, parts: Mapping[str, Mapping[Address, int]]) -> None:
        for agent, changes in parts.items():
            book = self._books.setdefault(agent, {})
            for token, change in changes.items():
                book[token] = book.get(token, 0) + change
