"""Authors who delegate accounts of their own (EIP-7702): one transaction, several nonces.

Two accounts under one scheduler send type 4 for themselves, for each other and for a stranger,
with authorizations of nonces that are right, spent or far ahead, and of other chains. A stranger
may send one of theirs at any time, and in some lives there are other branches.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from toolkit.chain.signer import LocalSigner, Signer, authorities, authority_of
from toolkit.chain.tx_params import authorization_objects
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head, HeadChange
from toolkit.model.errors import AccountLimit, AlreadyReserved, NonceTooHigh, RejectedByNode
from toolkit.model.tx import (
    Authorization,
    Cancelled,
    ExternalSpend,
    Replaced,
    SignedTransaction,
    TransactionRequest,
    Urgency,
)
from toolkit.testing.fakes import FRIEND, OWNER, SlowSigner, World
from toolkit.testing.lives import FOR_GOOD, Action
from toolkit.testing.simulation import CONFIG, REFUSALS, Ask, Schedule
from toolkit.testing.truth import PAUSES, Story
from toolkit.tx.delegation import delegates_itself
from toolkit.tx.fees import first_attempt
from toolkit.tx.handle import Sent
from toolkit.tx.job import REFUSAL_PATIENCE, Job
from toolkit.tx.lane_state import LaneState

SECOND, STRANGER = LocalSigner("0x" + "0b" * 32), LocalSigner("0x" + "0e" * 32)
_PASSER_BY = LocalSigner("0x" + "0f" * 32)
_KEYS = {one.address: one for one in (OWNER, SECOND, STRANGER)}
_CHAIN, _ANY_CHAIN, _OTHER_CHAIN = 1, 0, 5
_SET_CODE = 4
_DELEGATING_GAS = 100_000
_PATIENCE_HEADS = 4
_SUNK_HEADS = 30
"""Several times what it takes to give way, with every fault of these worlds."""


class DelegatingWorld(World):
    """A chain that applies authorizations as EIP-7702 says, and a pool that minds them like geth's.

    Sources: EIP-7702, "Behavior"; geth `core/txpool/legacypool`, `checkDelegationLimit` and
    `validateAuth`.
    """

    def __init__(self, rng: random.Random, **faults: float) -> None:
        super().__init__(rng, **faults)
        self._code: dict[Hash, frozenset[Address]] = {self.tip.hash: frozenset()}
        self._spenders: dict[Hash, dict[tuple[Address, int], Hash]] = {}  # by block
        self.blobs: set[Address] = set()  # accounts with a blob transaction pending elsewhere

    def spender(self, account: Address, nonce: int) -> Hash | None:
        """The mined transaction that spent this nonce, whoever sent it."""
        mined = (self._spenders.get(block.head.hash, {}) for block in self.blocks)
        return next((one[account, nonce] for one in mined if (account, nonce) in one), None)

    def spend(self, counts: dict[Address, int], mined: SignedTransaction) -> None:
        """Its sender's nonce, and then of each authorization that is in its turn the signer's."""
        super().spend(counts, mined)
        for authority, grant in _grants(mined):
            if counts.get(authority, 0) == grant.nonce:
                counts[authority] = grant.nonce + 1

    def mine(self, *, capacity: int = 4, only: Sequence[SignedTransaction] = ()) -> Head:
        """Seal a block, and remember who runs code behind it, and what spent which nonce."""
        counts, code = dict(self.blocks[-1].counts), set(self._code[self.tip.hash])
        sealed = super().mine(capacity=capacity, only=only)
        spenders = self._spenders.setdefault(sealed.hash, {})
        for mined in self.blocks[-1].transactions:
            spenders[mined.sender, mined.unsigned.nonce] = mined.hash
            super().spend(counts, mined)
            for authority, grant in _grants(mined):
                if counts.get(authority, 0) == grant.nonce:
                    counts[authority] = grant.nonce + 1
                    spenders[authority, grant.nonce] = mined.hash
                    change = code.discard if grant.address == ZERO_ADDRESS else code.add
                    change(authority)
        self._code[sealed.hash] = frozenset(code)
        return sealed

    async def block(self, block: int | str = "latest", *, full: bool = False) -> dict[str, Any]:
        """A block with its transactions, as far as it matters who spent which nonce there."""
        await super().code(ZERO_ADDRESS, block)
        number = len(self.blocks) - 1 if isinstance(block, str) else block
        sealed = self.blocks[min(number, len(self.blocks) - 1)]
        return {
            "number": hex(sealed.head.number),
            "transactions": [_entry(one) if full else one.hash for one in sealed.transactions],
        }

    async def code(self, account: Address, block: int | str = "latest") -> str:
        """The account's code as of a block: a delegation, or none."""
        await super().code(account, block)
        upto = len(self.blocks) - 1 if isinstance(block, str) else block
        there = self._code[self.blocks[min(upto, len(self.blocks) - 1)].head.hash]
        return f"0xef0100{'c0' * 20}" if account in there else "0x"

    def require_few(self, signed: SignedTransaction) -> None:
        """Of an account that runs code, or is about to, one transaction at a time."""
        sender, nonce = signed.sender, signed.unsigned.nonce
        if sender in self.blobs:
            raise AlreadyReserved("address already reserved")
        executable = self._executable(sender)
        pooled = (one for pool in self.pool_of.values() for one in pool.values())
        about_to = any(sender in authorities(one.unsigned) for one in pooled)
        if about_to or sender in self._code[self.tip.hash]:
            if not executable and nonce != self.spent_by(sender):
                raise NonceTooHigh("gapped-nonce tx from delegated accounts")
            if executable and nonce not in executable:
                raise AccountLimit("in-flight transaction limit reached for delegated accounts")
        if any(len(self.pool_of.get(one, {})) > 1 for one in authorities(signed.unsigned)):
            raise AlreadyReserved("authority already reserved")

    def sink(self, sunk: SignedTransaction) -> HeadChange:
        """Go over to a branch that has nothing of a sender whose transaction was mined here."""
        depth = self.tip.number - self.mined()[sunk.hash] + 1
        held = self.known_of.pop(sunk.sender)
        change = self.reorg(depth, strangers=True)
        self.known_of[sunk.sender] = held
        return change

    def _executable(self, account: Address) -> set[int]:
        pool, nonce = self.pool_of.get(account, {}), self.spent_by(account)
        while nonce in pool:
            nonce += 1
        return set(range(self.spent_by(account), nonce))


def delegating_world(rng: random.Random) -> World:
    """Few faults: what is dangerous here is what authors ask for."""
    return DelegatingWorld(
        rng, delay=1.0, skip=0.25, refused=0.05, lost_before=0.03, lost_after=0.03, dropped=0.05
    )


def gapped_world(rng: random.Random) -> World:
    """A signer that is often away, and a node that often cannot be reached."""
    return DelegatingWorld(rng, delay=1.0, skip=0.4, refused=0.2, dropped=0.1, unsigned=0.25)


class Delegating(Schedule):
    """Accounts that delegate themselves and each other, and think better of it."""

    accounts = (OWNER.address, SECOND.address)
    deep = 0.0

    def __init__(self, world: Callable[[random.Random], World], seed: int) -> None:
        super().__init__(world, seed)
        self._idle: dict[str, int] = {}  # at how many heads what comes first waited for nothing
        self._unsigned = 0
        self._sponsors: set[Hash] = set()
        # Another branch may let what was sent first spend what was given out behind it.
        self._branches = self.rng.random() < 0.3  # noqa: PLR2004 - now and then

    def signers(self) -> list[Signer]:
        """Two accounts of one author."""
        return [SlowSigner(self.world, _KEYS[account]) for account in self.accounts]

    def weights(self) -> dict[Action, int]:
        """Delegations beside payments; whatever was signed once may be mined by somebody."""
        return {
            self._send: 6,
            self._grant: 7,
            self._behind: 5,
            self._across: 3,
            self._look: 14,
            self._cancel: 2,
            self._replace: 2,
            self._rethink: 7,
            self._elsewhere: 6,
            self._sponsored: 2,
            self._owed: 2,
            self._sunk: 3,
            self._crossed: 1,
            self._reorg: 2,
            self._busy: 2,
            self._crash: 1,
            self._abandon: 1,
        }

    def wish(self) -> Ask:
        """A payment or a call, from either account."""
        ask = super().wish()
        return self._from(self.rng.choice(self.accounts), ask)

    def _from(self, sender: Address, ask: Ask) -> Ask:
        """The same, sent from there; it follows nothing of another account."""
        own = {one.request_id for one in self.sent.values() if one.sender == sender}
        request = msgspec.structs.replace(ask.request, sender=sender)
        return ask._replace(request=request, after=ask.after if ask.after in own else None)

    async def _burst(self) -> None:
        """Several at once from one account; what nobody has taken is regretted."""
        sender = self.rng.choice(self.accounts)
        asks = [self._from(sender, self.wish()) for _ in range(3)]
        self._asked |= {ask.key: ask for ask in asks}
        sent = await asyncio.gather(*map(self._ask, asks))
        prepared = [one for one in sent if one is not None and one.status().state == "prepared"]
        if prepared:
            await prepared[0].cancel()
        if self.rng.random() < 0.6:  # noqa: PLR2004 - mostly
            own = self._delegation(sender, sender)
            self._asked[own.key] = own
            await self._ask(own)

    async def _sponsored(self) -> None:
        """An account is delegated by somebody else, whatever it has under way here.

        The authorization is in its turn or ahead; another branch may have the transaction too.
        """
        account = self.rng.choice(self.accounts)
        spent = self.world.spent_by(account)
        held = self.world.known_of.get(account, {}).get(spent, [])
        own = held[-1:] if self.rng.randrange(2) else []  # mined in the same block, and first
        ahead = len(own) + self.rng.choice([0, 0, 1])
        await self._sponsor(account, spent + ahead, own=own, spends=self.rng.randint(1, 2))

    async def _sponsor(
        self,
        account: Address,
        first: int,
        *,
        own: Sequence[SignedTransaction] = (),
        spends: int = 1,
    ) -> None:
        """Mine a stranger's delegations, perhaps behind what looks like it and spends nothing."""
        grants = [
            [_KEYS[account].sign_authorization(chain_id=_CHAIN, address=FRIEND, nonce=nonce)]
            for nonce in range(first, first + spends)
        ]
        skipped = [one for one in _skipped(account, first) if self.rng.randrange(2)]
        nonce = self.world.spent_by(STRANGER.address)
        mined = [
            await self._by_stranger(number, some)
            for number, some in enumerate(filter(None, (skipped, *grants)), start=nonce)
        ]
        self.world.mine(only=[*own, *mined])

    async def _by_stranger(self, nonce: int, grants: Sequence[Authorization]) -> SignedTransaction:
        request = TransactionRequest(
            to=FRIEND, gas=_DELEGATING_GAS, type=_SET_CODE, authorization_list=tuple(grants)
        )
        quote = await self.world.quote()
        unsigned = first_attempt(request, quote, chain_id=_CHAIN, nonce=nonce)
        signed = STRANGER.sign_transaction_now(unsigned)
        self.world.known_of.setdefault(STRANGER.address, {}).setdefault(nonce, []).append(signed)
        self._sponsors.add(signed.hash)
        return signed

    async def _owed(self) -> None:
        """A stranger's transaction takes a nonce; just before it is final the account is delegated.

        What had the nonce is to get another one then, and the delegation takes its time.
        """
        account, other = self.rng.sample(self.accounts, 2)
        ask = self._from(account, self.wish())
        ask = ask._replace(on_external_spend=ExternalSpend.REQUEUE, deadline_blocks=None)
        self._asked[ask.key] = ask
        await self._ask(ask)
        await self._sponsor(account, self.world.spent_by(account))
        for _ in range(CONFIG.finality_blocks - 2):
            self.world.mine(capacity=10)
            await self._follow()
        if self._waits_for_another(account):
            for ask in (self._from(other, self.wish()), self._delegation(other, account)):
                self._asked[ask.key] = ask
                await self._ask(ask)
            for _ in range(3):
                self.world.mine(capacity=0)
                await self._follow()
            for _ in range(2):
                held = self.world.known_of.get(other, {}).get(self.world.spent_by(other), [])
                self.world.mine(only=held[-1:], capacity=0)
                await self._follow()

    async def _sunk(self) -> None:
        """Another branch lacks an account's delegation of itself, behind which others are out.

        Pools do not take it back below several, so its nonce goes to nothing: soon, if to anything.
        """
        if not self._branches:
            return
        account = self.rng.choice(self.accounts)
        sunk = await self._own_delegation(account)
        if sunk is None:
            return
        assert isinstance(self.world, DelegatingWorld)
        for _ in range(4):
            ask = self._from(account, self.wish())._replace(after=None)
            self._asked[ask.key] = ask
            await self._ask(ask)
        change = self.world.sink(sunk)
        self._unheard, self.seen = (*self._unheard, *change.reverted), change.added[0]
        self._disturbed += 1
        if self.rng.randrange(2):
            await self._unreachable()
        for _ in range(_SUNK_HEADS):
            await self._follow()
            if self.world.spent_by(account) > sunk.unsigned.nonce or self._state(account).halted:
                return
            self.world.mine(capacity=10)
        raise AssertionError(f"nonce {sunk.unsigned.nonce} of {account} is held below others")

    async def _own_delegation(self, account: Address) -> SignedTransaction | None:
        """What delegates an account by itself, where that is mined soon, and was not final yet."""
        await self._heads(2)
        ask = self._delegation(account, account)
        if self.rng.randrange(4):  # mostly one that leaves it without code: more may follow then
            idle = (_skipped(account, 0)[0],)
            ask = ask._replace(
                request=msgspec.structs.replace(ask.request, authorization_list=idle)
            )
        self._asked[ask.key] = ask
        sent = await self._ask(ask)
        await self._heads(3)
        recent = self.world.blocks[1 - CONFIG.finality_blocks :]
        mined = {one.hash: one for block in recent for one in block.transactions}
        return None if sent is None or sent.tx_hash is None else mined.get(sent.tx_hash)

    async def _unreachable(self) -> None:
        """For a few heads nobody gets anything to the node."""
        usual = self.world.faults
        self.world.faults = usual | {"refused": 1.0}
        await self._heads(REFUSAL_PATIENCE + 1)
        self.world.faults = usual

    async def _crossed(self) -> None:
        """A node that began anew has a blob transaction of an account, and drops it after a while.

        Until then pools take nothing else of that account, and refuse nothing of it for good.
        """
        assert isinstance(self.world, DelegatingWorld)
        account = self.rng.choice(self.accounts)
        self.world.pool_of.get(account, {}).clear()
        self.world.blobs.add(account)
        for ask in (self._delegation(account, account), self._from(account, self.wish())):
            self._asked[ask.key] = ask
            await self._ask(ask)
        await self._heads(REFUSAL_PATIENCE + 1)
        self.world.blobs.discard(account)

    async def _heads(self, count: int) -> None:
        """Blocks with whatever the pools have, and nothing else."""
        for _ in range(count):
            self.world.mine(capacity=10)
            await self._follow()

    async def _reorg(self) -> None:
        """In some lives there are other branches."""
        if self._branches:
            await super()._reorg()

    async def _grant(self) -> None:
        """Ask for a delegation, of an account of one's own or a stranger's."""
        ask = self._delegation()
        self._asked[ask.key] = ask
        await self._ask(ask)

    async def _behind(self) -> None:
        """Ask for a delegation, and at once for something of the account that it is about."""
        ask = self._delegation()
        authority = authority_of(ask.request.authorization_list[0])
        self._asked[ask.key] = ask
        await self._ask(ask)
        if authority in self.accounts:
            ask = self._from(authority, self.wish())
            self._asked[ask.key] = ask
            await self._ask(ask)

    async def _across(self) -> None:
        """One account sends something, and the other one is to delegate it."""
        sender, other = self.rng.sample(self.accounts, 2)
        for ask in (self._from(sender, self.wish()), self._delegation(other, sender)):
            self._asked[ask.key] = ask
            await self._ask(ask)

    def _delegation(self, sender: Address | None = None, account: Address | None = None) -> Ask:
        ask = super().wish()
        sender = sender or self.rng.choice(self.accounts)
        request = TransactionRequest(
            sender=sender,
            to=FRIEND,
            value=ask.request.value,
            gas=_DELEGATING_GAS,
            type=4,
            authorization_list=tuple(
                self._authorization(sender, account) for _ in range(self.rng.choice([1, 1, 1, 2]))
            ),
        )
        return self._from(sender, ask._replace(request=request, simulate=True))

    def _authorization(self, sender: Address, account: Address | None = None) -> Authorization:
        account = account or self.rng.choice([*self.accounts, *self.accounts, STRANGER.address])
        if account in self.accounts:
            due = self.scheduler.next_nonce(account) + (account == sender)
        else:
            due = self.world.spent_by(account)
        spent = self.world.spent_by(account)
        nonces = [due, due, due, due, due + 1, spent, max(0, spent - 1)]
        if account != sender:
            nonces += [spent, spent, spent]  # where something of that account may be in flight
        nonce = self.rng.choice(nonces)
        return _KEYS[account].sign_authorization(
            chain_id=self.rng.choice([_CHAIN, _CHAIN, _CHAIN, _ANY_CHAIN, _OTHER_CHAIN]),
            address=self.rng.choice([FRIEND, FRIEND, ZERO_ADDRESS]),
            nonce=nonce,
        )

    async def _rethink(self) -> None:
        """Somebody who has delegated wants something else instead, and something behind it."""
        open_ = [name for name in sorted(self.sent) if self._delegates(name)]
        if not open_:
            return
        sent = self.sent[self.rng.choice(open_)]
        await self._change(sent)
        behind = self._from(sent.sender, self.wish())
        self._asked[behind.key] = behind
        await self._ask(behind)
        if self.rng.randrange(2):
            await self._elsewhere(sent.sender)

    async def _change(self, sent: Sent) -> None:
        """Another payload at that nonce, or none."""
        if self.rng.random() < 0.4:  # noqa: PLR2004 - now and then
            await sent.cancel()
            return
        wish = TransactionRequest(to=FRIEND, value=self.rng.randrange(10**18))
        ours = self.rng.random() < 0.3  # noqa: PLR2004 - now and then
        if ours:
            grant = self._authorization(sent.sender)
            ours = authority_of(grant) in self.accounts and grant.chain_id != _OTHER_CHAIN
            wish = msgspec.structs.replace(
                wish, type=4, gas=_DELEGATING_GAS, authorization_list=(grant,)
            )
        try:
            await sent.replace(wish, urgency=self.rng.choice(list(Urgency)))
        except REFUSALS as refused:
            self.coverage.ends[f"replacement refused: {type(refused).__name__}"] += 1
            return
        assert not ours, f"{sent.request_id} is replaced by a delegation of an account of ours"
        self.coverage.ends["delegation replaced"] += 1

    def check_story(self, story: Story) -> None:
        """Whoever is said to have replaced a request has spent its nonce, and is a stranger.

        Nothing is given up as refused for good but what its own account's delegation keeps out.
        """
        assert isinstance(self.world, DelegatingWorld)
        assert story.state is not None
        for name, told in story.requests.items():
            if isinstance(told.end, Cancelled) and told.end.reason.startswith(FOR_GOOD):
                signed = (made.signed.unsigned for _, made in told.attempts)
                sunk = any(delegates_itself(one, story.state.lane) for one in signed)
                reserved = "authority already reserved" in told.end.reason
                assert (sunk, reserved) == (True, True), f"{name} is given up: {told.end}"
            if isinstance(told.end, Replaced):
                by = self.world.spender(story.state.lane, told.end.nonce)
                assert by == told.end.by, f"{name}: {told.end}, and it was {by}"
                ours = by not in self._sponsors
                assert self._branches or not ours, f"{name} is replaced by {by} of its own session"

    def _delegates(self, key: str) -> bool:
        under_way = self.sent[key].status().state in {"prepared", "broadcast"}
        return under_way and self._asked[key].request.type == _SET_CODE

    async def _elsewhere(self, account: Address | None = None) -> None:
        """A builder mines what it has of an account's next nonce, be it the newest or not."""
        account = account or self.rng.choice(self.accounts)
        held = self.world.known_of.get(account, {}).get(self.world.spent_by(account))
        if held:
            self.world.mine(only=[self.rng.choice(held)])
            await self._follow()

    async def _look(self) -> None:
        """A head while nothing else is going on: whoever may go on has done so behind it."""
        seen = self.seen
        await self._head()
        if self.seen != seen:
            self._check_prompt()

    def rejected(self, ask: Ask, error: RejectedByNode) -> None:
        """Nobody is kept waiting for an account that nothing is about."""
        super().rejected(ask, error)
        if not isinstance(error, AlreadyReserved):
            return
        sender, others = ask.request.sender, authorities_of(ask.request)
        busy = [one for one in others if one != sender and self._busy_with(one)]
        delegated = [
            job.request_id
            for lane in self.accounts
            for job in self._state(lane).jobs.values()
            if lane != sender and sender in _signers_of(job)
        ]
        assert busy or delegated, f"{ask.key} was refused for nothing: {error}"

    def _busy_with(self, account: Address) -> bool:
        if account not in self.accounts:
            return False
        state = self._state(account)
        held = state.slots or state.queue or state.parked or state.leases
        return bool(held) or self._waits_for_another(account)

    def _waits_for_another(self, account: Address) -> bool:
        """Whether something that lost its nonce may yet get another one."""
        state = self._state(account)
        landed = (state.jobs[name] for name in state.landed)
        return any(job.requeues or job.undecided for job in landed)

    def _state(self, lane: Address) -> LaneState:
        return self.scheduler.runner(lane).state

    def _check_prompt(self) -> None:
        """What comes first in a queue goes on soon after it is free to.

        Not at once: what was refused or could not be signed is known to be over a head later, and
        a device that is out again and again has its heads left out.
        """
        unsigned, self._unsigned = self._unsigned, self.world.struck["unsigned"]
        if unsigned != self._unsigned:
            return
        idle = {name for lane in self.accounts if (name := self._idle_in(self._state(lane)))}
        self._idle = {name: self._idle.get(name, 0) + 1 for name in sorted(idle)}
        for name, looks in self._idle.items():
            assert looks < _PATIENCE_HEADS, f"{name} waits for nothing"

    def _idle_in(self, state: LaneState) -> str:
        """The request that comes first, where nothing in flight may spend its nonce."""
        if state.halted or not state.queue:
            return ""
        flying, first = state.in_flight(), state.jobs[state.queue[0]]
        full = len(flying) >= state.window
        stopped = any(job.refusal in PAUSES and not job.last.taken for job in flying)
        alone = any(state.lane in _signers_of(job) for job in (first, *flying))
        return "" if full or stopped or (alone and flying) else first.request_id


class Delegated(Delegating):
    """Accounts that run code, and signatures that fail below others: pools take nothing gapped."""

    def weights(self) -> dict[Action, int]:
        """Much at once, and few second thoughts."""
        return {
            self._burst: 8,
            self._sponsored: 3,
            self._look: 12,
            self._cancel: 2,
            self._elsewhere: 1,
            self._reorg: 1,
            self._crash: 1,
        }


def _entry(mined: SignedTransaction) -> dict[str, object]:
    """A transaction of a block in the words of nodes; only type 4 has a list of authorizations."""
    entry: dict[str, object] = {"hash": mined.hash, "from": mined.sender}
    if mined.unsigned.type == _SET_CODE:
        entry["authorizationList"] = authorization_objects(mined.unsigned.authorization_list)
    return entry


def _skipped(account: Address, spends: int) -> list[Authorization]:
    """What spends no nonce of an account: of another chain, another account, or another turn."""
    own, other = _KEYS[account], _PASSER_BY
    return [
        own.sign_authorization(chain_id=_OTHER_CHAIN, address=FRIEND, nonce=spends),
        other.sign_authorization(chain_id=_CHAIN, address=FRIEND, nonce=spends),
        own.sign_authorization(chain_id=_CHAIN, address=FRIEND, nonce=spends + 1),
    ]


def authorities_of(request: TransactionRequest) -> set[Address]:
    """Whose accounts a request delegates on this chain."""
    signed = ((authority_of(one), one) for one in request.authorization_list)
    return {who for who, one in signed if who is not None and one.chain_id != _OTHER_CHAIN}


def _signers_of(job: Job) -> set[Address | None]:
    """Who signed an authorization in any version of a request, for whatever chain."""
    wished = (one.authorization_list for one in (job.request, *job.payloads))
    asked = {authority_of(one) for grants in wished for one in grants}
    return asked.union(*(authorities(one.signed.unsigned) for one in job.tries))


def _grants(mined: SignedTransaction) -> list[tuple[Address, Authorization]]:
    """What the chain does not skip at once: authorizations for it, or for any, with a signature."""
    signed = ((authority_of(one), one) for one in mined.unsigned.authorization_list)
    here = {_ANY_CHAIN, _CHAIN}
    return [(who, one) for who, one in signed if who is not None and one.chain_id in here]
