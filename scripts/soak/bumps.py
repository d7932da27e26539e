"""The bump law: what the lane bids for a held nonce is taken by geth, reth and a strict pool.

A case draws an attempt, a market, a type and what is wanted (the same again, another payload,
nothing), lets `toolkit.tx.fees` bid, and offers both to a pool of each profile.
"""

import random

import msgspec

from scripts.bench.figures import Figure
from scripts.soak.record import Part, Progress, Run
from scripts.soak.workers import Batch, in_batches
from toolkit.devnet.mempool import AccountState, ChainState, Mempool, PooledTransaction, PoolRefusal
from toolkit.devnet.pool_rules import GETH, RETH, STRICT, PoolRules
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import (
    DYNAMIC_FEE_TYPES,
    FeeQuote,
    TransactionRequest,
    UnsignedTransaction,
    bumped,
)
from toolkit.testing.coverage import Counts
from toolkit.tx import fees

SIZE = 100_000
BATCH = 5_000
SENDER, FRIEND = Address("0x" + "0a" * 20), Address("0x" + "f1" * 20)
DELEGATE = Address("0x" + "de" * 20)
ETHER = 10**18
RICH = AccountState(nonce=0, balance_wei=10**30)
OWN_CAPS = 0.3
"""How often the request has a fee cap of its own."""
WANTS = ("again", "other", "cancel")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that a pool holds, and everything that the next one depends on."""

    old: UnsignedTransaction
    quote: FeeQuote
    want: str
    max_cost_wei: int
    own_cap: int | None


def draw(seed: int) -> Case:
    """Draw one case: fees from single wei to thousands of gwei, ceilings near and far."""
    rng = random.Random(seed)  # noqa: S311 - a case, no secret
    kind = rng.choice((0, 1, 2, 2, 4))
    cap = _fee(rng)
    tip = rng.randint(1, cap)
    gas = rng.choice((21_000, 60_000, 1_000_000, 16_000_000))
    # The pool's own rpc refuses what may cost more than an ether; the attempt was taken once.
    gas = min(gas, max(21_000, ETHER // cap))
    old = UnsignedTransaction(
        type=kind,
        chain_id=1,
        nonce=0,
        to=FRIEND,
        value=1,
        data="0x",
        gas=max(gas, 60_000 if kind == fees.SET_CODE_TYPE else 21_000),
        max_fee_per_gas=cap if kind in DYNAMIC_FEE_TYPES else 0,
        max_priority_fee_per_gas=tip if kind in DYNAMIC_FEE_TYPES else 0,
        gas_price=0 if kind in DYNAMIC_FEE_TYPES else cap,
    )
    market = max(1, cap * rng.choice((50, 90, 100, 110, 111, 150, 900)) // 100)
    quote = FeeQuote(
        max_fee_per_gas=market,
        max_priority_fee_per_gas=rng.randint(0, market),
        base_fee_per_gas=rng.randint(0, market),
        for_block=1,
    )
    ceiling = old.gas * cap * rng.choice((100, 109, 110, 111, 130, 500, 10_000)) // 100
    own_cap = None
    if rng.random() < OWN_CAPS:
        own_cap = cap * rng.choice((100, 110, 112, 300)) // 100
    return Case(
        old=old,
        quote=quote,
        want=rng.choice(WANTS),
        max_cost_wei=min(ceiling, ETHER),
        own_cap=own_cap,
    )


def bid(case: Case) -> UnsignedTransaction | None:
    """What the lane would sign next."""
    if case.want == "cancel":
        return fees.cancellation(
            case.old, case.quote, sender=SENDER, max_cost_wei=case.max_cost_wei
        )
    if case.want == "other":
        request = TransactionRequest(
            to=FRIEND,
            value=2,
            gas=case.old.gas,
            type=case.old.type,
            max_fee_per_gas=case.own_cap,
        )
        return fees.revision(case.old, request, case.quote, max_cost_wei=case.max_cost_wei)
    return fees.replacement(
        case.old, case.quote, max_cost_wei=case.max_cost_wei, own_cap=case.own_cap
    )


def judge(case: Case) -> tuple[str, ...]:
    """What is wrong with the bid of a case: nothing, or a line for each fault."""
    new = bid(case)
    gas = fees.CANCEL_GAS if case.want == "cancel" else case.old.gas
    ceiling = case.max_cost_wei // gas
    if case.own_cap is not None and case.want != "cancel":
        ceiling = min(ceiling, case.own_cap)
    least = bumped(case.old.fee_cap)
    if new is None:
        return () if least > ceiling else (f"{least} is below the ceiling {ceiling}, no bid",)
    wrong = []
    if new.gas * new.fee_cap > case.max_cost_wei or new.fee_cap > ceiling:
        wrong.append(f"bids {new.fee_cap} above the ceiling {ceiling}")
    if new.fee_cap > max(least, case.quote.max_fee_per_gas, case.own_cap or 0):
        wrong.append(f"bids {new.fee_cap}, {least} is enough and the market asks for less")
    return tuple(wrong + [_offer(rules, case.old, new) for rules in (GETH, RETH, STRICT)])


def faults(case: Case) -> tuple[str, ...]:
    """The faults of a case's bid."""
    return tuple(line for line in judge(case) if line)


def check(batch: Batch) -> tuple[Counts, tuple[str, ...]]:
    """Judge a batch of cases."""
    first, count = batch
    failures: list[str] = []
    bids = 0
    for seed in range(first, first + count):
        case = draw(seed)
        failures += [f"seed {seed} ({case.want}, type {case.old.type}): {w}" for w in faults(case)]
        bids += bid(case) is not None
    return {"bids": bids}, tuple(failures)


def work(progress: Progress) -> None:
    """Judge cases on every core."""
    for cases, (counts, failures) in in_batches(progress, check, batch=BATCH):
        progress.add({name: n for name, n in counts.items() if not isinstance(n, dict)})
        progress.advance(cases, failures=failures)


def figures(run: Run) -> tuple[Figure, ...]:
    """How many cases had room for a bid at all."""
    bids = run.counts.get("bids", 0)
    assert not isinstance(bids, dict)
    return (Figure(name="bids offered to each of three pools", unit="", ours=float(bids)),)


def _fee(rng: random.Random) -> int:
    # From 7 wei: reth takes nothing below what the protocol's base fee can be.
    digits = rng.choice((10, 20, 10**3, 10**8, 10**9, 10**10, 10**12, 10**13))
    return rng.randint(7, digits)


def _offer(rules: PoolRules, old: UnsignedTransaction, new: UnsignedTransaction) -> str:
    chain = ChainState(number=1, base_fee_wei=7, blob_base_fee_wei=1, gas_limit=60_000_000)
    pool = Mempool(rules, chain)
    try:
        pool.add(_pooled(old, "01"), RICH)
    except PoolRefusal as refused:
        return f"{rules.name} does not even take the first attempt: {refused}"
    try:
        added = pool.add(_pooled(new, "02"), RICH)
    except PoolRefusal as refused:
        return f"{rules.name}: {refused} (cap {old.fee_cap} -> {new.fee_cap})"
    return "" if added.replaced else f"{rules.name} keeps both"


def _pooled(tx: UnsignedTransaction, name: str) -> PooledTransaction:
    dynamic = tx.type in DYNAMIC_FEE_TYPES
    delegates = tx.type == fees.SET_CODE_TYPE
    return PooledTransaction(
        hash=Hash("0x" + name * 32),
        sender=SENDER,
        nonce=tx.nonce,
        type=tx.type,
        gas=tx.gas,
        fee_cap=tx.fee_cap,
        tip_cap=tx.max_priority_fee_per_gas if dynamic else tx.gas_price,
        to=tx.to,
        value=tx.value,
        size=120,
        data=tx.data,
        authorizations=1 if delegates else 0,
        authorities=(DELEGATE,) if delegates else (),
    )


PART = Part(
    size=SIZE,
    cases="cases",
    work=work,
    figures=figures,
    not_covered=("blob transactions, which the lane refuses", "pools that are full"),
)
