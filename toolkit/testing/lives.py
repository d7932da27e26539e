"""Lives of one lane under a stress of its own each, beside the mixed one of `simulation`.

What is rare on a bad day is what happens most here: refusals for good, callers without patience,
strangers on the account, answers of a backend that lags. The chain and the pools say what is true.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress

import msgspec

from toolkit.chain.signer import Signer
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import (
    IdempotencyConflict,
    NodeError,
    NodeUnavailable,
    RejectedByNode,
    SignerError,
    ToolkitError,
)
from toolkit.model.tx import (
    Attempt,
    Cancelled,
    Exposure,
    SignedTransaction,
    TransactionRequest,
    UnsignedTransaction,
    Urgency,
)
from toolkit.testing.durable import Checked
from toolkit.testing.fakes import (
    ETHER,
    FRIEND,
    GWEI,
    OWNER,
    BatchingWorld,
    Mempool,
    SlowSigner,
    World,
)
from toolkit.testing.faults import CHAOS
from toolkit.testing.simulation import CONFIG, Ask, Schedule
from toolkit.testing.truth import Story
from toolkit.tx.fees import CANCEL_GAS
from toolkit.tx.handle import Sent
from toolkit.tx.job import REFUSAL_PATIENCE

Action = Callable[[], Coroutine[None, None, None]]

FOR_GOOD = "refused for good: "
_CALM = {name: rate / 2 for name, rate in CHAOS.items()} | {"delay": 1.0}


def calm_world(rng: random.Random) -> World:
    """Half of every fault: what a life adds of its own comes on top."""
    return rng.choice([World, BatchingWorld])(rng, **_CALM)


# Destinations, and a signer, that refuse for good.


def stubborn_world(rng: random.Random) -> World:
    """A pool that forgets and loses much; what refuses for good are its destinations."""
    return World(
        rng,
        delay=1.0,
        skip=0.5,
        refused=0.1,
        lost_before=0.12,
        lost_after=0.12,
        dropped=0.2,
        unreachable=0.002,
        unsigned=0.15,
    )


class Picky(Checked):
    """A destination that refuses some bytes: from the first, after a while, or now and then."""

    def __init__(self, life: "Stubborn", name: str, exposure: Exposure) -> None:
        super().__init__(life.world, life.backend, name, exposure)
        self._dearest = life.config.max_cost_wei // CANCEL_GAS // 2
        self._moods: dict[Hash, list[bool]] = {}  # whether it refuses: the next times, then always
        self.taken: set[Hash] = set()  # since the process that heard of it began
        self.refused: Counter[Hash] = Counter()  # in a row since then
        self.insisted: set[Hash] = set()  # refused so often that it is to be believed

    def refuses(self, tx_hash: Hash) -> bool:
        """Whether it would refuse these bytes now."""
        return self._moods.get(tx_hash, [False])[0]

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take the bytes, or refuse them in words that mean for good."""
        tx_hash, dear = attempt.signed.hash, attempt.signed.unsigned.fee_cap > self._dearest
        if dear and self.world.faults and self.world.rng.random() < 0.4:  # noqa: PLR2004 - often
            self.world.struck["refused"] += 1
            raise NodeUnavailable("connection refused", sent=False)
        mood = self._moods.setdefault(tx_hash, self._mood(attempt))
        refuses = mood[0]
        if len(mood) > 1:
            mood.pop(0)
        if refuses:
            self.world.struck["banned"] += 1
            self.refused[tx_hash] += 1
            if self.refused[tx_hash] >= (REFUSAL_PATIENCE if tx_hash in self.taken else 1):
                self.insisted.add(tx_hash)
            raise RejectedByNode("transaction type not supported")
        await super().send(attempt, target_block=target_block)
        self.taken.add(tx_hash)
        self.refused[tx_hash] = 0

    def _mood(self, attempt: Attempt) -> list[bool]:
        # A bid near the ceiling cannot be outbid: refused for good it would hang for ever.
        if attempt.signed.unsigned.fee_cap > self._dearest:
            return [False]
        rng, mood = self.world.rng, list[bool]()
        if rng.random() < 0.15:  # noqa: PLR2004 - now and then it never takes it at all
            return [True]
        for _ in range(rng.randrange(4)):  # of two minds for a while, never to be believed
            mood += [False] * rng.randint(1, 2) + [True] * rng.randint(1, REFUSAL_PATIENCE - 1)
        return [*mood, *[False] * rng.randint(1, 2), rng.random() < 0.7]  # noqa: PLR2004 - mostly


class Guarded(SlowSigner):
    """A signer with a policy: payloads above a price are not signed, empty transfers always."""

    most_gwei = 0
    """The highest fee cap it signs for; 0 without a bound."""

    async def sign_transaction(self, unsigned: UnsignedTransaction) -> SignedTransaction:
        """Sign, unless the policy forbids it."""
        empty = unsigned.to == self.address and unsigned.value == 0
        if self.most_gwei and not empty and unsigned.fee_cap > self.most_gwei * GWEI:
            raise SignerError("above what the policy allows")
        return await super().sign_transaction(unsigned)


class Stubborn(Schedule):
    """Destinations that refuse for good, bids too dear to outbid, a signer that will not."""

    config = msgspec.structs.replace(CONFIG, max_cost_wei=40 * GWEI * CANCEL_GAS)

    def place(self, name: str, exposure: Exposure) -> Mempool:
        """A destination of its own mind."""
        return Picky(self, name, exposure)

    def signer(self) -> Signer:
        """Whose policy is drawn with each process."""
        self.policy = Guarded(self.world)
        self.policy.most_gwei = self.rng.choice([0, 0, 12, 20])
        return self.policy

    def weights(self) -> dict[Action, int]:
        """More is cancelled, nothing reorganises."""
        return {
            self._send: 10,
            self._head: 16,
            self._cancel: 4,
            self._replace: 4,
            self._fees: 4,
            self._busy: 2,
            self._regret: 9,
            self._hurry: 3,
            self._crash: 1,
        }

    async def _fees(self) -> None:
        """Mostly low; now and then where nothing can be outbid below the ceiling."""
        dear = self.rng.random() < 0.25  # noqa: PLR2004 - now and then
        self.world.base_fee = (self.rng.randint(16, 36) if dear else self.rng.randint(5, 12)) * GWEI

    async def _hurry(self) -> None:
        """Bid what can hardly be outbid, and think better of it."""
        if not self.sent:
            return
        sent = self.sent[self.rng.choice(sorted(self.sent))]
        with suppress(ToolkitError):
            await sent.speed_up(max_fee_per_gas=self.rng.randint(34, 40) * GWEI)
        if self.rng.random() < 0.5:  # noqa: PLR2004 - a coin
            await sent.cancel()

    async def _drain(self) -> None:
        """Nodes begin again with empty pools: whatever is under way has to be handed out anew."""
        self.world.pool.clear()
        await super()._drain()

    async def _regret(self) -> None:
        """Given up while it is being handed out once more."""

        async def cancel() -> None:
            for _ in range(self.rng.randrange(12)):
                await asyncio.sleep(0)
            await self._cancel()

        await asyncio.gather(self._head(), *(cancel() for _ in range(4)))

    def wish(self) -> Ask:
        """Often for both destinations, which need not agree."""
        ask = super().wish()
        if self.rng.random() < 0.4:  # noqa: PLR2004 - often
            return ask._replace(destinations=(self.public, self.relay))
        return ask

    async def _boot(self) -> None:
        for one in (self.public, self.relay):
            assert isinstance(one, Picky)
            one.taken.clear()  # what a process that died had heard is not known to the next
        await super()._boot()

    def _check_said(self) -> None:
        """Whatever nobody refuses has been handed out again by now, if pools forgot it."""
        super()._check_said()
        for sent in self.sent.values():
            now = sent.status()
            held = now.nonce is not None and now.nonce >= self.world.spent
            if not held or now.state not in {"prepared", "broadcast"} or now.tx_hash is None:
                continue
            asked = self._asked_of(sent).destinations or (self.public,)
            wanted = not any(isinstance(one, Picky) and one.refuses(now.tx_hash) for one in asked)
            unwanted = "cancellation" in now.waiting_for
            there = now.nonce in self.world.pool
            assert there or unwanted or not wanted, f"{sent.request_id} is forgotten: {now}"

    def held_up(self, sent: Sent) -> bool:
        """Also what queues behind it, where nobody takes what may be out."""
        if sent.status().nonce is not None:
            return super().held_up(sent)
        state = self.scheduler.runner(OWNER.address).state
        places = {one.name: one for one in (self.public, self.relay)}
        out = [one for one in state.jobs[state.slots[self.world.spent]].tries if one.exposed]
        return all(
            isinstance(place := places[name], Picky) and place.refuses(one.signed.hash)
            for one in out
            for name in one.exposures
        )

    def _asked_of(self, sent: Sent) -> Ask:
        key = next(key for key, one in self.sent.items() if one is sent)
        return self._asked[key]

    def check_story(self, story: Story) -> None:
        """Nobody is given up because of a refusal that was not meant."""
        super().check_story(story)
        places = {one.name: one for one in (self.public, self.relay)}
        for name, told in story.requests.items():
            if not isinstance(told.end, Cancelled) or not told.end.reason.startswith(FOR_GOOD):
                continue
            meant = [
                all(
                    isinstance(one := places[place], Picky) and made.signed.hash in one.insisted
                    for place in told.accepted.destinations
                )
                for _, made in told.attempts
                if not made.cancels
            ]
            assert any(meant), f"{name} was given up, though somebody may take it: {told.end}"


# Callers without patience, or of two minds.


class Clumsy(Checked):
    """A destination of an author's own that breaks now and then, before or after it was sent."""

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Hand it over, or fail in a way that no node fails."""
        if self.world.faults and self.world.rng.random() < 0.04:  # noqa: PLR2004 - now and then
            self.world.struck["broken"] += 1
            raise Broken("a mistake in the author's own code")
        await super().send(attempt, target_block=target_block)


class Broken(Exception):
    """No error of the toolkit."""


class Impatient(Schedule):
    """Calls are given up in the middle, and no later process puts right what they leave behind."""

    def place(self, name: str, exposure: Exposure) -> Mempool:
        """A relay of the author's own."""
        return Clumsy(self.world, self.backend, name, exposure)

    def weights(self) -> dict[Action, int]:
        """Half of everything is given up."""
        return {
            self._send: 8,
            self._head: 10,
            self._abandon: 14,
            self._cancel: 2,
            self._replace: 2,
            self._fees: 2,
            self._busy: 2,
        }

    async def _ask(self, ask: Ask) -> Sent | None:
        with suppress(Broken):
            return await super()._ask(ask)
        return None  # accepted or not: its key will tell

    async def _cancel(self) -> None:
        with suppress(Broken):
            await super()._cancel()

    async def _replace(self) -> None:
        with suppress(Broken):
            await super()._replace()

    async def _node_answers(self, asking: Coroutine[None, None, None]) -> bool:
        try:
            return await super()._node_answers(asking)
        except Broken:
            return True  # the head has been taken in all the same


class Hasty(Schedule):
    """Authors of two minds: cancelled and replaced at once, the same key twice, or for another."""

    def weights(self) -> dict[Action, int]:
        """Much at the same moment."""
        return {
            self._send: 8,
            self._head: 12,
            self._waver: 6,
            self._twice: 6,
            self._conflict: 3,
            self._fees: 2,
            self._crash: 1,
        }

    async def _waver(self) -> None:
        """Replace and cancel the same request at the same moment."""
        if not self.sent:
            return
        sent = self.sent[self.rng.choice(sorted(self.sent))]

        async def replace() -> None:
            await self._turns(4)
            wish = TransactionRequest(to=FRIEND, value=self.rng.randrange(ETHER))
            with suppress(ToolkitError):
                await sent.replace(wish, urgency=Urgency.NEXT_BLOCK)

        async def cancel() -> None:
            await self._turns(12)
            await sent.cancel()

        await asyncio.gather(replace(), cancel(), self._send_one())

    async def _twice(self) -> None:
        """The same key from two places at once; the first may lose patience."""
        ask = self.wish()
        self._asked[ask.key] = ask
        first = asyncio.create_task(self._ask(ask))
        await self._turns(30)
        second = asyncio.create_task(self._ask(ask))
        if self.rng.random() < 0.7:  # noqa: PLR2004 - mostly
            await self._turns(3)
            first.cancel()
        results = await asyncio.gather(first, second, return_exceptions=True)
        handles = {one.request_id for one in results if isinstance(one, Sent)}
        assert len(handles) <= 1, f"{ask.key} stands for {sorted(handles)}"
        for one in results:
            if isinstance(one, BaseException) and not isinstance(one, asyncio.CancelledError):
                raise one

    async def _conflict(self) -> None:
        """A key that stands for something else is refused, and nothing is sent for it."""
        if not self.sent:
            return
        key = self.rng.choice(sorted(self.sent))
        known = self._asked[key]
        other = msgspec.structs.replace(known.request, value=known.request.value + 1)
        try:
            sent = await self.scheduler.send(
                other, idempotency_key=key, destinations=known.destinations
            )
        except IdempotencyConflict:
            self.coverage.ends["conflict of keys"] += 1
        except NodeError:
            pass  # safe because nothing was answered: no handle was given out
        else:
            raise AssertionError(f"{key} was asked for another payload and gave {sent}")

    async def _ask(self, ask: Ask) -> Sent | None:
        sent = await super()._ask(ask)
        if sent is not None:
            self._asked.setdefault(ask.key, ask)  # the other of two at once may have been refused
            accepted = self.backend.accepted
            assert sent.request_id in accepted, f"{sent.request_id} is told and not durable"
        return sent

    async def _turns(self, most: int) -> None:
        for _ in range(self.rng.randrange(most)):
            await asyncio.sleep(0)


# Poor accounts with many bundles.


class Poor(Schedule):
    """Bundles and requests of an account that can pay for few of them."""

    def weights(self) -> dict[Action, int]:
        """Bundles, and a balance that moves."""
        return {
            self._send: 10,
            self._head: 8,
            self._lease: 12,
            self._funds: 6,
            self._cancel: 2,
            self._crash: 1,
        }

    async def _funds(self) -> None:
        self.world.balance_wei = self.rng.choice([1, 1, 2, 3]) * ETHER


# A load balancer with a backend that lags.


class BalancedWorld(World):
    """Of three backends in turn one is ten blocks late when it is asked for a count."""

    def __init__(self, rng: random.Random, **faults: float) -> None:
        super().__init__(rng, **faults)
        self._turn = rng.randrange(3)

    async def nonce(self, account: Address, block: int | str = "latest") -> int:
        """The count as this backend has it."""
        found = await super().nonce(account, block)
        self._turn = (self._turn + 1) % 3
        if self._turn or not self.faults:
            return found
        self.struck["stale"] += 1
        upto = len(self.blocks) - 1 if isinstance(block, str) else block
        return self.blocks[max(0, min(upto, len(self.blocks) - 1) - 10)].counts.get(account, 0)


def lagging_world(rng: random.Random) -> World:
    """One backend of three is late; hand-overs fail now and then."""
    return BalancedWorld(rng, delay=1.0, skip=0.1, refused=0.05, lost_before=0.05, lag=0.05)


class Lagging(Schedule):
    """Shallow reorgs on a node whose backends do not agree: nothing final is ever undone."""

    deep = 0.0

    def weights(self) -> dict[Action, int]:
        """Reorgs and strangers, nothing deep."""
        return {
            self._send: 10,
            self._head: 16,
            self._reorg: 4,
            self._outside: 3,
            self._lease: 2,
            self._cancel: 1,
            self._crash: 1,
        }

    def check_story(self, story: Story) -> None:
        """No lane halts because of one backend's word."""
        super().check_story(story)
        assert self._undone or not story.halted, "halted though nothing final was undone"
