"""Ordinary traders and the rest of the chain's demand, as signed public transactions."""

import math
from collections.abc import Iterator
from random import Random

from toolkit.devnet.accounts import DevAccount
from toolkit.devnet.crowd.demand import GAS_BURNER, crowd_demand
from toolkit.devnet.crowd.trades import FlowConfig, block_trades, swap_call
from toolkit.devnet.participants import crowd, traders
from toolkit.devnet.public_pool import PublicPool
from toolkit.devnet.twin import BASE_FEE_LEVEL_WEI, CHAIN_ID
from toolkit.gas.rules import next_base_fee
from toolkit.model.chain import Address
from toolkit.model.tx import SignedTransaction, UnsignedTransaction
from toolkit.pools.snapshot import Snapshot

BITCOIN_PER_ETHER = 15.0  # WBTC's fair price in WETH, around which it wobbles
_SWAP_GAS = 400_000
_WOBBLE_PULL = 0.05


class Flow:
    """Makes the public transactions of each slot; all it draws comes from the seed."""

    def __init__(
        self, pool: PublicPool, *, seed: int, config: FlowConfig, depth_percent: int
    ) -> None:
        self._pool = pool
        self._random = Random(f"flow/{seed}")  # noqa: S311 - a scenario, not a secret
        self._config = config
        self._depth_percent = depth_percent
        self._wobble = 0.0
        self.traders = traders(seed)
        self.crowd = crowd(seed)

    def fair_usd(self, weth_usd: float) -> dict[str, float]:
        """Dollars per whole token by symbol at this price of ether."""
        bitcoin = weth_usd * BITCOIN_PER_ETHER * math.exp(self._wobble)
        return {"WETH": weth_usd, "WBTC": bitcoin, "USDC": 1.0, "USDT": 1.0, "DAI": 1.0}

    async def act(self, snapshot: Snapshot, *, weth_usd: float) -> int:
        """Put one slot's transactions into the public pool; how many it took.

        What the pool refuses is not sent again: its sender acts anew in the next slot.
        """
        noise = self._random.gauss(0, self._config.reference_noise_bps / 10_000)
        self._wobble = self._wobble * (1 - _WOBBLE_PULL) + noise
        nonces = await self._nonces()
        signed = [*self._swaps(snapshot, weth_usd, nonces), *self._demand(snapshot, nonces)]
        return await self._pool.send_all(signed)

    def _swaps(
        self, snapshot: Snapshot, weth_usd: float, nonces: dict[Address, int]
    ) -> Iterator[SignedTransaction]:
        trades = block_trades(
            self._random,
            snapshot,
            self.fair_usd(weth_usd),
            self._config,
            depth_percent=self._depth_percent,
        )
        for index, trade in enumerate(trades):
            trader = self.traders[index % len(self.traders)]
            to, data = swap_call(trade, trader.address)
            tip = int(self._config.tip_wei * self._random.lognormvariate(0, 0.3))
            yield self._sign(trader, nonces, snapshot, to=to, data=data, gas=_SWAP_GAS, tip_wei=tip)

    def _demand(
        self, snapshot: Snapshot, nonces: dict[Address, int]
    ) -> Iterator[SignedTransaction]:
        if not self._config.crowd:
            return
        demand = crowd_demand(
            self._random,
            base_fee_wei=next_base_fee(snapshot.block),
            level_wei=BASE_FEE_LEVEL_WEI,
            gas_limit=snapshot.block.gas_limit,
        )
        for index, (gas, tip_wei) in enumerate(demand):
            account = self.crowd[index % len(self.crowd)]
            yield self._sign(account, nonces, snapshot, to=GAS_BURNER, gas=gas, tip_wei=tip_wei)

    def _sign(
        self,
        account: DevAccount,
        nonces: dict[Address, int],
        snapshot: Snapshot,
        *,
        to: Address,
        gas: int,
        tip_wei: int,
        data: str = "0x",
    ) -> SignedTransaction:
        nonce = nonces[account.address]
        nonces[account.address] += 1
        return account.signer.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=CHAIN_ID,
                nonce=nonce,
                to=to,
                value=0,
                data=data,
                gas=gas,
                max_fee_per_gas=4 * snapshot.block.base_fee_per_gas + tip_wei,
                max_priority_fee_per_gas=tip_wei,
            )
        )

    async def _nonces(self) -> dict[Address, int]:
        accounts = [each.address for each in (*self.traders, *self.crowd)]
        return await self._pool.next_nonces(accounts)
