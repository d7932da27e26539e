"""2,000 random blocks of the builder market, held against an oracle that knows none of it.

Every devnet seals a batch of blocks for bundles that are in each other's way, public and private
transactions among them. Each block is checked against the bundles as they were sent; then the
heads that a WebSocket subscriber heard of are compared with the chain: none may be speculative.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from scripts.soak.bundle_draws import COUNTER, COUNTER_CODE, SLOTS, SWAP_WEI, Draw, Offer, Scene
from scripts.soak.bundle_oracle import Seen, readings
from scripts.soak.record import Part, Progress
from scripts.soak.workers import Batch, count_batches, counted
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc, WsRpc
from toolkit.devnet.accounts import DevAccount, derive_account
from toolkit.devnet.building.dialects import PROFILES
from toolkit.devnet.building.wire import OrderError
from toolkit.devnet.calldata import MAX_UINT256, encode_call
from toolkit.devnet.crowd.trades import Trade, swap_call
from toolkit.devnet.devnet import Devnet, DevnetConfig
from toolkit.devnet.participants import ACCOUNT_UNITS
from toolkit.devnet.pools import POOLS
from toolkit.devnet.protocols import V2_ROUTER, WETH
from toolkit.model.chain import Hash
from toolkit.model.errors import RpcError
from toolkit.model.tx import UnsignedTransaction
from toolkit.testing.coverage import Counts

SIZE = 2_000
BATCH = 50
MOST_BUNDLES = 12
BUILDERS = ("flashbots", "buildernet", "titan")
ACCOUNTS = 8
RICH_WETH = 10**6
HEARD_S = 30.0
"""How long a subscriber may take to hear of the last block."""


class Stage:
    """One devnet and what was sent to it."""

    def __init__(self, devnet: Devnet, rpc: HttpRpc) -> None:
        self.devnet = devnet
        self.node = Node(rpc)
        self.rpc = rpc
        self.accounts = (*devnet.accounts, derive_account(devnet.config.seed, "pauper", 0))
        self.offers: list[Offer] = []
        self.public: set[Hash] = set()
        self.counts: dict[str, int] = {}

    async def prepare(self) -> None:
        """Put the counter there, and allow the router to swap for everybody who has WETH."""
        await self.rpc.call("anvil_setCode", (COUNTER, COUNTER_CODE))
        allow = encode_call("approve(address,uint256)", V2_ROUTER, MAX_UINT256)
        for account in self.devnet.accounts:
            signed = account.signer.sign_transaction_now(
                UnsignedTransaction(
                    type=2,
                    chain_id=self.devnet.chain_id,
                    nonce=0,
                    to=WETH,
                    value=0,
                    data=allow,
                    gas=100_000,
                    max_fee_per_gas=10**11,
                    max_priority_fee_per_gas=10**9,
                )
            )
            await self.rpc.call("eth_sendRawTransaction", (signed.raw,))
        await self.rpc.call("evm_mine")

    async def block(self, seed: int) -> list[str]:
        """Send what the seed says, seal, and tell what is wrong with the block."""
        chance = random.Random(f"bundles of block {seed}")  # noqa: S311 - a scenario
        draw = Draw(chance, await scene_of(self.node, self.accounts), self.accounts)
        for _ in range(chance.randint(0, MOST_BUNDLES)):
            await self._act(draw)
        head = self.devnet.head.number
        await self.rpc.call("evm_mine")
        seen = await see(self.rpc, head + 1)
        told = [
            (wrong + self._against_record(landed), landed)
            for wrong, landed in readings(seen, self.offers, frozenset(self.public))
        ]
        wrong, landed = min(told, key=lambda each: len(each[0]))
        self._count("blocks to be read in several ways", len(told) > 1)
        wrong += self._causes()
        self._count("bundles offered", len(self.offers))
        self._count("bundles landed", len(landed))
        self._count("transactions", len(seen.order))
        mined = set(seen.order)
        self.offers = [
            each
            for each in self.offers
            if each.block > seen.number and not mined.intersection(each.hashes)
        ]
        return wrong

    async def _act(self, draw: Draw) -> None:
        chance, kind = draw.chance, draw.chance.random()
        transactions = draw.bundle()
        if kind < 0.1:  # noqa: PLR2004 - a probability
            for each in transactions:
                with suppress(RpcError):  # the pool's rules are somebody else's to check
                    self.public.add(await self.rpc.call("eth_sendRawTransaction", (each.raw,)))
            return
        block = draw.scene.block
        if kind < 0.2:  # noqa: PLR2004 - a probability
            offer = Offer(transactions=transactions[:1], block=block, is_private=True)
        else:
            offer = self._bundle(draw, Offer(transactions=transactions, block=block))
        chosen = [each for each in BUILDERS if chance.random() < 0.9]  # noqa: PLR2004
        await self._send(replace(offer, builders=tuple(chosen)), chance)

    def _bundle(self, draw: Draw, plain: Offer) -> Offer:
        chance = draw.chance
        reverting, dropping = draw.flags(plain.transactions)
        fields: dict[str, Any] = {"reverting": reverting, "dropping": dropping}
        if chance.random() < 0.05:  # noqa: PLR2004 - a probability
            fields["min_timestamp"] = draw.scene.timestamp + chance.choice((0, 1))
        elif chance.random() < 0.05:  # noqa: PLR2004 - a probability
            fields["max_timestamp"] = draw.scene.timestamp + chance.choice((-1, 0))
        if chance.random() < 0.1:  # noqa: PLR2004 - a probability
            fields["block"] = plain.block + 1
        if chance.random() < 0.25:  # noqa: PLR2004 - a probability
            fields["refund_percent"] = chance.choice((1, 50, 90, 99))
            fields["refund_recipient"] = chance.choice((None, self.accounts[-1].address))
        if chance.random() < 0.2:  # noqa: PLR2004 - a probability
            fields["uuid"] = f"00000000-0000-4000-8000-{chance.randrange(16**12):012x}"
        return replace(plain, **fields)

    async def _send(self, offer: Offer, chance: random.Random) -> None:
        taken, cancelled = [], []
        method = "eth_sendPrivateTransaction" if offer.is_private else "eth_sendBundle"
        owner = self.accounts[0].address
        for builder in self.devnet.builders:
            if builder.name not in offer.builders or method not in builder.profile.methods:
                continue
            try:
                await builder.handle(method, [offer.request()], owner)
            except OrderError as error:
                raise AssertionError(f"{builder.name} refuses {offer.request()}: {error}") from None
            taken.append(builder.name)
            if offer.uuid is not None and chance.random() < 0.5:  # noqa: PLR2004
                await builder.handle("eth_cancelBundle", [{"replacementUuid": offer.uuid}], owner)
                cancelled.append(builder.name)
        self.offers.append(replace(offer, builders=tuple(taken), cancelled_at=tuple(cancelled)))

    def _against_record(self, landed: Sequence[Offer]) -> list[str]:
        """The market's own record, which others are measured by, says the same."""
        slot = self.devnet.slots[-1]
        wrong = [
            f"{offer.bundle_hash} landed at {slot.builder}, which did not have it"
            for offer in landed
            if slot.builder not in set(offer.builders) - set(offer.cancelled_at)
        ]
        told = {each.bundle_hash for each in slot.considered if each.included}
        found = {each.bundle_hash for each in landed}
        wrong += [f"the record says that {each} landed" for each in sorted(told - found)]
        wrong += [f"the record says that {each} did not land" for each in sorted(found - told)]
        return wrong

    def _causes(self) -> list[str]:
        """Count why bundles missed, and tell of those whose record has no cause."""
        missed = [each for each in self.devnet.slots[-1].considered if not each.included]
        for each in missed:
            self._count(f"missed: {each.cause.value if each.cause else 'none'}", 1)
        return [
            f"the record has no cause for {each.bundle_hash}"
            for each in missed
            if each.cause is None or not each.evidence
        ]

    def _count(self, name: str, count: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + count


async def scene_of(node: Node, accounts: Sequence[DevAccount]) -> Scene:
    """How things stand before the next block."""
    pending = await node.block("pending")
    addresses = [each.address for each in accounts]
    answers = await node.rpc.batch(
        [
            *(("eth_getTransactionCount", (each, "latest")) for each in addresses),
            *(("eth_getStorageAt", (COUNTER, hex(slot), "latest")) for slot in range(SLOTS)),
        ]
    )
    numbers = [int(str(each), 16) for each in answers]
    trade = Trade(pool=POOLS[0], token_in=WETH, amount_in=SWAP_WEI)
    to, data = swap_call(trade, addresses[0])
    out = await node.call(to=to, data=data, sender=addresses[0])
    return Scene(
        block=int(pending["number"], 16),
        timestamp=int(pending["timestamp"], 16),
        chain_id=await node.chain_id(),
        nonces=dict(zip(addresses, numbers, strict=False)),
        counts=tuple(numbers[len(addresses) :]),
        swap_out=int(out[-64:], 16),
    )


async def see(rpc: HttpRpc, number: int) -> Seen:
    """Read a block for the oracle."""
    block = await rpc.call("eth_getBlockByNumber", (hex(number), True))
    return Seen(
        block=block,
        parent=await rpc.call("eth_getBlockByNumber", (hex(number - 1), False)),
        receipts=await rpc.call("eth_getBlockReceipts", (hex(number),)),
        earned_wei=await _balance(rpc, block["miner"], number)
        - await _balance(rpc, block["miner"], number - 1),
    )


async def _balance(rpc: HttpRpc, address: str, number: int) -> int:
    return int(await rpc.call("eth_getBalance", (address, hex(number))), 16)


async def live(first: int, blocks: int) -> tuple[dict[str, int], list[str]]:
    """Seal a batch on one devnet; what was counted, and what was wrong."""
    profiles = tuple(PROFILES[name] for name in BUILDERS)
    rich = {**ACCOUNT_UNITS, "WETH": RICH_WETH}  # no batch ends for want of what it swaps
    config = DevnetConfig(
        seed=first, builders=profiles, accounts=ACCOUNTS, flow=False, funding=rich
    )
    wrong = []
    async with Devnet(config) as devnet, HttpRpc(devnet.rpc_url) as rpc, WsRpc(devnet.ws_url) as ws:
        stage = Stage(devnet, rpc)
        heads = await ws.subscribe("newHeads")
        start = devnet.head.number
        await stage.prepare()
        for seed in range(first, first + blocks):
            wrong += [f"seed {first}, block {seed}: {each}" for each in await stage.block(seed)]
        chain = [
            (number, (await rpc.call("eth_getBlockByNumber", (hex(number), False)))["hash"])
            for number in range(start + 1, devnet.head.number + 1)
        ]
        heard: list[tuple[int, str]] = []
        async with asyncio.timeout(HEARD_S):
            while not heard or heard[-1] != chain[-1]:
                head = await anext(heads)
                heard.append((int(head["number"], 16), head["hash"]))
        if heard != chain:
            wrong.append(f"seed {first}: a subscriber heard {len(heard)} heads of {len(chain)}")
        stage.counts["heads heard"] = len(heard)
    return stage.counts, wrong


def run_batch(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Run one batch in a process of its own."""
    counts, wrong = asyncio.run(live(*batch))
    return dict(counts), tuple(wrong)


def work(progress: Progress) -> None:
    """Seal on every core, and count."""
    count_batches(progress, run_batch, batch=BATCH)


PART = Part(
    size=SIZE,
    cases="blocks",
    work=work,
    figures=counted,
    not_covered=("blob transactions, and payouts to contracts",),
)
