"""The five tokens at their mainnet addresses: recorded mainnet code, or stand-ins of our own."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files

from toolkit.chain.hashing import keccak
from toolkit.chain.wire import Call
from toolkit.devnet.data import data_file, read_gzip_json
from toolkit.devnet.protocols import WETH
from toolkit.model.chain import Address
from toolkit.model.errors import DataError
from toolkit.model.market import Token

RECORDED_CODE = "mainnet/codes_known.json.gz"
WETH_SUPPLY_WEI = 10_000_000 * 10**18  # ether behind the wrapped token; more than anyone is dealt

TOKENS: Mapping[str, Token] = {
    token.symbol: token
    for token in (
        Token(address=WETH, symbol="WETH", decimals=18),
        Token(
            address=Address("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"), symbol="USDC", decimals=6
        ),
        Token(
            address=Address("0xdac17f958d2ee523a2206206994597c13d831ec7"), symbol="USDT", decimals=6
        ),
        Token(
            address=Address("0x6b175474e89094c44da98b954eedeac495271d0f"), symbol="DAI", decimals=18
        ),
        Token(
            address=Address("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599"), symbol="WBTC", decimals=8
        ),
    )
}
_NAMES = {
    "WETH": "Wrapped Ether",
    "USDC": "USD Coin",
    "USDT": "Tether USD",
    "DAI": "Dai Stablecoin",
    "WBTC": "Wrapped BTC",
}
_USDC_IMPLEMENTATION = Address("0x43506849d7c04f9138d1a2050bbf3a0c054402dd")


class TokenLevel(Enum):
    """Which code stands at the token addresses."""

    RECORDED = "recorded"  # mainnet's own, from recorded data
    STAND_IN = "stand_in"  # ours, with USDT's habits


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCode:
    """Code and storage that make one account what it is."""

    address: Address
    code: str
    slots: tuple[tuple[int, int], ...] = ()

    def calls(self) -> Iterator[Call]:
        """The Anvil calls that put it in place."""
        yield "anvil_setCode", (self.address, self.code)
        yield "anvil_setNonce", (self.address, "0x1")
        for slot, value in self.slots:
            yield "anvil_setStorageAt", (self.address, _word(slot), _word(value))


def token_codes() -> tuple[TokenLevel, tuple[TokenCode, ...]]:
    """Recorded code where TOOLKIT_DATA has it, otherwise the stand-ins shipped with the package.

    Raises:
        DataError: the recorded file is there but damaged, incomplete, or fails its hashes.
    """
    path = data_file(RECORDED_CODE)
    if path is None:
        return TokenLevel.STAND_IN, tuple(_stand_ins())
    records = read_gzip_json(path)
    codes = []
    for address, slots in _recorded_slots():
        record = records.get(address) if isinstance(records, dict) else None
        if not isinstance(record, dict) or not {"code", "codeHash"} <= record.keys():
            raise DataError(f"{path} has no code for {address}; fetch it again")
        code = str(record["code"])
        if "0x" + keccak(bytes.fromhex(code[2:])).hex() != record["codeHash"]:
            raise DataError(f"{path}: the code of {address} does not match its hash")
        codes.append(TokenCode(address=address, code=code, slots=tuple(slots)))
    return TokenLevel.RECORDED, tuple(codes)


def _stand_ins() -> Iterator[TokenCode]:
    contracts = {"WETH": "StandInWeth", "USDT": "StandInTether"}
    for symbol, token in TOKENS.items():
        contract = contracts.get(symbol, "StandInToken")
        text = [_text(_NAMES[symbol]), _text(symbol), token.decimals]
        supply = [] if symbol == "WETH" else [_supply(token)]
        code = json.loads((files("toolkit.devnet") / "artifacts" / f"{contract}.json").read_text())
        yield TokenCode(
            address=token.address,
            code=code["runtime"],
            slots=tuple(enumerate([*supply, *text], start=2)),
        )


def _recorded_slots() -> Iterator[tuple[Address, Sequence[tuple[int, int]]]]:
    """Storage of the recorded contracts, by their verified sources' layouts.

    Found by tracing the SLOADs of their getters on the recorded code.
    """
    usdc, usdt, dai, wbtc = (TOKENS[name].address for name in ("USDC", "USDT", "DAI", "WBTC"))
    yield WETH, ((0, _text("Wrapped Ether")), (1, _text("WETH")), (2, 18))
    yield _USDC_IMPLEMENTATION, ()
    yield (
        usdc,
        (
            (_slot("org.zeppelinos.proxy.implementation"), int(_USDC_IMPLEMENTATION, 16)),
            (
                _slot("org.zeppelinos.proxy.admin"),
                0x807A96288A1A408DBC13DE2B1D087D10356395D2,
            ),
            (0, 0xFCB19E6A322B27C06842A71E8C725399F049AE3A),  # owner
            (4, _text("USD Coin")),
            (5, _text("USDC")),
            (6, 6),
            (7, _text("USD")),
            (8, (1 << 160) | 0xE982615D461DD5CD06575BBEA87624FDA4E3DE17),  # initialized, minter
            (11, _supply(TOKENS["USDC"])),
            (18, 3),  # initialized version: 2.2
        ),
    )
    yield (
        usdt,
        (
            (0, 0xC6CDE7C39EB2F0F0095F41570AF89EFC2C1EA828),  # owner
            (1, _supply(TOKENS["USDT"])),
            (7, _text("Tether USD")),
            (8, _text("USDT")),
            (9, 6),
        ),
    )
    yield dai, ((1, _supply(TOKENS["DAI"])), (5, _dai_domain_separator(dai)))
    yield (
        wbtc,
        ((1, _supply(TOKENS["WBTC"])), (3, _text("Wrapped BTC")), (4, _text("WBTC")), (5, 8)),
    )


def _supply(token: Token) -> int:
    whole_units = 1_000_000 if token.symbol == "WBTC" else 50_000_000_000
    return int(whole_units * 10**token.decimals)


def _slot(name: str) -> int:
    return int.from_bytes(keccak(name.encode()), "big")


def _word(value: int) -> str:
    return f"0x{value:064x}"


def _text(value: str) -> int:
    """A short string as Solidity stores it: bytes at the left, twice the length at the right."""
    data = value.encode()
    return int.from_bytes(data.ljust(31, b"\0") + bytes([2 * len(data)]), "big")


def _dai_domain_separator(dai: Address) -> int:
    fields = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    words = keccak(fields) + keccak(b"Dai Stablecoin") + keccak(b"1")
    chain_id = (1).to_bytes(32, "big")
    return int.from_bytes(keccak(words + chain_id + bytes.fromhex(dai[2:].zfill(64))), "big")
