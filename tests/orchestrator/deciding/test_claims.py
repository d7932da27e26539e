"""What agents claimed, and what came of it."""

import random

import msgspec
import pytest

from tests.orchestrator.worlds import context_of, fresh_seeds, quiet_block
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.decision import Fill, Leg, Reading
from toolkit.model.units import PPM
from toolkit.orchestrator.deciding.claims import Belief, Claim, Claims, ClaimsMemory
from toolkit.orchestrator.deciding.covariance import PPB, Covariance
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.testing.decide import OFFLINE_MARKET

ETHER = 10**18
DOLLAR = 10**6
HORIZON = 10
LEG = Leg(token_in=USDC.address, token_out=WETH.address, amount_in=2000 * DOLLAR)
CLAIM = Claim(agent="a", intent="1000/a/0", edge_ppb=10**6, staked_wei=ETHER)  # 0.1 %


def at(price: float, block: int = 1000) -> dict[str, Reading]:
    """The newest readings with WETH at a price."""
    known = dict(context_of(quiet_block()).readings)
    newest = msgspec.structs.replace(
        known["price/WETH-USDC"], value=price, block_number=block, observed_at=0
    )
    return {**known, "price/WETH-USDC": newest}


def fill(verdict_id: str = "1000-0", *, landed: bool = True, block: int = 1001) -> Fill:
    """What became of the leg."""
    return Fill(
        verdict_id=verdict_id,
        agents=("a",),
        landed=landed,
        block_number=block,
        block_hash=Hash("0x" + "ab" * 32),
    )


def bought(base: int = ETHER) -> dict[str, dict[Address, int]]:
    """One WETH for 2000, and gas."""
    return {"a": {USDC.address: -2000 * DOLLAR, WETH.address: base, ZERO_ADDRESS: -(10**16)}}


def claims() -> Claims:
    """An empty record."""
    return Claims(horizon_blocks=HORIZON, market=OFFLINE_MARKET)


def judged(record: Claims, price: float, *, block: int = 1011) -> Belief:
    """What is believed of agent a after its horizon, at a price."""
    return record.mature(block, at(price, block), Covariance()).get("a", Belief())


def landed() -> Claims:
    """A record with one claim that waits for its horizon."""
    record = claims()
    record.opened("1000-0", [CLAIM])
    record.landed(fill(), LEG, bought())
    return record


def test_before_anything_is_known_a_claim_is_worth_itself_give_or_take_itself() -> None:
    """An unchecked edge is one standard deviation away from none."""
    expected, error = Belief().edge(10**6, PPM)

    assert (10**6, 10**12) == (expected, error)


def test_confidence_is_the_chance_that_there_is_an_edge() -> None:
    """Half confidence halves what is expected, and adds the variance of a coin to it."""
    expected, error = Belief(mean_ppm=PPM, variance_ppm=0).edge(10**6, PPM // 2)

    assert (10**6 // 2, 10**12 // 4) == (expected, error)


def test_a_claim_that_came_true_is_believed_more_surely() -> None:
    """An outcome just as claimed leaves the mean and lowers the doubt."""
    after = judged(landed(), 2002.003)  # 0.1 % of what one WETH is worth then

    assert PPM == pytest.approx(after.mean_ppm, abs=2000)
    assert after.variance_ppm < PPM


def test_a_claim_that_came_to_nothing_is_believed_less() -> None:
    """A loss where a gain was claimed lowers the mean; gas is not counted against it."""
    same, worse = judged(landed(), 2000.0), judged(landed(), 1990.0)

    precision = 1 + 1e-6 / (500e-6**2 * HORIZON)
    assert PPM / precision == pytest.approx(same.mean_ppm, rel=1e-3)
    assert worse.mean_ppm < same.mean_ppm


def test_nothing_is_judged_before_its_horizon() -> None:
    """A claim waits as long as its edge may take."""
    assert Belief() == judged(landed(), 1000.0, block=1010)


def test_what_did_not_land_teaches_nothing() -> None:
    """A plan that missed neither proves nor disproves what it claimed."""
    record = claims()
    record.opened("1000-0", [CLAIM])
    record.landed(fill(landed=False), LEG, {})

    assert Belief() == judged(record, 1000.0)
    assert ClaimsMemory() == record.memory()


def test_a_reorg_takes_back_what_was_learned() -> None:
    """A fill of a reverted block teaches nothing, before its horizon or after."""
    before, after = landed(), landed()
    before.forget(["1000-0"])
    judged(after, 1900.0)
    after.forget(["1000-0"])

    assert Belief() == judged(before, 1900.0)
    assert Belief() == judged(after, 1900.0, block=1012)


def test_what_was_learned_outlives_a_run() -> None:
    """A record goes on from its memory, through JSON, as if it had never ended."""
    record = landed()
    judged(record, 1990.0)
    record.opened("1012-0", [CLAIM])
    record.landed(fill("1012-0", block=1013), LEG, bought())
    record.opened("1014-0", [CLAIM])
    kept = msgspec.json.decode(msgspec.json.encode(record.memory()), type=ClaimsMemory)
    other = claims()
    other.resume(kept)

    for one in (record, other):
        one.landed(fill("1014-0", block=1015), LEG, bought(ETHER // 2))

    assert judged(record, 2010.0, block=1100) == judged(other, 2010.0, block=1100)
    assert record.memory() == other.memory()


def test_a_boaster_is_found_out_by_its_first_outcome() -> None:
    """Who claims to double every stake and gains nothing is worth next to nothing after that."""
    record = claims()
    record.opened("1000-0", [msgspec.structs.replace(CLAIM, edge_ppb=PPB)])
    record.landed(fill(), LEG, bought())

    after = judged(record, 2000.0)

    assert after.mean_ppm < 10
    assert after.edge(PPB, PPM)[0] < 10 * PPB // PPM


def test_a_share_without_a_claim_is_not_counted_to_one_that_has_one() -> None:
    """An agent's part of a fill belongs to all its shares of the leg, claiming or not."""
    record = claims()
    silent = msgspec.structs.replace(CLAIM, intent="1000/a/1", edge_ppb=0)
    record.opened("1000-0", [CLAIM, silent])
    both = {token: 2 * change for token, change in bought()["a"].items()}
    record.landed(fill(), LEG, {"a": both})

    assert judged(landed(), 1990.0) == judged(record, 1990.0)


def test_trades_of_the_same_time_teach_no_more_than_one() -> None:
    """Ten purchases that one fall of the price made lose are not ten proofs."""
    once, often = landed(), claims()
    for n in range(10):
        often.opened(f"{1000 + n}-0", [CLAIM])
        often.landed(fill(f"{1000 + n}-0", block=1001), LEG, bought())

    alone, together = judged(once, 1990.0), judged(often, 1990.0)

    assert alone.variance_ppm == pytest.approx(together.variance_ppm, rel=1e-4)
    assert alone.mean_ppm == pytest.approx(together.mean_ppm, rel=1e-4)


def test_an_honest_agent_keeps_its_trust_and_a_liar_loses_it() -> None:
    """After many noisy outcomes the true claims are believed and the made up ones are not."""
    for seed in fresh_seeds(20):
        rng = random.Random(seed)
        beliefs = []
        for truth in (1.0, 0.0):
            record = claims()
            for n in range(200):
                block = 1000 + 2 * HORIZON * n
                name = f"{block}-0"
                record.opened(name, [msgspec.structs.replace(CLAIM, staked_wei=ETHER)])
                drift = truth * 1e-3 + rng.gauss(0, 500e-6 * HORIZON**0.5)
                got = round(ETHER * (1 + drift))
                record.landed(fill(name, block=block), LEG, bought(got))
                belief = judged(record, 2000.0, block=block + HORIZON)
            beliefs.append(belief.mean_ppm)

        honest, liar = beliefs
        assert honest > 400_000, f"seed {seed}"
        assert liar < 600_000, f"seed {seed}"
