"""The public API as authors write and type it; checked by mypy only, nothing here runs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never, assert_type

import toolkit as tk
from toolkit.testing.decide import GivenBlock

if TYPE_CHECKING:
    from web3 import AsyncWeb3


class Threshold:
    """An agent is any class with a name and `on_block`."""

    name = "threshold"
    reads = ("price/WETH-USDC",)

    def on_block(self, view: tk.View) -> Iterable[tk.Intent]:
        assert_type(view.price("price/WETH-USDC"), float)
        assert_type(view.history("price/WETH-USDC", 30), tuple[float, ...])
        assert_type(view.reading("head"), tk.Reading | None)
        assert_type(view.snapshot, tk.Snapshot)
        assert_type(view.fee, tk.FeeQuote)
        route = view.router.arbitrage(view.wrapped, max_hops=3)
        assert_type(route, tk.Route | None)
        if route is not None:
            leg = tk.Leg(
                token_in=route.token_in,
                token_out=route.token_out,
                amount_in=route.amount_in,
                route=route,
            )
            yield tk.Intent(agent=self.name, legs=(leg,), edge_wei=route.profit, confidence=0.9)


class Silent:
    """A list, a tuple or a generator will do; so will nothing."""

    name = "silent"

    def on_block(self, view: tk.View) -> list[tk.Intent]:
        assert_type(view.block.number, int)
        return []


def an_agent() -> tk.Agent:
    return Threshold()


def units() -> None:
    assert_type(tk.ether("0.5"), int)
    assert_type(tk.gwei(80), int)
    assert_type(tk.parse_units("1.5", 6), int)
    assert_type(tk.format_units(10**18, 18), str)


def signers(key: str, path: Path, password: str) -> tuple[tk.Signer, ...]:
    return tk.LocalSigner(key), tk.LocalSigner(bytes(32)), tk.KeystoreSigner(path, password)


async def connecting(signer: tk.Signer, w3: "AsyncWeb3[Any]", journal: Path) -> None:
    async with tk.connect("http://127.0.0.1:8545") as session:
        assert_type(session, tk.Session)
        assert_type(session.mode, tk.Mode)
        assert_type(session.chain_id, int)
    async with tk.connect(w3, signer=[signer], journal=journal, live=True, chain_id=1):
        pass
    async with tk.connect(
        "wss://example.org",
        signer=signer,
        relays=[
            "https://relay.flashbots.net",
            tk.Relay("https://api.blxrbdn.com", authorization="a"),
        ],
        reputation="state/reputation.json",
        journal="state/journal.db",
        max_cost_wei=tk.ether("0.05"),
        allow_real_key=False,
    ):
        pass


def relaying(key: str) -> tuple[tk.Relay, tk.Refund]:
    auth = tk.RelayAuth(tk.LocalSigner(key))
    relay = tk.Relay("https://relay.flashbots.net", auth=auth)
    assert_type(relay.statistics().latency_p99_s, float)
    return relay, tk.Refund(percent=90)


async def porting(session: tk.Session, entry: Mapping[str, Any]) -> list[Any]:
    flashbots = tk.Flashbots(session, guards_waived=True)
    assert_type(await flashbots.sign_bundle([entry]), list[bytes])
    sent = await flashbots.send_bundle([entry], target_block_number=7, opts={"minTimestamp": 1})
    assert_type(await sent.wait(), tk.Landed | tk.Missed)
    assert_type(await (await flashbots.send_private_transaction(entry)).wait(), bool)
    return await sent.receipts()


async def sending(session: tk.Session, to: str) -> str:
    sent = await session.send(
        {"to": to, "value": 1},
        urgency=tk.Urgency.NEXT_BLOCK,
        max_fee_per_gas=tk.gwei(80),
        deadline_blocks=5,
        idempotency_key="harvest-17",
        visibility=tk.Visibility.PRIVATE_THEN_PUBLIC,
    )
    await sent.cancel()
    match await sent.wait(confirmations=2):
        case tk.Confirmed() as confirmed:
            return f"{confirmed.block_number} {confirmed.fee_wei}"
        case tk.Reverted() as reverted:
            return str(reverted.reason)
        case tk.Replaced() | tk.Cancelled() | tk.Expired() | tk.DryRun() as other:
            return str(other.tx_hash)
        case unreachable:
            assert_never(unreachable)


async def many_of_each(one: tk.Signer, other: tk.Signer, request: tk.TransactionRequest) -> None:
    nodes = ["http://127.0.0.1:8545", "http://127.0.0.1:8546", "http://127.0.0.1:8547"]
    pool = tk.KeyPool([one, other])
    async with tk.connect(nodes, signer=pool, leases="state", finality_blocks=32) as session:
        first = await session.send(request, priority=1, visibility=tk.Visibility.PUBLIC)
        then = await session.send(
            request,
            after=first,
            on_external_spend=tk.ExternalSpend.REQUEUE,
            visibility=tk.Visibility.PUBLIC,
        )
        await then.speed_up(urgency=tk.Urgency.NEXT_BLOCK)
        await then.replace(request)
        await then.wait(confirmations=2)
        session.follow()
        again = session.sent(first.request_id)
        assert_type(again, tk.Sent)
        assert_type(again.status().state, str)


async def bundling(session: tk.Session, request: tk.TransactionRequest, pending: str) -> str:
    guarded = session.bundle().call(request, guards=[tk.GuardKind.BLOCK])
    await session.submit(guarded.call(request), guards_waived=False)
    handle = await session.submit(
        session.bundle().include(pending).call(request), blocks=3, tip_wei=tk.ether("0.001")
    )
    if isinstance(handle, tk.BundleHandle):
        assert_type(await handle.wait(), tk.Landed | tk.Missed)
    match await handle.wait():
        case tk.Landed() as landed:
            return f"{landed.block_number} {landed.fee_wei}"
        case tk.Missed() as missed:
            return f"{missed.cause.value} {missed.evidence}"
        case unreachable:
            assert_never(unreachable)


async def routing(session: tk.Session, devnet: tk.Devnet) -> None:
    router = await session.router(pools=devnet.pools)
    assert_type(router, tk.Router)
    weth, usdc = devnet.tokens["WETH"].address, devnet.tokens["USDC"].address
    assert_type(router.swap(weth, usdc, tk.ether(1)), tk.Route)
    assert_type(router.arbitrage(weth, gas_price_wei=tk.gwei(1)), tk.Route | None)


async def orchestrating(session: tk.Session, devnet: tk.Devnet) -> None:
    weth, usdc = devnet.tokens["WETH"].address, devnet.tokens["USDC"].address
    agents: list[tk.Agent] = [
        Threshold(),
        Silent(),
        an_agent(),
        tk.CyclicArbitrage(),
        tk.Momentum(base=weth, quote=usdc),
        tk.Rebalancer(base=weth, quote=usdc),
    ]
    async with tk.Orchestrator(
        session,
        agents=agents,
        limits=tk.Limits(max_trade_wei=tk.ether(2)),
        pauses=[tk.Pause("momentum", on="arbitrage", impact_bps=10)],
        history={"price/WETH-USDC": devnet.history},
    ) as orchestrator:
        async for report in orchestrator.events():
            assert_type(report.verdicts, tuple[tk.Verdict, ...])
            assert_type(report.pnl_wei, dict[str, int])
            break


async def devnets() -> Mapping[str, str]:
    config = tk.DevnetConfig(seed=1, builders=2, block_time=0.5, funding={"ETH": 5})
    async with tk.Devnet(config) as devnet:
        await devnet.step()
        return {account.address: account.key for account in devnet.accounts}


def refusals(error: tk.ToolkitError) -> bool:
    return isinstance(error, tk.ConfigError)


def offline(market: Sequence[GivenBlock], tokens: Mapping[tk.Address, int]) -> None:
    decided = tk.testing.decide([Threshold(), Silent()], market, capital=tokens)
    assert_type(decided.verdicts, tuple[tk.Verdict, ...])
