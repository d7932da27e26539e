"""Small values of an orchestrated run, quiet unless something is changed."""

from toolkit.model.chain import Address, Hash, Head
from toolkit.model.decision import Fill, Intent, Leg, Verdict
from toolkit.model.provenance import Provenance
from toolkit.model.tx import FeeQuote
from toolkit.orchestrator.deciding.arbitration import Candidate
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.pausing.pauses import Assessment
from toolkit.orchestrator.records import BlockReport

PRICE_KEY = "price/WETH-USDC"


def block_hash(number: int) -> Hash:
    """A hash for each number."""
    return Hash(f"0x{number:064x}")


def report(number: int = 100, **changes: object) -> BlockReport:
    """One block of a run, in which nothing happened but what is given."""
    head = Head(
        number=number,
        hash=block_hash(number),
        parent_hash=block_hash(number - 1),
        timestamp=12 * number,
        base_fee_per_gas=1_500_000_000,
        gas_limit=36_000_000,
        gas_used=0,
    )
    quiet: dict[str, object] = {
        "head": head,
        "fee": FeeQuote(
            max_fee_per_gas=2,
            max_priority_fee_per_gas=1,
            base_fee_per_gas=1,
            for_block=number + 1,
        ),
        "prices": {PRICE_KEY: 2_000.0},
        "quarantined": {},
        "balances": {},
        "books": {},
        "pnl_wei": {},
        "discrepancies": {},
    }
    for name in ("intents", "verdicts", "plans", "fills", "paused"):
        quiet[name] = ()
    return BlockReport(**(quiet | changes))  # type: ignore[arg-type]


def fill(agent: str = "arbitrage", *, landed: bool = True, **changes: object) -> Fill:
    """A plan's end: it made what was predicted, or it missed."""
    values: dict[str, object] = {
        "verdict_id": "100-0",
        "agents": (agent,),
        "landed": landed,
        "block_number": 101,
        "predicted_out": 5,
        "realised_out": 5 if landed else 0,
    }
    return Fill(**(values | changes))  # type: ignore[arg-type]


def verdict(*agents: str, approved: bool = True, **changes: object) -> Verdict:
    """A decision about these agents' intents."""
    values: dict[str, object] = {
        "verdict_id": "100-0",
        "block_number": 100,
        "block_hash": block_hash(100),
        "approved": approved,
        "intents": tuple(f"100/{agent}/0" for agent in agents),
        "agents": agents,
    }
    return Verdict(**(values | changes))  # type: ignore[arg-type]


def candidate(agent: str, *legs: Leg) -> Candidate:
    """A wish; to buy one WETH for 2,000 USDC unless legs are given."""
    leg = Leg(token_in=USDC.address, token_out=WETH.address, amount_in=2_000 * 10**6)
    return Candidate(
        intent_id=f"100/{agent}/0",
        intent=Intent(agent=agent, legs=legs or (leg,), edge_wei=1),
        inputs=(),
        block_number=100,
        block_hash=block_hash(100),
        provenance=Provenance(
            source=agent,
            block_number=100,
            block_hash=block_hash(100),
            observed_at=1_700_001_200,
            deadline_block=101,
            quality=1.0,
            origins=(),
        ),
    )


def assessment(agent: str = "momentum", *, paused: bool = True) -> Assessment:
    """A dependent that waits, or one that might have."""
    return Assessment(
        agent=agent,
        paused=paused,
        because=("99-0", "99-1"),
        contamination=-1e-4,
        flip_probability=0.046,
        tolerance=0.03,
        until_block=112,
    )


def account(digit: str) -> Address:
    """An address."""
    return Address("0x" + digit * 40)
