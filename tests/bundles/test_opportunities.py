"""Ten opportunities at once and three accounts: no two live bundles contradict, none holds a nonce
that it cannot use any more."""

import asyncio
import random
import secrets
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from toolkit.bundles.entries import BundleEnded, BundleSubmitted
from toolkit.bundles.submitter import BundleHandle
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.building.failures import FailureMode
from toolkit.devnet.crowd.rivals import RivalConfig
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.model.bundle import BundleResult, Landed, MissCause, Missed
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import BundleRefused, ConfigError, RelayError
from toolkit.model.tx import SignedTransaction, TransactionRequest, UnsignedTransaction
from toolkit.model.units import gwei
from toolkit.session import Session, connect

ACCOUNTS, OPPORTUNITIES, BLOCKS, RESTARTS = 3, 10, 12, frozenset({3, 7})
PAYEE = Address("0x" + "42" * 20)
FAILURES = (
    *[FailureMode.NONE] * 4,
    *(FailureMode.FORGET, FailureMode.LATE, FailureMode.HTTP_500, FailureMode.HTTP_500_TAKEN),
)

Claim = tuple[Address, int]


class Stage:
    """A market of three builders, ten strangers whose transactions are worth following, and us."""

    def __init__(self, devnet: Devnet, journal: Path, seed: int) -> None:
        keys = [LocalSigner(account.key) for account in devnet.accounts]
        self.devnet = devnet
        self.us, self.strangers = keys[:ACCOUNTS], keys[ACCOUNTS:]
        self.session: Session
        self.rng = random.Random(seed)
        self.ours = {one.address for one in self.us}
        self.counts: Counter[str] = Counter()
        self.given_again: set[Claim] = set()
        self._journal = journal
        self.claims: dict[Hash, frozenset[tuple[Claim, Hash]]] = {}
        self.ends: dict[Hash, BundleResult] = {}
        self._holder: dict[Claim, Hash] = {}

    async def live(self) -> None:
        """A dozen blocks, over three processes."""
        lives = [0, *sorted(RESTARTS), BLOCKS]
        for first, behind in pairwise(lives):
            async with connect(
                self.devnet.rpc_url,
                signer=self.us,
                relays=self.devnet.relays,
                journal=self._journal,
            ) as self.session:
                for block in range(first, behind):
                    await self._opportunities()
                    await self._withdrawals()
                    await self.consistent()
                    if block + 1 == behind < BLOCKS:
                        break  # dies with all that is live, and its block comes while it is down
                    await self._sealed()
            if behind < BLOCKS:
                await self.devnet.seal()

    async def consistent(self) -> None:
        """Ours and each relay's live bundles, together: one transaction for each nonce, and of our
        accounts the lanes hold exactly the nonces that live bundles need."""
        live = self._live()
        spent: dict[Claim, Hash] = {}
        for claim, tx_hash in live | self._at_relays():
            assert tx_hash == spent.setdefault(claim, tx_hash), f"{claim} was promised twice"
        for signer in self.us:
            count = await self.devnet.node.nonce(signer.address)
            held = {nonce for (sender, nonce), _ in live if sender == signer.address}
            follows = max(held, default=count - 1) + 1
            assert follows == self.session.scheduler.next_nonce(signer.address), signer.address
            for nonce in range(count, follows):
                held_by_lane = self.session.scheduler.spenders(signer.address, nonce)
                assert bool(held_by_lane) is (nonce in held), f"nonce {nonce} of {signer.address}"

    async def mined(self) -> set[tuple[Claim, Hash]]:
        """What the chain has of us."""
        found = set()
        for slot in self.devnet.slots:
            for one in (await self.devnet.node.block(slot.block_hash, full=True))["transactions"]:
                claim = Address(str(one["from"]).lower()), int(one["nonce"], 16)
                if claim[0] in self.ours:
                    found.add((claim, Hash(one["hash"])))
        return found

    async def _opportunities(self) -> None:
        """All at once, each by whichever of our accounts is free for it."""
        for builder in self.devnet.builders:
            builder.failures.always = self.rng.choice(FAILURES)
        blocks = [self.rng.choice((1, 1, 2)) for _ in self.strangers]
        tips = self.rng.sample(range(1, 100), k=len(self.strangers))
        counts = [await self.devnet.node.nonce(one.address) for one in self.strangers]
        worthy = [
            _transfer(signer, nonce, gwei(tip))
            for signer, nonce, tip in zip(self.strangers, counts, tips, strict=True)
        ]
        worthy[-2:] = worthy[:2]  # two of ours after the same one: both cannot have it
        taken = await asyncio.gather(
            *(
                self._take(index, one, blocks=blocks[index], tip_wei=gwei(tips[index]))
                for index, one in enumerate(worthy)
            )
        )
        self.counts["nobody was free"] += taken.count(None)
        for place in self.rng.sample(range(OPPORTUNITIES - 2), k=2):  # gone, in everybody's sight
            signer, nonce = self.strangers[place], counts[place]
            await self.devnet.node.send_raw(_transfer(signer, nonce, gwei(200), value=0).raw)

    async def _take(
        self, index: int, worthy: SignedTransaction, *, blocks: int, tip_wei: int
    ) -> BundleHandle | None:
        for turn in range(ACCOUNTS):
            sender = self.us[(index + turn) % ACCOUNTS].address
            payment = TransactionRequest(sender=sender, to=PAYEE, value=1 + index)
            draft = self.session.bundle().include(worthy.raw).call(payment)
            try:
                handle = await self.session.submit(draft, blocks=blocks, tip_wei=tip_wei)
            except (BundleRefused, ConfigError):
                self.counts["refused"] += 1
                continue
            assert isinstance(handle, BundleHandle)
            self._hold(handle)
            return handle
        return None

    def _hold(self, handle: BundleHandle) -> None:
        """Only a dead bundle's nonce is given out again."""
        self._read()
        live = {one.bundle_hash for one in self.session.submitter.handles()}
        for claim in (one for one, _ in self.claims[handle.bundle_hash] if one[0] in self.ours):
            before = self._holder.get(claim)
            if before is not None:
                dead = before not in live and isinstance(self.ends[before], Missed)
                assert dead, f"{claim} of {before} is given out again"
                self.counts["given out again"] += 1
                self.given_again.add(claim)
            self._holder[claim] = handle.bundle_hash
        self.counts["sent"] += 1

    async def _withdrawals(self) -> None:
        for handle in self.session.submitter.handles():
            if self.rng.random() < 0.15:
                try:
                    await handle.cancel()
                except RelayError:
                    self.counts["not withdrawn"] += 1
                else:
                    self.counts["withdrawn"] += 1

    async def _sealed(self) -> None:
        """One block; what it ended holds no nonce any more, in this very block."""
        handles = self.session.submitter.handles()
        head = await self.devnet.seal()
        await self.session.advance()
        for handle in handles:
            assert handle.done or handle.target_block > head.number, handle
        await self.consistent()

    def _live(self) -> set[tuple[Claim, Hash]]:
        self._read()
        live = (self.claims[one.bundle_hash] for one in self.session.submitter.handles())
        return {claim for claims in live for claim in claims}

    def _read(self) -> None:
        """What bundles need and how they ended, by the journal."""
        for entry in self.session.journal.entries("bundle_submitted", "bundle_result"):
            if entry.kind == "bundle_result":
                end = msgspec.json.decode(entry.data, type=BundleEnded).result
                self.ends[end.bundle_hash] = end
            else:
                one = msgspec.json.decode(entry.data, type=BundleSubmitted)
                spent = (((each.sender, each.nonce), each.hash) for each in one.claims)
                self.claims[one.bundle_hash] = frozenset(spent)

    def _at_relays(self) -> set[tuple[Claim, Hash]]:
        head = self.devnet.head.number
        return {
            ((one.sender, one.unsigned.nonce), one.hash)
            for builder in self.devnet.builders
            for order in builder.orders()
            if order.last_block > head
            for one in order.transactions
        }


def _transfer(
    signer: LocalSigner, nonce: int, tip_wei: int, *, value: int = 7
) -> SignedTransaction:
    unsigned = UnsignedTransaction(
        type=2,
        chain_id=1,
        nonce=nonce,
        to=PAYEE,
        value=value,
        data="0x",
        gas=21_000,
        max_fee_per_gas=gwei(1_000),
        max_priority_fee_per_gas=tip_wei,
    )
    return signer.sign_transaction_now(unsigned)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, secrets.randbits(16)], ids=["known", "fresh"])
async def test_ten_opportunities_and_three_accounts(tmp_path: Path, seed: int) -> None:
    """Over a dozen blocks, three processes, and builders that forget, fail and are late: after
    each step all live bundles of all relays agree on every nonce; what dies gives its nonces back
    with the block that kills it, and the next bundle lands on them."""
    print("seed", seed)
    config = DevnetConfig(
        seed=seed,
        builders=("flashbots", "titan", "rsync"),
        flow=False,
        accounts=ACCOUNTS + OPPORTUNITIES,
        rivals=RivalConfig(count=0),
    )
    async with Devnet(config) as devnet:
        stage = Stage(devnet, tmp_path / "journal.db", seed)
        await stage.live()
        landed = {name for name, end in stage.ends.items() if isinstance(end, Landed)}
        told = {one for name in landed for one in stage.claims[name] if one[0][0] in stage.ours}
        mined = await stage.mined()

    causes = Counter(end.cause for end in stage.ends.values() if isinstance(end, Missed))
    print(stage.counts, causes, "landed", len(landed))
    assert told == mined
    assert {claim for claim, _ in mined} & stage.given_again, "no nonce was of use again"
    assert {"refused", "nobody was free", "withdrawn"} <= stage.counts.keys()
    assert {MissCause.WRONG_BUILDER, MissCause.CANCELLED} <= causes.keys()
    assert OPPORTUNITIES < len(landed) < stage.counts["sent"]
