"""What authors and operators get wrong: asks that cannot be meant, and starts that must not be.

Each is refused before a nonce is used, and what is right is not refused along with it.
"""

import random
from collections.abc import Callable, Sequence

import msgspec

from toolkit.chain.signer import LocalSigner, Signer
from toolkit.gas.rules import MAX_TX_GAS
from toolkit.model.chain import Address, Mode
from toolkit.model.errors import (
    BusOverflow,
    ConfigError,
    GasLimitTooHigh,
    NodeError,
    RejectedByNode,
    ToolkitError,
)
from toolkit.model.tx import TransactionRequest
from toolkit.testing.fakes import ETHER, OWNER, InlineJournal, Mempool, SlowSigner, World
from toolkit.testing.lives import Action
from toolkit.testing.simulation import CONFIG, Ask, Schedule
from toolkit.testing.truth import Story
from toolkit.tx.events import Accepted
from toolkit.tx.handle import Sent
from toolkit.tx.recovery import end_of
from toolkit.tx.scheduler import TransactionScheduler

SECOND = LocalSigner("0x" + "0b" * 32)
"""Another account, which nobody here sends from."""
_GASES = (30_000, 60_000, 14_500_000, MAX_TX_GAS - 1_000, MAX_TX_GAS, MAX_TX_GAS + 1, 29_000_000)
_TOO_MUCH = 1_000 * ETHER
_BLOB = 3


class GasWorld(World):
    """Calls need very different amounts of gas, and a node's estimate is exactly that."""

    def __init__(self, rng: random.Random, **faults: float) -> None:
        super().__init__(rng, **faults)
        self.needs: dict[str, int] = {}

    async def estimate_gas(self, request: TransactionRequest, *, sender: Address) -> int:
        """What the call needs; reverts as `call` does."""
        plain = await super().estimate_gas(request, sender=sender)
        if request.data == "0x":
            return plain
        return self.needs.setdefault(request.data, self.rng.choice(_GASES))


def desk_world(rng: random.Random) -> World:
    """Few faults: what is wrong here is what is asked for."""
    return GasWorld(rng, delay=1.0, skip=0.1, refused=0.05, lost_before=0.03, dropped=0.05)


class Desk(Schedule):
    """Requests that cannot be meant or paid for, beside others that just can."""

    config = msgspec.structs.replace(CONFIG, max_cost_wei=ETHER // 2, max_queued=5)

    def signers(self) -> list[Signer]:
        """Two accounts: whoever asks has to name one."""
        return [self.signer(), SlowSigner(self.world, SECOND)]

    def weights(self) -> dict[Action, int]:
        """Mostly asking."""
        return {
            self._send: 14,
            self._head: 10,
            self._fees: 3,
            self._funds: 2,
            self._delegate: 2,
            self._crash: 1,
        }

    def wish(self) -> Ask:
        """Anything an author may come up with."""
        ask, rng = super().wish(), self.rng
        request = msgspec.structs.replace(ask.request, sender=OWNER.address)
        data = f"0x{rng.getrandbits(32):08x}"
        request = rng.choice(
            [
                request,
                request,
                msgspec.structs.replace(request, data=data, gas=None),
                msgspec.structs.replace(request, data=data, gas=None),
                msgspec.structs.replace(request, data="0x", gas=rng.choice(_GASES)),
                msgspec.structs.replace(request, value=_TOO_MUCH),
                msgspec.structs.replace(request, sender=None),
                msgspec.structs.replace(request, to=None, data="0x", value=0),
                msgspec.structs.replace(request, type=3),
            ]
        )
        return ask._replace(request=request)

    async def _ask(self, ask: Ask) -> Sent | None:
        sent = None
        try:
            sent = await super()._ask(ask)
        except (BusOverflow, ConfigError) as error:
            self._refused(ask, type(error).__name__)
            self._check_refusal(ask, error)
        if sent is not None:
            self._check_accepted(ask, sent)
        return sent

    def rejected(self, ask: Ask, error: RejectedByNode) -> None:
        """Too much gas is said only of what needs too much."""
        super().rejected(ask, error)
        fits = self._gas(ask.request) <= MAX_TX_GAS
        assert not fits or not isinstance(error, GasLimitTooHigh), f"{ask.key} fits: {error}"

    def _gas(self, request: TransactionRequest) -> int:
        assert isinstance(self.world, GasWorld)
        return request.gas or self.world.needs.get(request.data, 0)

    def _check_refusal(self, ask: Ask, error: ToolkitError) -> None:
        """Who asks for blobs is told where those can go, and not only which types there are."""
        told = "blobs" in str(error) and "another tool" in str(error)
        assert told or ask.request.type != _BLOB, f"{ask.key} asks for blobs, and is told: {error}"

    def _check_accepted(self, ask: Ask, sent: Sent) -> None:
        request = ask.request
        assert request.sender is not None, f"{ask.key} named no account, and {sent} is sent"
        assert request.type != _BLOB, f"{ask.key} asks for blobs, and {sent} is sent"
        assert request.to is not None, f"{ask.key} does nothing, and {sent} is sent"
        assert request.value < _TOO_MUCH, f"{ask.key} cannot be paid for, and {sent} is sent"
        assert self._gas(request) <= MAX_TX_GAS, f"{ask.key} needs more gas than there is: {sent}"
        queued = [one for one in self.sent.values() if one.status().state == "queued"]
        assert len(queued) <= self.config.max_queued, f"{len(queued)} wait"

    def check_story(self, story: Story) -> None:
        """What was accepted has the gas that it needs, and may cost no more than is allowed."""
        super().check_story(story)
        assert isinstance(self.world, GasWorld)
        for name, told in story.requests.items():
            request, quote = told.accepted.request, told.accepted.quote
            gas, need = request.gas or 0, self.world.needs.get(request.data, 0)
            assert gas >= need, f"{name} has {gas} gas and needs {need}"
            least = gas * quote.base_fee_per_gas
            assert least <= self.config.max_cost_wei, f"{name} may cost {least}"


class Operator(Schedule):
    """Starts with the wrong chain, without a key or without a destination that is needed."""

    def weights(self) -> dict[Action, int]:
        """Many restarts."""
        return {self._send: 10, self._head: 10, self._crash: 5, self._cancel: 1, self._fees: 1}

    async def _boot(self) -> None:
        if self.backend.rows and self.rng.random() < 0.8:  # noqa: PLR2004 - mostly
            await self.rng.choice([self._other_chain, self._no_key, self._no_relay])()
        await super()._boot()

    async def _other_chain(self) -> None:
        """A node of another chain: nothing of this journal is true there."""
        elsewhere = World(random.Random(self.rng.getrandbits(32)))  # noqa: S311 - drawn
        started = await self._starts(elsewhere, self.signers(), [self.relay])
        assert not started, "a journal of another chain was taken up"

    async def _no_key(self) -> None:
        open_ = self._open(lambda _: True)
        signers = [SlowSigner(self.world, SECOND)]
        started = await self._starts(self.world, signers, [self.relay])
        assert not started or not open_, f"nobody goes on with {open_}"

    async def _no_relay(self) -> None:
        open_ = self._open(lambda accepted: "relay" in accepted.destinations)
        started = await self._starts(self.world, self.signers(), [])
        assert not started or not open_, f"nobody sends {open_}"

    def _open(self, wanted: Callable[[Accepted], bool]) -> list[str]:
        """Requests of the journal without an end."""
        journal = InlineJournal(self.backend)
        accepted = [journal.decode(row, Accepted) for row in journal.entries("tx.request")]
        return [
            one.request_id
            for one in accepted
            if wanted(one) and end_of(journal, one.request_id) is None
        ]

    async def _starts(
        self, world: World, signers: Sequence[Signer], relays: Sequence[Mempool]
    ) -> bool:
        journal = InlineJournal(self.backend)
        scheduler = TransactionScheduler(
            world,
            signers=signers,
            journal=journal,
            oracle=world,
            chain_id=1,
            mode=Mode.DEV,
            config=self.config,
            public=self.public,
            destinations=relays,
        )
        try:
            await scheduler.start()
        except ConfigError:
            self.coverage.ends["start refused"] += 1
            return False
        except NodeError:
            return False
        finally:
            await scheduler.close()
            await journal.close()
        self.coverage.ends["started"] += 1
        return True
