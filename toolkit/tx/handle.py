"""What a caller holds of a transaction or a leased bundle."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, LaneHalted, ToolkitError
from toolkit.model.tx import Outcome, SignedTransaction
from toolkit.tx.lane import LaneState


class BundleLease(msgspec.Struct, frozen=True, kw_only=True):
    """Signed transactions on nonces that are held for them until `target_block` has passed."""

    lease_id: str
    sender: Address
    signed: tuple[SignedTransaction, ...]
    target_block: int


class Track:
    """The end of one request as far as it is known, and who waits for it."""

    def __init__(self, name: str, *, lane: Callable[[], LaneState]) -> None:
        self.error: ToolkitError | None = None
        self._name = name
        self._lane = lane
        self._outcome: Outcome | None = None
        self._changed = asyncio.Event()

    @property
    def tx_hash(self) -> Hash | None:
        """Of what was mined, else of the latest attempt."""
        if self._outcome is not None:
            return self._outcome.tx_hash
        job = self._lane().jobs.get(self._name)
        return job.last.signed.hash if job is not None and job.tries else None

    @property
    def over(self) -> bool:
        """Whether nothing can change its end any more."""
        ended = self._outcome is not None or self.error is not None
        return ended and self._name not in self._lane().jobs

    def finish(self, outcome: Outcome) -> None:
        """It ended like this."""
        self._outcome = outcome
        self.notify()

    def fail(self, error: ToolkitError) -> None:
        """It can never be sent."""
        self.error = error
        self.notify()

    def reopen(self) -> None:
        """A reorg took its end back."""
        self._outcome = None
        self.notify()

    def close(self) -> None:
        """Nobody in this process follows it any longer."""
        if self._outcome is None and self.error is None:
            self.error = LaneHalted(f"scheduler closed; {self._name} goes on at its next start")
        self.notify()

    def notify(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, confirmations: int) -> Outcome:
        """The outcome, as soon as it is `confirmations` deep."""
        while True:
            changed = self._changed
            if self.error is not None:
                raise self.error
            if self._outcome is not None and self._deep_enough(confirmations):
                return self._outcome
            await changed.wait()

    def _deep_enough(self, confirmations: int) -> bool:
        state = self._lane()
        return self._name not in state.jobs or state.depth(self._name) >= confirmations


class Sent:
    """A transaction that the scheduler follows to its end, whether or not anybody waits."""

    def __init__(
        self,
        request_id: str,
        track: Track,
        *,
        cancel: Callable[[], Awaitable[None]],
        most_confirmations: int,
    ) -> None:
        self.request_id = request_id
        self._track = track
        self._cancel = cancel
        self._most = most_confirmations

    def __repr__(self) -> str:
        """Name the request and its present hash."""
        return f"Sent({self.request_id}, {self.tx_hash})"

    @property
    def tx_hash(self) -> Hash | None:
        """Of the attempt that was mined, else of the latest; None while it waits for a nonce."""
        return self._track.tx_hash

    async def wait(self, confirmations: int = 1) -> Outcome:
        """Wait for the end under `confirmations` blocks (at least the scheduler's own number).

        Raises:
            ConfigError: more confirmations than the scheduler remembers blocks.
            RejectedByNode, SignerError: it can never be sent; no nonce was used.
            LaneHalted: the scheduler was closed; the request goes on at its next start.
        """
        if not 1 <= confirmations <= self._most:
            raise ConfigError(f"confirmations {confirmations} is not between 1 and {self._most}")
        return await self._track.wait(confirmations)

    async def cancel(self) -> None:
        """Ask that it not happen. Only the outcome tells whether that came in time."""
        await self._cancel()
