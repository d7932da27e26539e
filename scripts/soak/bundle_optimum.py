"""Sealed blocks beside the dearest ones there could have been, found by mining every sequence.

Up to six bundles that are in each other's way go to one builder. On a second chain of the same
state every sequence of every subset is really mined as a block and taken back: no simulation, and
nothing of the market's code. What the market sealed is held against the best of them.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from scripts.soak.bundle_blocks import scene_of
from scripts.soak.bundle_draws import COUNTER, COUNTER_CODE, Draw, Offer
from scripts.soak.record import Part, Progress
from scripts.soak.workers import Batch, count_batches, counted
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.wire import Call
from toolkit.devnet.accounts import DevAccount, derive_account
from toolkit.devnet.builders import Builder
from toolkit.devnet.building.pipeline import in_order
from toolkit.devnet.building.sealing import Market
from toolkit.devnet.participants import user_accounts, user_funding
from toolkit.devnet.protocols import V2_ROUTER
from toolkit.devnet.public_pool import open_pool, rules_of
from toolkit.devnet.twin import (
    BLOCK_SECONDS,
    CHAIN_ID,
    Funding,
    Twin,
    TwinConfig,
    build_twin,
    fork_twin,
)
from toolkit.model.chain import Address, Mode
from toolkit.model.tx import SignedTransaction
from toolkit.testing.coverage import Counts

SIZE = 500
BATCH = 25
MOST_BUNDLES = 6
ACCOUNTS = 9
LEAST_PERCENT = 98
_WORLD = 7
_FEE_RECIPIENT = Address("0x00000000000000000000000000000000000fee00")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What mining everything showed, in wei; `sequences` that could be mined."""

    best_wei: int
    best_single_wei: int
    sequences: int


class Mined(msgspec.Struct, frozen=True, kw_only=True):
    """A block that was tried: its receipts, and what its fee recipient then had in wei."""

    receipts: tuple[dict[str, Any], ...]
    balance_wei: int


class Chain:
    """A fork of the common world that always comes back to it."""

    def __init__(self, rpc: HttpRpc, base_fee: str) -> None:
        self.rpc = rpc
        self._base_fee = base_fee
        self._mark: object = None

    async def mark(self) -> None:
        """Remember this state as the one to come back to."""
        self._mark = await self.rpc.call("evm_snapshot")

    async def back(self) -> None:
        """Come back."""
        await self._in_order(self._way_back())

    async def balance(self) -> int:
        """What the fee recipient has."""
        return int(await self.rpc.call("eth_getBalance", (_FEE_RECIPIENT, "latest")), 16)

    async def try_block(self, transactions: Sequence[SignedTransaction]) -> Mined | None:
        """Mine just these in a block and come back; None if they cannot all be mined in order."""
        answers = await self._in_order(
            [
                *(("eth_sendRawTransaction", (each.raw,)) for each in transactions),
                ("evm_mine", ()),
                ("anvil_dropAllTransactions", ()),
                ("eth_getBlockReceipts", ("latest",)),
                ("eth_getBalance", (_FEE_RECIPIENT, "latest")),
                *self._way_back(),
            ]
        )
        receipts, balance = answers[len(transactions) + 2 : len(transactions) + 4]
        if [each["transactionHash"] for each in receipts] != [each.hash for each in transactions]:
            return None
        return Mined(receipts=tuple(receipts), balance_wei=int(balance, 16))

    def _way_back(self) -> list[Call]:
        # Anvil does not take the base fee back with the rest, so that it is told again.
        return [
            ("evm_revert", (self._mark,)),
            ("anvil_setNextBlockBaseFeePerGas", (self._base_fee,)),
            ("evm_snapshot", ()),
        ]

    async def _in_order(self, calls: Sequence[Call]) -> list[Any]:
        answers = await in_order(urlsplit(self.rpc.url).port or 0, calls)
        self._mark = answers[-1]
        return answers


class Search:
    """Mines every sequence of some offers, each as one block on the common world."""

    def __init__(self, chain: Chain, offers: Sequence[Offer]) -> None:
        self._chain = chain
        self._offers = offers
        self._best = self._single = self._count = 0

    async def run(self) -> Found:
        """Try them all."""
        await self._chain.mark()
        self._start = await self._chain.balance()
        await self._behind((), ())
        return Found(best_wei=self._best, best_single_wei=self._single, sequences=self._count)

    async def _behind(
        self, sequence: tuple[int, ...], before: tuple[SignedTransaction, ...]
    ) -> None:
        for index, offer in enumerate(self._offers):
            if index in sequence:
                continue
            block, worth = await self._place(before, offer)
            if not block:
                continue
            self._count += 1
            self._best = max(self._best, worth)
            if not sequence:
                self._single = max(self._single, worth)
            await self._behind((*sequence, index), block)

    async def _place(
        self, before: tuple[SignedTransaction, ...], offer: Offer
    ) -> tuple[tuple[SignedTransaction, ...], int]:
        """Mine an offer behind others as a builder may; the block and its worth, () if it fails."""
        kept = offer.transactions
        while kept:
            mined = await self._chain.try_block((*before, *kept))
            if mined is None:
                return (), 0
            failed = {
                each["transactionHash"]
                for each in mined.receipts[len(before) :]
                if each["status"] == "0x0" and each["transactionHash"] not in offer.reverting
            }
            if not failed:
                return (*before, *kept), mined.balance_wei - self._start
            first = next(each for each in kept if each.hash in failed)
            if first.hash not in offer.dropping:
                return (), 0
            kept = tuple(each for each in kept if not offer.goes_with(each, first))
        return (), 0


class Bout:
    """The market on one chain, the search on another, both at the same state."""

    def __init__(self, market: Market, ours: Chain, theirs: Chain) -> None:
        self._market = market
        self._ours = ours
        self._theirs = theirs
        self.counts: dict[str, int] = {}

    async def fight(self, seed: int, *, most: int) -> list[str]:
        """Let both have the same bundles, at most so many; what fell short."""
        offers = (await self._offers(seed))[:most]
        await self._ours.mark()
        before = await self._ours.balance()
        for offer in offers:
            await self._market.builders[0].handle(
                "eth_sendBundle", [offer.request()], _FEE_RECIPIENT
            )
        await self._market.seal()
        sealed = await self._ours.balance() - before
        await self._ours.back()
        await self._market.pool.renew()
        await self._market.follow()
        found = await Search(self._theirs, offers).run()
        self._note(found, sealed)
        shown = f"sealed {sealed} of {found.best_wei} wei, the best single {found.best_single_wei}"
        short = sealed * 100 < found.best_wei * LEAST_PERCENT or sealed < found.best_single_wei
        if sealed > found.best_wei:
            return [f"seed {seed}: {shown}: more than can be mined"]
        return [f"seed {seed}: {shown}"] if short else []

    async def _offers(self, seed: int) -> list[Offer]:
        chance = random.Random(f"optimum {seed}")  # noqa: S311 - a scenario
        scene = await scene_of(Node(self._ours.rpc), ACCOUNTS_OF_ALL)
        draw = Draw(chance, scene, ACCOUNTS_OF_ALL)
        offers = []
        for _ in range(chance.choice((2, 3, 4, 5, 5, MOST_BUNDLES))):
            plain = Offer(transactions=draw.bundle(), block=scene.block)
            reverting, dropping = draw.flags(plain.transactions)
            offers.append(replace(plain, reverting=reverting, dropping=dropping))
        return offers

    def _note(self, found: Found, sealed: int) -> None:
        for name, count in (
            ("sequences mined by the search", found.sequences),
            ("blocks at the optimum to the wei", sealed == found.best_wei),
            ("blocks worth more than the best single bundle", sealed > found.best_single_wei),
        ):
            self.counts[name] = self.counts.get(name, 0) + count


ACCOUNTS_OF_ALL: tuple[DevAccount, ...] = (
    *user_accounts(_WORLD, ACCOUNTS),
    derive_account(_WORLD, "pauper", 0),
)


@asynccontextmanager
async def opened() -> AsyncIterator[Bout]:
    """Two forks of one twin with the counter on it."""
    funded = tuple(
        Funding(account=each.account, amounts=each.amounts, spenders=(V2_ROUTER,))
        for each in user_funding(_WORLD, ACCOUNTS)
    )
    twin = await build_twin(TwinConfig(seed=_WORLD, funded=funded))
    try:
        async with _forked(twin) as ours, _forked(twin) as theirs:
            head = await Node(ours.rpc).head()
            builder = Builder(
                name="flashbots", fee_recipient=_FEE_RECIPIENT, rpc=ours.rpc, head=head
            )
            market = Market(
                ours.rpc,
                [builder],
                pool=await open_pool(ours.rpc, rules_of("geth")),
                seed=_WORLD,
                chain_id=CHAIN_ID,
                mode=Mode.DEV,
                head=head,
            )
            yield Bout(market, ours, theirs)
    finally:
        await twin.anvil.stop()


@asynccontextmanager
async def _forked(twin: Twin) -> AsyncIterator[Chain]:
    async with await fork_twin(twin) as anvil, HttpRpc(anvil.url) as rpc:
        await rpc.call("anvil_setBlockTimestampInterval", (BLOCK_SECONDS,))
        await rpc.call("anvil_setCode", (COUNTER, COUNTER_CODE))
        await rpc.call("anvil_setCoinbase", (_FEE_RECIPIENT,))
        pending = await Node(rpc).block("pending")
        yield Chain(rpc, pending["baseFeePerGas"])


async def live(
    first: int, cases: int, *, most: int = MOST_BUNDLES
) -> tuple[dict[str, int], list[str]]:
    """Fight a batch of bouts over at most so many bundles each."""
    wrong: list[str] = []
    async with opened() as bout:
        for seed in range(first, first + cases):
            wrong += await bout.fight(seed, most=most)
        return bout.counts, wrong


def run_batch(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Run one batch in a process of its own."""
    counts, wrong = asyncio.run(live(*batch))
    return dict(counts), tuple(wrong)


def work(progress: Progress) -> None:
    """Search on every core, and count."""
    count_batches(progress, run_batch, batch=BATCH)


PART = Part(
    size=SIZE,
    cases="auctions among up to six bundles",
    work=work,
    figures=counted,
    not_covered=("refunds, and more than six bundles that depend on each other",),
)
