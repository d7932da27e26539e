import random
import secrets
from typing import Any

import pytest

from toolkit.bundles.draft import BundleDraft, fee_for, priced_requests, rehearse
from toolkit.chain.signer import LocalSigner
from toolkit.evm.simulator import CallResult
from toolkit.gas.rules import next_base_fee
from toolkit.model.bundle import GuardKind
from toolkit.model.chain import ZERO_HASH, Address, Head
from toolkit.model.errors import ConfigError
from toolkit.model.tx import FeeQuote, TransactionRequest, UnsignedTransaction

OTHER = Address("0x" + "22" * 20)
SIGNER = LocalSigner("0x" + "4c" * 32)
EMPTY = BundleDraft(chain_id=1)


def raw(chain_id: int = 1) -> str:
    """A signed transfer."""
    return SIGNER.sign_transaction_now(
        UnsignedTransaction(
            type=2, chain_id=chain_id, nonce=0, to=OTHER, value=1, data="0x", gas=21_000
        )
    ).raw


def test_a_draft_keeps_the_order_and_the_original() -> None:
    """Adding gives a new draft; sealing puts the signed calls where they were asked for."""
    first, second = TransactionRequest(value=1), TransactionRequest(value=2)
    draft = EMPTY.call(first).include(raw()).call(second, guards=[GuardKind.BLOCK])
    ours = [
        SIGNER.sign_transaction_now(
            UnsignedTransaction(
                type=2, chain_id=1, nonce=n, to=OTHER, value=n, data="0x", gas=21_000
            )
        )
        for n in (5, 6)
    ]
    bundle = draft.sealed(ours, target_block=9)

    assert () == EMPTY.items
    assert (first, second) == draft.own
    assert (ours[0].raw, raw(), ours[1].raw) == bundle.transactions
    assert (9, (GuardKind.BLOCK,)) == (bundle.target_block, bundle.guards)


def test_a_drafts_repr_discloses_nothing() -> None:
    """Neither a private transaction nor private calldata is ever printed."""
    draft = EMPTY.include(raw()).call(TransactionRequest(data="0xdeadbeef"))

    assert "BundleDraft(2 transactions, 1 of them own)" == repr(draft)


class Stage:
    """A simulator on which everything succeeds."""

    async def simulate(self, transactions: Any, **_: Any) -> Any:
        return [CallResult(succeeded=True, gas_used=21_000, output="0x") for _ in transactions]


async def test_nothing_of_ours_stands_behind_a_delegation_of_ourselves() -> None:
    """The authorization takes the nonce that the next call would be signed for; another account's
    takes none of ours."""
    head = Head(
        number=1,
        hash=ZERO_HASH,
        parent_hash=ZERO_HASH,
        timestamp=1,
        base_fee_per_gas=1,
        gas_limit=30_000_000,
        gas_used=0,
    )

    async def rehearsed(*own: TransactionRequest) -> tuple[int, ...]:
        draft = EMPTY
        for request in own:
            draft = draft.call(request)
        return await rehearse(draft, Stage(), sender=SIGNER.address, nonce=4, head=head)

    plain = TransactionRequest(to=OTHER)
    own, foreign = (
        TransactionRequest(
            to=OTHER,
            type=4,
            authorization_list=(key.sign_authorization(chain_id=1, address=OTHER, nonce=5),),
        )
        for key in (SIGNER, LocalSigner("0x" + "4d" * 32))
    )

    with pytest.raises(ConfigError, match="make it the last own call"):
        await rehearsed(own, plain)
    assert (21_000, 21_000) == await rehearsed(plain, own)
    assert (21_000, 21_000) == await rehearsed(foreign, plain)


@pytest.mark.parametrize(("calls", "indivisible"), [(0, True), (1, True), (2, False)])
def test_a_part_of_several_own_calls_could_be_mined_alone(calls: int, *, indivisible: bool) -> None:
    """Only a draft with at most one own call needs no guard."""
    draft = EMPTY.include(raw())
    for _ in range(calls):
        draft = draft.call(TransactionRequest(to=OTHER))

    assert indivisible is draft.is_indivisible


def test_what_does_not_belong_is_refused() -> None:
    """Other chains, other things, and two senders are a ConfigError."""
    with pytest.raises(ConfigError, match="for chain 5, not for chain 1"):
        EMPTY.include(raw(chain_id=5))
    with pytest.raises(ConfigError, match="wrong number of fields"):
        EMPTY.include("0x02c0")
    with pytest.raises(ConfigError, match="raw transaction is a NoneType"):
        EMPTY.include(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not dict"):
        EMPTY.call({"to": OTHER})  # type: ignore[arg-type]
    mixed = EMPTY.call(TransactionRequest(sender=OTHER)).call(
        TransactionRequest(sender=SIGNER.address)
    )
    with pytest.raises(ConfigError, match="2 senders"):
        assert mixed.sender is None


def test_gas_is_what_the_rehearsal_used_and_a_fifth() -> None:
    """A stated limit is kept, an open one filled with a margin."""
    draft = EMPTY.call(TransactionRequest(gas=77)).call(TransactionRequest())

    requests = priced_requests(draft, (50, 100_000), sender=SIGNER.address)

    assert [77, 120_000] == [request.gas for request in requests]
    assert {SIGNER.address} == {request.sender for request in requests}


def test_fees_cover_the_steepest_rise_and_pay_the_tip() -> None:
    """For 300 random blocks, the cap holds through full blocks and the tip is never underpaid."""
    seed = secrets.randbits(64)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(300):
        base, blocks = rng.randint(1, 10**12), rng.randint(1, 8)
        tip_wei, gas_used = rng.randint(0, 10**18), rng.randint(21_000, 10**7)
        quote = FeeQuote(
            max_fee_per_gas=0, max_priority_fee_per_gas=0, base_fee_per_gas=base, for_block=1
        )
        fee = fee_for(quote, tip_wei=tip_wei, gas_used=gas_used, blocks=blocks)
        for _ in range(blocks - 1):
            full = Head(
                number=1,
                hash=ZERO_HASH,
                parent_hash=ZERO_HASH,
                timestamp=0,
                base_fee_per_gas=base,
                gas_limit=30_000_000,
                gas_used=30_000_000,
            )
            base = next_base_fee(full)

        paid = min(fee.max_priority_fee_per_gas, fee.max_fee_per_gas - base)
        assert tip_wei <= paid * gas_used < tip_wei + gas_used, seed


@pytest.mark.parametrize(
    ("blocks", "tip_wei", "gas_used"),
    [
        (0, 0, 1),
        (1.5, 0, 1),
        (10**6, 0, 1),
        (1, -1, 1),
        (1, 1.5, 1),
        (1, 5, 0),
    ],
)
def test_fees_that_make_no_sense_are_refused(blocks: Any, tip_wei: Any, gas_used: int) -> None:
    """No block or too many, a tip that is no amount, and one that nothing of ours could pay."""
    quote = FeeQuote(max_fee_per_gas=1, max_priority_fee_per_gas=1, base_fee_per_gas=1, for_block=1)

    with pytest.raises(ConfigError):
        fee_for(quote, tip_wei=tip_wei, gas_used=gas_used, blocks=blocks)
