"""Who is served when there is too little for all: arbitration and ledger, round after round."""

import random
from dataclasses import dataclass

import msgspec

import toolkit as tk
from tests.orchestrator.worlds import context_of, proposed
from toolkit.model.chain import ZERO_ADDRESS, ZERO_HASH, Address
from toolkit.model.decision import Reading, Reservation
from toolkit.model.market import Token
from toolkit.orchestrator.capital.ledger import Ledger
from toolkit.orchestrator.deciding.arbitration import arbitrate
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.market import Market
from toolkit.perception.prices import PriceSource
from toolkit.testing.decide import OFFLINE_MARKET, given, main_pool

AGENTS = 8
ROUNDS = 5
SERVED_AT_ONCE = 3
ASSETS = tuple(
    Token(address=Address(f"0x{number:040x}"), symbol=f"T{number}", decimals=18)
    for number in range(0xA0, 0xA0 + AGENTS)
)
MARKET = Market(
    wrapped=WETH.address,
    tokens=(USDC, WETH, *ASSETS),
    stables=(USDC.address,),
    prices=(
        *OFFLINE_MARKET.prices,
        *(
            PriceSource(
                key=f"price/{token.symbol}-USDC",
                pool=Address("0x" + "77" * 20),
                base=token.address,
                quote=USDC.address,
            )
            for token in ASSETS
        ),
    ),
)
BUDGET = 2_000 * 10**6  # what each wants to spend, in units of USDC
BLOCK = given(1_000, pools=[main_pool("2000")])
PRICES = {
    source.key: Reading(
        key=source.key,
        value=2000.0,
        source=source.pool,
        block_number=BLOCK.head.number,
        block_hash=ZERO_HASH,
        observed_at=BLOCK.head.timestamp,
        max_age_blocks=5,
    )
    for source in MARKET.prices
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyer:
    """Wants the same of its own asset in every block."""

    name: str
    asset: Address

    def on_block(self, view: tk.View) -> tuple[tk.Intent, ...]:  # noqa: ARG002 - whatever it is
        """Return the one wish."""
        return (self.wish,)

    @property
    def wish(self) -> tk.Intent:
        """A trade worth one whole native token."""
        leg = tk.Leg(token_in=USDC.address, token_out=self.asset, amount_in=BUDGET)
        return tk.Intent(agent=self.name, legs=(leg,), edge_wei=10**16)


def check_turns(seed: int) -> None:
    """Each of eight agents is served within three rounds, and nobody twice before all others."""
    rng = random.Random(seed)
    assets = rng.sample(ASSETS, AGENTS)
    buyers = [Buyer(name=f"b{n}", asset=token.address) for n, token in enumerate(assets)]
    ledger = Ledger()
    ledger.open({USDC.address: SERVED_AT_ONCE * BUDGET, ZERO_ADDRESS: 10**30, WETH.address: 10**30})
    waited = dict.fromkeys((buyer.name for buyer in buyers), 0)
    for turn in range(ROUNDS):
        rng.shuffle(buyers)
        ledger.dispatch()
        context = context_of(
            BLOCK,
            market=MARKET,
            readings=PRICES,
            label=f"{1_000 + turn}",
            free={token: ledger.free(token) for token in ledger.expected()},
            served=ledger.served,
        )
        rulings = arbitrate(context, proposed(BLOCK, *(buyer.wish for buyer in buyers))).rulings
        approved = [ruling for ruling in rulings if ruling.verdict.approved]
        assert approved, "capital was free, and nobody got it"
        for ruling in approved:
            (leg,) = ruling.verdict.legs
            held = Reservation(
                verdict_id=ruling.verdict.verdict_id,
                token=leg.token_in,
                amount=leg.amount_in,
                gas_wei=0,
                expires_block=1_000,
            )
            assert ledger.reserve(held, ruling.shares)
        served = {agent for ruling in approved for agent in ruling.verdict.agents}
        waited = {agent: 0 if agent in served else n + 1 for agent, n in waited.items()}
        assert max(waited.values()) < AGENTS // SERVED_AT_ONCE + 1, f"somebody starves: {waited}"
        ledger.expire(1_001)
    assert not msgspec.json.decode(msgspec.json.encode(ledger.memory()))["held"]
