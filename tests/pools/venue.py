"""Genuine Uniswap bytecode from npm, in two machines: revm for many vectors, Anvil for the node.

`Venue` deploys two tokens, a V2 pair and V3 pools with random positions through the official
factories and managers, and asks the official quoters.
"""

import http.client
import itertools
import json
import random
from pathlib import Path
from typing import Any, Protocol

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from toolkit.model.chain import Address
from toolkit.pools.concentrated import Concentrated
from toolkit.pools.constant_product import ConstantProduct
from toolkit.pools.ticks import sqrt_price_at_tick

ROOT = Path(__file__).resolve().parents[2]
UNISWAP = ROOT / ".tools" / "node_modules" / "@uniswap"
ME = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
MAX = 2**256 - 1
FOREVER = 2**40
SPACINGS = {100: 1, 500: 10, 3000: 60, 10000: 200}
WIDEST = {12345: 16383}  # one bitmap word spans all prices below 1, so amounts can overflow


class Refused(Exception):
    """A call or transaction that the contract reverts."""


class Machine(Protocol):
    def deploy(self, code: bytes) -> str: ...
    def call(self, to: str, data: bytes) -> bytes: ...
    def send(self, to: str, data: bytes, *, sender: str = ME, value: int = 0) -> None: ...


class Revm:
    """pyrevm: the EVM in this process."""

    def __init__(self) -> None:
        from pyrevm import EVM

        self.evm = EVM()
        self.evm.set_balance(ME, 10**30)

    def deploy(self, code: bytes) -> str:
        return str(self.evm.deploy(ME, code)).lower()

    def call(self, to: str, data: bytes) -> bytes:
        before = self.evm.snapshot()
        try:
            return bytes(self.evm.message_call(ME, to, calldata=data))
        except RuntimeError as error:
            raise Refused(str(error)) from None
        finally:
            self.evm.revert(before)

    def send(self, to: str, data: bytes, *, sender: str = ME, value: int = 0) -> None:
        try:
            self.evm.message_call(sender, to, calldata=data, value=value)
        except RuntimeError as error:
            raise Refused(str(error)) from None


class AnvilMachine:
    """A real node, one block a transaction."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.numbers = itertools.count(1)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def rpc(self, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self.numbers), "method": method, "params": params}
        self.connection.request("POST", "/", json.dumps(body), {"content-type": "application/json"})
        answer = json.loads(self.connection.getresponse().read())
        if "error" in answer:
            raise Refused(str(answer["error"]))
        return answer["result"]

    def _transact(self, fields: dict[str, str]) -> dict[str, Any]:
        sent = self.rpc("eth_sendTransaction", {"from": ME, "gas": hex(15_000_000), **fields})
        for _ in range(10_000):  # automine answers before the receipt is there
            receipt: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", sent)
            if receipt is not None:
                break
        assert receipt is not None
        if receipt["status"] != "0x1":
            raise Refused(sent)
        return receipt

    def deploy(self, code: bytes) -> str:
        return str(self._transact({"data": "0x" + code.hex()})["contractAddress"]).lower()

    def call(self, to: str, data: bytes) -> bytes:
        fields = {"from": ME, "to": to, "data": "0x" + data.hex()}
        return bytes.fromhex(self.rpc("eth_call", fields, "latest")[2:])

    def send(self, to: str, data: bytes, *, sender: str = ME, value: int = 0) -> None:
        fields = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
        self._transact(fields)


def creation_code(path: str, types: tuple[str, ...] = (), values: tuple[object, ...] = ()) -> bytes:
    code = json.loads((UNISWAP / path).read_text())["bytecode"]
    return bytes.fromhex(code.removeprefix("0x")) + encode(types, values)


def calldata(signature: str, *values: object) -> bytes:
    types = signature[signature.index("(") + 1 : -1]
    return keccak(text=signature)[:4] + encode(_split(types), values)


def _split(types: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for char in types + ",":
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
            continue
        depth += (char == "(") - (char == ")")
        current += char
    return [part for part in parts if part]


class Venue:
    """Two tokens and the Uniswap contracts around them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        deploy = machine.deploy
        token = creation_code("v2-core/build/ERC20.json", ("uint256",), (2**254,))
        self.token0, self.token1 = (Address(t) for t in sorted(deploy(token) for _ in range(2)))
        artifacts = "v3-periphery/artifacts/contracts/"
        self.factory2 = deploy(
            creation_code("v2-core/build/UniswapV2Factory.json", ("address",), (ME,))
        )
        self.router2 = deploy(
            creation_code(
                "v2-periphery/build/UniswapV2Router02.json",
                ("address", "address"),
                (self.factory2, ME),
            )
        )
        self.factory3 = deploy(
            creation_code("v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json")
        )
        pair = (self.factory3, ME)
        kinds = ("address", "address")
        self.manager = deploy(
            creation_code(
                artifacts + "NonfungiblePositionManager.sol/NonfungiblePositionManager.json",
                ("address", *kinds),
                (*pair, ME),
            )
        )
        self.router3 = deploy(
            creation_code(artifacts + "SwapRouter.sol/SwapRouter.json", kinds, pair)
        )
        self.quoter = deploy(
            creation_code(artifacts + "lens/QuoterV2.sol/QuoterV2.json", kinds, pair)
        )
        for coin, spender in itertools.product(
            (self.token0, self.token1), (self.router2, self.router3, self.manager)
        ):
            machine.send(coin, calldata("approve(address,uint256)", spender, MAX))
        for fee, spacing in ({100: 1} | WIDEST).items():
            machine.send(self.factory3, calldata("enableFeeAmount(uint24,int24)", fee, spacing))

    def ask(self, to: str, signature: str, *values: object, out: str) -> Any:
        found = decode(_split(out), self.machine.call(to, calldata(signature, *values)))
        return found[0] if len(found) == 1 else found

    # -- V2

    def make_pair(self, amount0: int, amount1: int) -> Address:
        self.machine.send(
            self.factory2, calldata("createPair(address,address)", self.token0, self.token1)
        )
        pair = self.ask(
            self.factory2,
            "getPair(address,address)",
            self.token0,
            self.token1,
            out="address",
        )
        for coin, amount in ((self.token0, amount0), (self.token1, amount1)):
            self.machine.send(coin, calldata("transfer(address,uint256)", pair, amount))
        self.machine.send(pair, calldata("mint(address)", ME))
        return Address(pair)

    def read_pair(self, pair: Address) -> ConstantProduct:
        reserve0, reserve1, _ = self.ask(pair, "getReserves()", out="uint112,uint112,uint32")
        return ConstantProduct(
            id=pair,
            token0=self.token0,
            token1=self.token1,
            reserve0=reserve0,
            reserve1=reserve1,
        )

    # -- V3

    def make_pool(self, fee: int, tick: int, extra: int = 0) -> Address:
        price = sqrt_price_at_tick(tick) + extra
        self.machine.send(
            self.manager,
            calldata(
                "createAndInitializePoolIfNecessary(address,address,uint24,uint160)",
                self.token0,
                self.token1,
                fee,
                price,
            ),
        )
        return Address(
            self.ask(
                self.factory3,
                "getPool(address,address,uint24)",
                self.token0,
                self.token1,
                fee,
                out="address",
            )
        )

    def mint(
        self, fee: int, lower: int, upper: int, amount: int, amount1: int | None = None
    ) -> None:
        most = (amount, amount if amount1 is None else amount1)
        fields = (self.token0, self.token1, fee, lower, upper, *most, 0, 0, ME, FOREVER)
        self.machine.send(
            self.manager,
            calldata(
                "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,"
                "address,uint256))",
                fields,
            ),
        )

    def read_pool(self, pool: Address, fee: int, ticks: set[int]) -> Concentrated:
        """Read the ticks that positions were minted at, one by one: slow and independent."""
        price, tick, *_ = self.ask(
            pool, "slot0()", out="uint160,int24,uint16,uint16,uint16,uint8,bool"
        )
        info = "uint128,int128,uint256,uint256,int56,uint160,uint32,bool"
        nets = {t: self.ask(pool, "ticks(int24)", t, out=info) for t in sorted(ticks)}
        return Concentrated(
            id=pool,
            token0=self.token0,
            token1=self.token1,
            fee_ppm=fee,
            tick_spacing=(SPACINGS | WIDEST)[fee],
            sqrt_price_x96=price,
            tick=tick,
            liquidity=self.ask(pool, "liquidity()", out="uint128"),
            ticks=tuple((t, net[1]) for t, net in nets.items() if net[0]),
            gross=tuple(net[0] for net in nets.values() if net[0]),
        )

    def quote3(self, fee: int, token: str, amount: int, *, exact_in: bool, limit: int = 0) -> int:
        """QuoterV2's amount; Refused where it reverts. `token` is the one that goes in."""
        other = self.token1 if token == self.token0 else self.token0
        name = "quoteExactInputSingle" if exact_in else "quoteExactOutputSingle"
        answer = self.ask(
            self.quoter,
            name + "((address,address,uint256,uint24,uint160))",
            (token, other, amount, fee, limit),
            out="uint256,uint160,uint32,uint256",
        )
        return int(answer[0])

    def swap3(self, fee: int, token: str, amount: int, *, exact_in: bool) -> None:
        other = self.token1 if token == self.token0 else self.token0
        name = "exactInputSingle" if exact_in else "exactOutputSingle"
        bound = 0 if exact_in else 2**254
        fields = (token, other, fee, ME, FOREVER, amount, bound, 0)
        types = "((address,address,uint24,address,uint256,uint256,uint256,uint160))"
        self.machine.send(self.router3, calldata(name + types, fields))


def scatter(venue: Venue, fee: int, tick: int, rng: random.Random, positions: int) -> set[int]:
    """Mint random nested, overlapping and far away positions; return the ticks they may use."""
    spacing = SPACINGS[fee]
    bound = 887272 // spacing * spacing
    used: set[int] = set()
    for _ in range(positions):
        width = rng.choice([3, 20, 200, 3000]) * spacing
        centre = tick + (rng.randrange(-4 * width, 4 * width) if rng.random() < 0.7 else 0)
        lower = min(max((centre - width) // spacing * spacing, -bound), bound - spacing)
        upper = min(max((centre + width) // spacing * spacing, lower + spacing), bound)
        try:
            venue.mint(fee, lower, upper, int(10 ** rng.uniform(8, 24)))
        except Refused:  # no liquidity results from so small an amount there
            continue
        used |= {lower, upper}
    return used
