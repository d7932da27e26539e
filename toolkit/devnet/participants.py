"""Who is on the devnet, and what each starts with."""

from collections.abc import Mapping

from toolkit.chain.dev_keys import USER_ROLE
from toolkit.devnet.accounts import DevAccount, derive_account
from toolkit.devnet.protocols import V2_ROUTER, V3_ROUTER
from toolkit.devnet.tokens import TOKENS
from toolkit.devnet.twin import Funding
from toolkit.model.units import WEI_PER_ETHER

MAX_ACCOUNTS = 100
"""How many of them a devnet's users may have."""

TRADERS = 5
CROWD_ACCOUNTS = 3
ACCOUNT_UNITS: Mapping[str, int] = {
    "ETH": 10_000,
    "WETH": 1_000,
    "WBTC": 60,
    "USDC": 2_000_000,
    "USDT": 2_000_000,
    "DAI": 2_000_000,
}
_TRADER_UNITS = {
    "ETH": 100_000,
    "WETH": 300_000,
    "WBTC": 20_000,
    "USDC": 500_000_000,
    "USDT": 500_000_000,
    "DAI": 500_000_000,
}
_RIVAL_UNITS = {"ETH": 10_000, "WETH": 3_000}
_CROWD_UNITS = {"ETH": 1_000_000}
_ROUTERS = (V2_ROUTER, V3_ROUTER)


def user_accounts(seed: int, count: int) -> tuple[DevAccount, ...]:
    """The accounts whose keys a devnet's users get."""
    return tuple(derive_account(seed, USER_ROLE, index) for index in range(count))


def traders(seed: int) -> tuple[DevAccount, ...]:
    """The flow's ordinary traders."""
    return tuple(derive_account(seed, "trader", index) for index in range(TRADERS))


def crowd(seed: int) -> tuple[DevAccount, ...]:
    """The accounts of everybody else, who only use gas."""
    return tuple(derive_account(seed, "crowd", index) for index in range(CROWD_ACCOUNTS))


def rivals(seed: int, count: int) -> tuple[DevAccount, ...]:
    """The rival searchers."""
    return tuple(derive_account(seed, "rival", index) for index in range(count))


def user_funding(
    seed: int, count: int, units: Mapping[str, int] = ACCOUNT_UNITS
) -> tuple[Funding, ...]:
    """What each of the users' accounts starts with, in whole units; no allowance to anybody."""
    return tuple(_funding(each, units) for each in user_accounts(seed, count))


def market_funding(seed: int, *, rival_count: int) -> tuple[Funding, ...]:
    """What the market's own participants start with; swaps need allowances to the routers."""
    return (
        *(_funding(each, _TRADER_UNITS, trades=True) for each in traders(seed)),
        *(_funding(each, _RIVAL_UNITS, trades=True) for each in rivals(seed, rival_count)),
        *(_funding(each, _CROWD_UNITS) for each in crowd(seed)),
    )


def _funding(account: DevAccount, units: Mapping[str, int], *, trades: bool = False) -> Funding:
    amounts = [
        (symbol, count * (WEI_PER_ETHER if symbol == "ETH" else 10 ** TOKENS[symbol].decimals))
        for symbol, count in units.items()
    ]
    return Funding(
        account=account.address, amounts=tuple(amounts), spenders=_ROUTERS if trades else ()
    )
