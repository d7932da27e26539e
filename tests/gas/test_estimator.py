import secrets
from random import Random

import msgspec
import pytest

from toolkit.gas.estimator import BlockFees, EstimatorConfig, estimate
from toolkit.gas.rules import base_fee_after, base_fee_upper_bound
from toolkit.model.errors import ConfigError
from toolkit.model.tx import FeeQuote

LIMIT = 30_000_000
CONFIG = EstimatorConfig()


def chain(rng: Random, *, blocks: int, start_fee: int, fill: float = 0.5) -> list[BlockFees]:
    """Blocks whose base fees obey EIP-1559 under random usage, with random paid tips."""
    fee = start_fee
    history = []
    for number in range(blocks):
        used = min(LIMIT, max(0, round(rng.gauss(fill, 0.25) * LIMIT)))
        tips = tuple(sorted(rng.randrange(2, 10**9) for _ in range(4))) if used else ()
        history.append(BlockFees(number=number, base_fee_per_gas=fee, tips=tips))
        fee = base_fee_after(base_fee_per_gas=fee, gas_used=used, gas_limit=LIMIT)
    return history


def quote(history: list[BlockFees], *, at: int, horizon: int, base_fee: int) -> FeeQuote:
    return estimate(
        history,
        next_base_fee=base_fee,
        gas_limit=LIMIT,
        for_block=at,
        horizon_blocks=horizon,
        config=CONFIG,
    )


def test_next_block_cap_is_the_exact_base_fee() -> None:
    """For one block nothing is estimated: the cap is the known base fee plus the tip."""
    rng = Random(1)
    history = chain(rng, blocks=300, start_fee=10**10)

    answer = quote(history, at=300, horizon=1, base_fee=12_345)

    assert 12_345 + answer.max_priority_fee_per_gas == answer.max_fee_per_gas
    assert 12_345 == answer.base_fee_per_gas
    assert 300 == answer.for_block


@pytest.mark.parametrize("history_length", [0, 1, 2, 40])
def test_short_history_falls_back_to_the_protocol_bound(history_length: int) -> None:
    """With too few samples the cap is the highest base fee that is possible at all."""
    history = chain(Random(2), blocks=history_length, start_fee=10**9)

    answer = quote(history, at=history_length, horizon=5, base_fee=10**9)

    cap = answer.max_fee_per_gas - answer.max_priority_fee_per_gas
    assert base_fee_upper_bound(10**9, gas_limit=LIMIT, blocks=4) == cap


def test_calm_chain_needs_no_headroom() -> None:
    """Where the base fee never rose, a long horizon locks no capital beyond rounding."""
    history = [BlockFees(number=n, base_fee_per_gas=10**9, tips=(5, 6)) for n in range(200)]

    answer = quote(history, at=200, horizon=10, base_fee=10**9)

    assert 10**9 + 9 + 5 == answer.max_fee_per_gas


def test_cap_is_the_quantile_of_past_rises_between_fee_and_bound() -> None:
    """On random chains the cap covers its share of what followed, and never leaves its limits."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    covered = scored = 0
    for _ in range(20):
        history = chain(rng, blocks=500, start_fee=rng.choice([10**8, 10**10]))
        for at in range(320, 495, 5):
            base_fee = history[at].base_fee_per_gas
            answer = quote(history, at=at, horizon=5, base_fee=base_fee)
            cap = answer.max_fee_per_gas - answer.max_priority_fee_per_gas

            assert base_fee <= cap <= base_fee_upper_bound(base_fee, gas_limit=LIMIT, blocks=4)
            scored += 1
            covered += cap >= max(b.base_fee_per_gas for b in history[at : at + 5])
    assert covered / scored >= 0.96


def test_later_blocks_never_change_a_quote() -> None:
    """Garbling, truncating or adding blocks from `for_block` on leaves the quote as it was."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = Random(seed)
    for _ in range(200):
        history = chain(rng, blocks=120, start_fee=10**9)
        at = rng.randrange(1, 120)
        horizon = rng.choice([1, 3, 10])
        garbled = history[:at] + [
            BlockFees(number=b.number, base_fee_per_gas=rng.randrange(10**12), tips=(7,))
            for b in history[at:]
        ]

        whole = quote(history, at=at, horizon=horizon, base_fee=10**9)

        assert whole == quote(history[:at], at=at, horizon=horizon, base_fee=10**9)
        assert whole == quote(garbled, at=at, horizon=horizon, base_fee=10**9)


def test_gaps_in_history_are_never_bridged() -> None:
    """A rise across a gap in block numbers is no sample of a rise within the horizon."""
    history = [
        BlockFees(number=n if n < 100 else n + 50, base_fee_per_gas=10**9 if n < 100 else 2 * 10**9)
        for n in range(200)
    ]

    answer = quote(history, at=250, horizon=3, base_fee=2 * 10**9)

    assert 2 * 10**9 + 2 + 1 == answer.max_fee_per_gas


def test_zero_base_fee_still_gets_headroom() -> None:
    """A base fee of zero can rise by one wei a full block, and the cap allows for it."""
    history = [BlockFees(number=n, base_fee_per_gas=0) for n in range(200)]

    answer = quote(history, at=200, horizon=4, base_fee=0)

    assert 3 + 1 == answer.max_fee_per_gas


def test_thirtyfold_spike_keeps_the_cap_within_the_bound() -> None:
    """After a spike the cap follows the new fee, and the quantile stays below the hard bound."""
    fees = [10**9] * 150 + [30 * 10**9] * 10
    history = [BlockFees(number=n, base_fee_per_gas=fee) for n, fee in enumerate(fees)]

    answer = quote(history, at=160, horizon=3, base_fee=30 * 10**9)

    cap = answer.max_fee_per_gas - 1
    assert base_fee_upper_bound(30 * 10**9, gas_limit=LIMIT, blocks=2) == cap


def test_tip_floor_is_one_wei_without_any_evidence() -> None:
    """Empty blocks, unpaid ones and missing rewards give the smallest tip at no confidence."""
    history = [
        BlockFees(number=n, base_fee_per_gas=10, tips=((), (0, 0), (0, 1))[n % 3])
        for n in range(60)
    ]

    answer = quote(history, at=60, horizon=3, base_fee=10)

    assert 1 == answer.max_priority_fee_per_gas
    assert 0.0 == answer.confidence


def test_tip_ignores_unpaid_percentiles_and_rests_on_the_lowest_paid_ones() -> None:
    """A direct-pay percentile of zero does not hide what the block's other transactions paid."""
    history = [
        BlockFees(number=n, base_fee_per_gas=10, tips=(0, 1, 50 + n, 900)) for n in range(20)
    ]

    answer = quote(history, at=20, horizon=1, base_fee=10)

    assert 69 == answer.max_priority_fee_per_gas


@pytest.mark.parametrize(("horizon", "expected"), [(1, 119), (3, 112), (10, 105)])
def test_tip_succeeds_once_in_the_horizon_with_the_wished_probability(
    horizon: int, expected: int
) -> None:
    """With 1 - 0.05 ** (1 / h) a block, 95 in 100 horizons of independent blocks admit it."""
    history = [BlockFees(number=n, base_fee_per_gas=10, tips=(100 + n,)) for n in range(20)]

    answer = quote(history, at=20, horizon=horizon, base_fee=10)

    assert expected == answer.max_priority_fee_per_gas


def test_urgent_tips_are_never_below_patient_ones() -> None:
    """A shorter horizon never bids a lower tip on the same blocks."""
    rng = Random(3)
    for _ in range(200):
        history = chain(rng, blocks=rng.randrange(1, 60), start_fee=10**9)
        at = len(history)

        tips = [
            quote(history, at=at, horizon=h, base_fee=10**9).max_priority_fee_per_gas
            for h in (1, 3, 10)
        ]

        assert sorted(tips, reverse=True) == tips


def test_confidence_grows_with_the_evidence_up_to_the_wish() -> None:
    """One block supports a half, many support the configured probability and no more."""
    history = [BlockFees(number=n, base_fee_per_gas=10, tips=(5,)) for n in range(100)]

    one = quote(history[:1], at=1, horizon=1, base_fee=10).confidence
    many = quote(history, at=100, horizon=1, base_fee=10).confidence

    assert 0.5 == one
    assert CONFIG.tip_probability == many


def test_horizon_below_one_block_is_refused() -> None:
    """A quote for no block is a mistake of the caller, named as such."""
    with pytest.raises(ConfigError, match="horizon is 0 blocks"):
        quote([], at=1, horizon=0, base_fee=1)


@pytest.mark.parametrize(
    "change",
    [
        {"base_fee_quantile": 1.0},
        {"tip_probability": 0.0},
        {"base_fee_window": 0},
        {"tip_window": 0},
        {"min_samples": 0},
    ],
)
def test_config_names_the_field_it_refuses(change: dict[str, float]) -> None:
    """Each rule of the configuration has its own message."""
    (name,) = change

    with pytest.raises(ConfigError, match=name):
        EstimatorConfig(**change)  # type: ignore[arg-type]


def test_config_is_a_value() -> None:
    """A changed configuration is a new value that is checked again on decoding."""
    raw = msgspec.json.encode(CONFIG).replace(b"0.99", b"1.99")

    with pytest.raises(ValueError, match="base_fee_quantile"):
        msgspec.json.decode(raw, type=EstimatorConfig)
