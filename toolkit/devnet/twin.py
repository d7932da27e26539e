"""The offline mainnet twin: genuine protocols and pools on a fresh Anvil, built in a second.

It is never written to again after it is built: a run seals its blocks on a fork of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from toolkit.chain.hashing import keccak
from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.wire import Call
from toolkit.devnet.anvil import Anvil, start_anvil, start_sealer
from toolkit.devnet.calldata import MAX_UINT256, decode_values, encode_call
from toolkit.devnet.crowd.demand import GAS_BURNER, GAS_BURNER_CODE, crowd_demand
from toolkit.devnet.editor import ChainEditor, Sending
from toolkit.devnet.pools import POOLS, add_liquidity, create_pools
from toolkit.devnet.protocols import (
    BALANCER_FEES,
    BALANCER_VAULT,
    DEPLOYMENTS,
    V2_PAIR_CODE,
    V2_ROUTER,
    V3_OWNER,
    V3_POSITIONS,
    WETH,
    Deployment,
)
from toolkit.devnet.tokens import TOKENS, WETH_SUPPLY_WEI, TokenLevel, token_codes
from toolkit.model.chain import Address, Head
from toolkit.model.errors import DevnetError, NodeError
from toolkit.model.market import PoolKind
from toolkit.model.units import WEI_PER_ETHER, WEI_PER_GWEI

CHAIN_ID = 1
BLOCK_SECONDS = 12
GAS_LIMIT = 36_000_000
BASE_FEE_LEVEL_WEI = 3 * WEI_PER_GWEI // 2
# Anvil and forge cache forked state under chain id and block number alone, so a twin must never
# share a number with a block of mainnet that somebody may fork (mainnet gets here in 760 years),
# nor with another twin. It stays below 2**32, where the pools' oracles keep their time stamps.
_FIRST_BLOCK = 2_000_000_000
_BLOCKS_PER_SEED = 1_000_000
_SEEDS_APART = 1_000
_BLOCKS_PER_LEVEL = _BLOCKS_PER_SEED // 2
_FIRST_TIMESTAMP = 1_741_000_000
_HISTORY_BLOCKS = 24
PROVIDER = Address("0x" + keccak(b"toolkit devnet liquidity provider")[12:].hex())
_CROWD = Address("0x" + keccak(b"toolkit devnet crowd")[12:].hex())
_VAULT_USD = 40_000_000  # of each token, for flash loans


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """What an account holds on the twin: amounts in smallest units by symbol, ETH for ether."""

    account: Address
    amounts: tuple[tuple[str, int], ...]
    spenders: tuple[Address, ...] = ()  # get an unlimited allowance for every token


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinConfig:
    """What determines a twin, and with it the hash of its head."""

    seed: int = 1
    weth_usd: Fraction = Fraction(1500)
    wbtc_usd: Fraction = Fraction(22_500)
    depth_percent: int = 100
    hardfork: str = "prague"
    funded: tuple[Funding, ...] = ()

    def __post_init__(self) -> None:
        if self.weth_usd <= 0 or self.wbtc_usd <= 0:
            raise DevnetError(f"prices {self.weth_usd} and {self.wbtc_usd} must be above 0")
        if self.depth_percent <= 0:
            raise DevnetError(f"depth_percent {self.depth_percent} must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A finished twin: its process, its head, and which code its tokens have."""

    anvil: Anvil
    head: Head
    level: TokenLevel
    hardfork: str


async def build_twin(config: TwinConfig) -> Twin:
    """Build the twin on its own Anvil; the same config gives the same head hash.

    Raises:
        DevnetError: no Anvil, protocol bytecode that is missing or not genuine, a failed step.
        DataError: recorded token code is there but damaged.
    """
    level, codes = token_codes()
    creation = [deployment.creation_code() for deployment in DEPLOYMENTS]
    number = _FIRST_BLOCK + config.seed % _SEEDS_APART * _BLOCKS_PER_SEED
    number += _BLOCKS_PER_LEVEL if level is TokenLevel.RECORDED else 0
    anvil = await start_anvil(_anvil_args(config, number))
    try:
        async with HttpRpc(anvil.url) as rpc:
            editor = ChainEditor(rpc)
            await editor.apply(call for code in codes for call in code.calls())
            await _open_accounts(editor)
            await construct(editor, DEPLOYMENTS, creation)
            await _fill(editor, config)
            await fund(editor, config.funded)
            await _check(editor)
            await _make_history(editor, config.seed)
            head = await Node(rpc).head()
            return Twin(anvil=anvil, head=head, level=level, hardfork=config.hardfork)
    except NodeError:
        try:
            await anvil.check_soon()
        finally:
            await anvil.stop()
        raise
    except BaseException:
        await anvil.stop()
        raise


async def fork_twin(twin: Twin) -> Anvil:
    """Start a sealer on a fork of the twin that has all of the twin's state.

    A fork asks its upstream for what no block of its own has touched, at every simulation anew,
    though the answer is in its memory: two swaps take three times as long. What it was given it
    does not ask for. History stays upstream: a loaded chain without one forgets its base fees.

    Raises:
        DevnetError: Anvil did not start, or an Anvil does not hand its state on.
    """
    # Without storage caching: the cache is keyed by chain id and block number alone, so it
    # would hand this fork another twin's state.
    fork = ("--fork-url", twin.anvil.url, "--no-storage-caching", "--hardfork", twin.hardfork)
    anvil = await start_sealer(fork)
    try:
        async with HttpRpc(twin.anvil.url) as upstream, HttpRpc(anvil.url) as rpc:
            (state,) = await ChainEditor(upstream).apply([("anvil_dumpState", ())])
            await ChainEditor(rpc).apply([("anvil_loadState", (state,))])
    except BaseException:
        await anvil.stop()
        raise
    return anvil


def _anvil_args(config: TwinConfig, number: int) -> tuple[str, ...]:
    return (
        *("--chain-id", str(CHAIN_ID), "--hardfork", config.hardfork),
        *("--number", str(number), "--timestamp", str(_FIRST_TIMESTAMP)),
        *("--base-fee", str(BASE_FEE_LEVEL_WEI), "--gas-limit", str(GAS_LIMIT)),
        *("--no-mining", "--order", "fifo", "--auto-impersonate", "--accounts", "0"),
    )


async def _open_accounts(editor: ChainEditor) -> None:
    rich = hex(10**9 * WEI_PER_ETHER)
    calls: list[Call] = [("anvil_setBlockTimestampInterval", (BLOCK_SECONDS,))]
    calls += [("anvil_setBalance", (each, rich)) for each in (PROVIDER, _CROWD, V3_OWNER)]
    calls.append(("anvil_setBalance", (WETH, hex(WETH_SUPPLY_WEI))))
    calls.append(("anvil_setCode", (GAS_BURNER, GAS_BURNER_CODE)))
    await editor.apply(calls)


async def construct(
    editor: ChainEditor, deployments: Sequence[Deployment], creation: Sequence[str]
) -> None:
    """Run every constructor at the contract's own mainnet address.

    The creation code is put at the address and called: immutables (the address itself among
    them), constructor storage and children's addresses come out as on mainnet, and no deployer's
    key or nonce is needed. Then the code it returned takes its place.
    """
    targets = [each.address for each in deployments]
    pairs = list(zip(targets, creation, strict=True))
    await editor.apply(("anvil_setCode", pair) for pair in pairs)
    await editor.apply(("anvil_setNonce", (target, "0x1")) for target in targets)
    senders = [each.deployer or PROVIDER for each in deployments]
    calls = [{"from": s, "to": t} for s, t in zip(senders, targets, strict=True)]
    runtimes = await editor.apply(("eth_call", (call, "latest")) for call in calls)
    await editor.transact(
        [
            Sending(sender=s, to=each.address, gas=9_000_000, what=f"constructor of {each.name}")
            for s, each in zip(senders, deployments, strict=True)
        ]
    )
    await editor.apply(("anvil_setCode", pair) for pair in zip(targets, runtimes, strict=True))


async def _fill(editor: ChainEditor, config: TwinConfig) -> None:
    usd = {"WETH": config.weth_usd, "WBTC": config.wbtc_usd}
    prices = {symbol: usd.get(symbol, Fraction(1)) for symbol in TOKENS}
    # The whole of every pool and of the vault, with room for the rounding of V3 positions.
    needed_usd = (sum(pool.depth_usd for pool in POOLS) + _VAULT_USD) * config.depth_percent
    amounts = tuple(
        (symbol, int(Fraction(needed_usd, 100) / prices[symbol] * 10**token.decimals))
        for symbol, token in TOKENS.items()
    )
    await fund(
        editor,
        [Funding(account=PROVIDER, amounts=amounts, spenders=(V2_ROUTER, V3_POSITIONS))],
    )
    await editor.transact(list(create_pools(PROVIDER, prices)))
    await editor.transact(list(add_liquidity(PROVIDER, prices, depth_percent=config.depth_percent)))
    vault = tuple(
        (symbol, int(_VAULT_USD / prices[symbol] * 10**token.decimals))
        for symbol, token in TOKENS.items()
    )
    await fund(editor, [Funding(account=BALANCER_VAULT, amounts=vault)])


async def fund(editor: ChainEditor, fundings: Sequence[Funding]) -> None:
    """Give accounts ether and tokens, and the allowances they start with.

    Anvil finds each token's balance slot itself, so this works on any fork as well.
    """
    approvals = []
    for funding in fundings:
        calls: list[Call] = []
        for symbol, amount in funding.amounts:
            if symbol == "ETH":
                calls.append(("anvil_setBalance", (funding.account, hex(amount))))
            else:
                token = TOKENS[symbol].address
                calls.append(("anvil_dealERC20", (funding.account, token, hex(amount))))
        await editor.apply(calls)
        approvals += [
            Sending(
                sender=funding.account,
                to=token.address,
                data=encode_call("approve(address,uint256)", spender, MAX_UINT256),
                gas=100_000,
                what=f"approving {token.symbol}",
            )
            for token in TOKENS.values()
            for spender in funding.spenders
        ]
    if approvals:
        await editor.transact(approvals)


async def _check(editor: ChainEditor) -> None:
    """Compare every code with mainnet's, and ask the tokens for their names.

    Raises:
        DevnetError: a hash or an answer differs; names the contract.
    """
    wanted = [(each.address, each.runtime_hash) for each in DEPLOYMENTS if each.runtime_hash]
    wanted.append(
        (BALANCER_FEES, "0x78b7981f1a019d7ac65fd1e3b6960d92e66272bddf2e1323118ad55c51ba2a5b")
    )
    v3_pools = [pool for pool in POOLS if pool.spec.kind is PoolKind.CONCENTRATED]
    wanted += [(p.address, V2_PAIR_CODE) for p in POOLS if p not in v3_pools]
    codes = await editor.apply(
        ("eth_getCode", (account, "latest"))
        for account in [*(a for a, _ in wanted), *(p.address for p in v3_pools)]
    )
    for (account, expected), code in zip(wanted, codes[: len(wanted)], strict=True):
        found = "0x" + keccak(bytes.fromhex(code[2:])).hex()
        if found != expected:
            raise DevnetError(f"twin: code at {account} has hash {found}, mainnet has {expected}")
    for pool, code in zip(v3_pools, codes[len(wanted) :], strict=True):
        if code == "0x":
            raise DevnetError(f"twin: {pool.name} did not come out at {pool.address}")
    await _check_tokens(editor)


async def _check_tokens(editor: ChainEditor) -> None:
    questions = [("symbol()", "(string)"), ("decimals()", "(uint256)")]
    answers = await editor.apply(
        ("eth_call", ({"to": token.address, "data": encode_call(signature)}, "latest"))
        for token in TOKENS.values()
        for signature, _ in questions
    )
    for index, token in enumerate(TOKENS.values()):
        pair = answers[2 * index : 2 * index + 2]
        (symbol,), (decimals,) = (
            decode_values(types, answer) for (_, types), answer in zip(questions, pair, strict=True)
        )
        if (symbol, decimals) != (token.symbol, token.decimals):
            raise DevnetError(
                f"twin: token {token.address} says {symbol!r} with {decimals} decimals,"
                f" not {token.symbol!r} with {token.decimals}"
            )


async def _make_history(editor: ChainEditor, seed: int) -> None:
    """Seal blocks with varied demand and tips, so that fee histories are not flat."""
    random = Random(f"twin/{seed}")  # noqa: S311 - a scenario, not a secret
    fee = hex(BASE_FEE_LEVEL_WEI)
    await editor.apply([("anvil_setNextBlockBaseFeePerGas", (fee,)), ("evm_mine", ())])
    for _ in range(_HISTORY_BLOCKS):
        block = (await editor.apply([("eth_getBlockByNumber", ("latest", False))]))[0]
        demand = _crowd_sendings(random, base_fee_wei=int(block["baseFeePerGas"], 16))
        await editor.transact(list(demand))


def _crowd_sendings(random: Random, *, base_fee_wei: int) -> Iterator[Sending]:
    demand = crowd_demand(
        random, base_fee_wei=base_fee_wei, level_wei=BASE_FEE_LEVEL_WEI, gas_limit=GAS_LIMIT
    )
    for gas, tip_wei in demand:
        yield Sending(sender=_CROWD, to=GAS_BURNER, gas=gas, tip_wei=tip_wei, what="the crowd")
