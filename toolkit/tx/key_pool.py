"""Spreads requests over several keys: by how busy each lane is, and by what it can pay."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import overload

import msgspec

from toolkit.chain.signer import Signer
from toolkit.model.chain import Address
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError, InsufficientFunds, LaneHalted
from toolkit.model.units import format_units


class KeyLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How one key's lane stands.

    `window` is how many of its transactions may be under way (1 when delegated), `busy` how many
    are, with those that wait for a nonce; `free_balance_wei` is the balance less what all of them
    may cost. A halted lane says why in `halted`.
    """

    sender: Address
    window: int
    busy: int
    free_balance_wei: int
    halted: str = ""

    def __post_init__(self) -> None:
        """A window of none would be a load without measure."""
        if self.window < 1 or self.busy < 0:
            raise ConfigError(
                f"{self.sender} has a window of {self.window} with {self.busy} under way; a window "
                "is at least 1 and a count at least 0"
            )


def choose(loads: Sequence[KeyLoad], cost_wei: int) -> Address:
    """The key that a request of this worst-case cost (gas limit x fee cap + value) goes to.

    Of the keys that can pay it is the least loaded (busy / window), of those the one with the most
    left, and of those the first by address: the same loads always give the same key.

    Raises:
        LaneHalted: every lane has stopped.
        InsufficientFunds: no running lane can pay; names the one that comes nearest.
    """
    running = [load for load in loads if not load.halted]
    if not running:
        why = "; ".join(f"{load.sender}: {load.halted}" for load in loads)
        raise LaneHalted(f"no key of the pool can send ({why or 'it is empty'}); resume one")
    able = [load for load in running if load.free_balance_wei >= cost_wei]
    if not able:
        best = min(running, key=lambda load: (-load.free_balance_wei, load.sender))
        raise InsufficientFunds(
            f"none of {len(running)} keys can pay {format_units(cost_wei, 18)} ether: {best.sender}"
            f" has the most, {format_units(best.free_balance_wei, 18)} beside what is under way; "
            "send it more or wait"
        )
    return min(able, key=_by_load).sender


def _by_load(load: KeyLoad) -> tuple[Fraction, int, Address]:
    return Fraction(load.busy, load.window), -load.free_balance_wei, load.sender


class KeyPool(Sequence[Signer]):
    """Signers between which requests that name no sender are spread.

    Given to `connect` as its signer. The same idempotency key stays with the key it was first
    given to; a request that names its sender goes there.

    Raises:
        ConfigError: no signer, one twice, or something that cannot sign.
    """

    def __init__(self, signers: Sequence[Signer]) -> None:
        if not isinstance(signers, Sequence):
            raise ConfigError(f"a key pool takes a list of signers, not {shown(signers)}")
        self._signers = tuple(signers)
        if not self._signers:
            raise ConfigError("a key pool needs at least one signer")
        for one in self._signers:
            if isinstance(one, type) or not hasattr(one, "sign_transaction"):
                raise ConfigError(f"a key pool holds signers, not a {type(one).__name__}")
        twice = [a for a, n in Counter(one.address for one in self._signers).items() if n > 1]
        if twice:
            raise ConfigError(f"signer {twice[0]} is given twice to the key pool")

    def __repr__(self) -> str:
        """Name the accounts, never a key."""
        return f"KeyPool({', '.join(one.address for one in self._signers)})"

    def __len__(self) -> int:
        return len(self._signers)

    @overload
    def __getitem__(self, index: int) -> Signer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Signer]: ...
    def __getitem__(self, index: int | slice) -> Signer | Sequence[Signer]:
        return self._signers[index]


class Spread:
    """Choices that are made but not yet in a lane: without them, callers at the same moment would
    all see the same loads and all get the same key.
    """

    def __init__(self) -> None:
        self._busy: Counter[Address] = Counter()
        self._cost_wei: Counter[Address] = Counter()

    @contextmanager
    def chosen(self, loads: Sequence[KeyLoad], cost_wei: int) -> Iterator[Address]:
        """Choose a key, and count it as busy with this request until the block is left.

        By then the request is in the lane, which counts it itself, or was refused.

        Raises:
            LaneHalted, InsufficientFunds: as `choose`.
        """
        sender = choose([self._with_choices(load) for load in loads], cost_wei)
        self._busy[sender] += 1
        self._cost_wei[sender] += cost_wei
        try:
            yield sender
        finally:
            self._busy[sender] -= 1
            self._cost_wei[sender] -= cost_wei

    def _with_choices(self, load: KeyLoad) -> KeyLoad:
        return msgspec.structs.replace(
            load,
            busy=load.busy + self._busy[load.sender],
            free_balance_wei=load.free_balance_wei - self._cost_wei[load.sender],
        )
