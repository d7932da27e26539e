"""What a lane says of a request: how far it is, and why it does not go on."""

import msgspec
import pytest

from tests.tx.bench import ETHER, FRIEND, GWEI, LIMITS, ME, OWNER, STRANGER, Bench
from toolkit.model.errors import Recovery
from toolkit.model.tx import Exposure, TransactionRequest, Urgency
from toolkit.tx.events import Accepted, CancelAsked, LaneLimits, SigningFailed, Spender
from toolkit.tx.progress import Phase, phase, why_waiting, why_waits

GAS = 21_000
TAKEN = Spender(nonce=0, by=STRANGER, block_number=11)


def limits(**changed: int) -> LaneLimits:
    return msgspec.structs.replace(LIMITS, **changed)


def why(bench: Bench, name: str) -> str:
    return why_waits(bench.state.jobs[name], bench.state)


def reach(bench: Bench, name: str) -> Phase:
    return phase(bench.state.jobs[name], bench.state)


def give_up(bench: Bench, name: str) -> None:
    bench.do(CancelAsked(lane=ME, request_id=name))


def test_whoever_has_any_attempt_has_the_request() -> None:
    """A bump that nobody took does not make of a broadcast request a prepared one."""
    bench = Bench()
    bench.accept("a")
    nobody = reach(bench, "a")
    bench.answer("a")
    bench.replace("a", gwei=40)
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")

    assert 2 == bench.tries("a")
    assert (Phase.PREPARED, Phase.BROADCAST) == (nobody, reach(bench, "a"))


def test_what_waits_for_another_nonce_is_queued_though_it_has_attempts() -> None:
    """Its first nonce is a stranger's: it says until when it waits, and the lane says it too."""
    bench = Bench(limits(finality_blocks=4))
    bench.accept("a", requeue=True)
    bench.answer("a")
    bench.observe(11, nonce=1, spenders=(TAKEN,))

    assert Phase.QUEUED is reach(bench, "a")
    assert why(bench, "a").startswith("a waits until its nonce 0 is spent for good (4 blocks)")
    assert why(bench, "a") == why_waiting(bench.state)


def test_a_nonce_that_nobody_names_is_waited_for() -> None:
    """Until a node says what spent it, and at most as long as anything could be undone."""
    bench = Bench(limits(finality_blocks=9))
    bench.accept("a", requeue=True)
    bench.answer("a")
    for block in range(11, 16):
        bench.observe(block, nonce=1)

    assert "a waits until somebody says what spent its nonce 0 (9 blocks at most)" == why(
        bench, "a"
    )


def test_what_is_mined_waits_for_nothing() -> None:
    """Whatever was refused before: its block has come."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")
    waited = why(bench, "a")
    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))

    assert "nobody is known to have a (nonce 0): refused" == waited
    assert ("", "") == (why(bench, "a"), why_waiting(bench.state))


def test_what_is_spent_by_somebody_waits_only_for_the_chain_to_say_by_whom() -> None:
    """No bid is missing at a nonce that is gone, however low the last one was."""
    bench = Bench()
    bench.accept("a", max_fee_per_gas=20 * GWEI)
    bench.answer("a")
    bench.observe(12, gwei=90, base_gwei=80)
    waited = why(bench, "a")
    bench.observe(13, nonce=1, gwei=90, base_gwei=80)

    assert waited.startswith("fee ceiling reached")
    assert "" == why(bench, "a")


def test_a_lane_tells_of_what_comes_first() -> None:
    """Of what holds a nonce, then of the head of the queue, then of who waits for another one."""
    bench = Bench()
    bench.accept("a", after="z")
    parked = why_waiting(bench.state)
    bench.observe(11, balance_wei=0)
    bench.accept("b")
    queued = why_waiting(bench.state)
    bench.observe(12, balance_wei=ETHER)
    bench.answer("b", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")

    assert "a waits for z to be confirmed" == parked
    assert queued.startswith("insufficient funds: b may cost 0.00042")
    assert why_waiting(bench.state).startswith("nobody is known to have b (nonce 0)")


def test_a_halted_lane_says_only_that() -> None:
    """Of itself and of each of its requests."""
    bench = Bench()
    bench.accept("a")
    bench.state = msgspec.structs.replace(bench.state, halted="undone")

    assert ("halted: undone", "halted: undone") == (why(bench, "a"), why_waiting(bench.state))


def test_funds_that_are_gone_are_told_with_what_is_there() -> None:
    """Of what is out, of its next attempt, and of what has no nonce; each of its own money."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, balance_wei=GAS * 19 * GWEI)
    out = why(bench, "a")
    bench.observe(12, balance_wei=GAS * 21 * GWEI)
    bench.replace("a", gwei=40)
    bump = why(bench, "a")
    bench.observe(13, balance_wei=GAS * 42 * GWEI)

    assert out.startswith("insufficient funds: a (nonce 0) may cost 0.00042 ether")
    assert "insufficient funds: a may cost 0.00084 ether, 0.000441 of 0.000441 are free" == bump
    assert ("", 2) == (why(bench, "a"), bench.tries("a"))


def test_a_bump_counts_on_what_its_nonce_holds() -> None:
    """What is reserved for the attempt below it pays for most of it."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, balance_wei=GAS * 45 * GWEI)
    bench.step(bench.replaced("a", gwei=40))

    assert GAS * 25 * GWEI == bench.state.balance_wei - bench.state.reserved_wei()
    assert "" == why(bench, "a")


def test_what_costs_no_more_than_what_is_held_needs_no_spare_funds() -> None:
    """An empty transfer below the price of what it outbids, in an account that is overdrawn."""
    bench = Bench()
    bench.accept("a", gas=100_000)
    bench.answer("a")
    bench.accept("b", value=ETHER // 2)
    bench.answer("b")
    bench.state = msgspec.structs.replace(bench.state, balance_wei=ETHER // 4)
    bench.step(CancelAsked(lane=ME, request_id="a"))

    assert bench.state.reserved_wei() > bench.state.balance_wei
    assert "" == why(bench, "a")


def test_a_signer_that_refuses_a_bump_is_named() -> None:
    """And nothing is said of it once the bump is signed."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.step(bench.replaced("a", gwei=40))
    nothing_yet = why(bench, "a")
    bench.step(SigningFailed(lane=ME, request_id="a", message="policy forbids it"))

    assert "" == nothing_yet
    assert "its next attempt for a could not be signed: policy forbids it" == why(bench, "a")


@pytest.mark.parametrize("cancels", [False, True])
def test_the_ceiling_is_told_with_what_lifts_it(*, cancels: bool) -> None:
    """An author's own cap does not bind a cancellation, so it is not named there."""
    bench = Bench(limits(max_cost_wei=GAS * 21 * GWEI))
    bench.accept("a", max_fee_per_gas=20 * GWEI)
    bench.answer("a")
    if cancels:
        give_up(bench, "a")
    else:
        bench.observe(12, gwei=90)
    own = "" if cancels else f" and its own max_fee_per_gas {20 * GWEI}"
    what = "its cancellation" if cancels else "its next attempt"
    speed_up = "" if cancels else "speed_up with a higher max_fee_per_gas, or "
    again = "; until then what is out is sent again as it is" if cancels else ""

    assert why(bench, "a") == (
        f"fee ceiling reached: {what} for a would exceed max_cost_wei {GAS * 21 * GWEI}{own}; wait "
        f"for a cheaper market, or {speed_up}open the session again with a higher max_cost_wei "
        f"(--max-cost){again}"
    )


def test_a_first_attempt_above_the_ceiling_says_what_it_would_cost() -> None:
    """The market is too dear for it now."""
    bench = Bench(limits(max_cost_wei=GAS * 10 * GWEI))
    bench.accept("a")

    assert why(bench, "a").startswith(
        "fee ceiling reached: 21000 gas at 20 gwei for a would exceed max_cost_wei"
    )


def test_no_quote_is_told() -> None:
    """Of a request without a nonce and of a bump: an oracle that lost its node says nothing."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.replace("a", gwei=15)
    bench.observe(11, balance_wei=0)
    bench.accept("b")
    bench.state = msgspec.structs.replace(bench.state, quotes={}, balance_wei=ETHER)
    bench.do(bench.replaced("a", gwei=80))

    assert "no fee quote for its next attempt of a" == why(bench, "a")
    assert "no fee quote for b" == why(bench, "b")


def test_below_the_base_fee_says_so_also_where_it_is_not_the_turn_of_its_bump() -> None:
    """One that is behind in line is not bid up; what it lacks is told once nobody is before it."""
    bench = Bench(limits(max_cost_wei=GAS * 21 * GWEI, replace_after_blocks=9))
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, gwei=90, base_gwei=15)
    in_time = why(bench, "a")
    bench.observe(12, gwei=90, base_gwei=80)

    assert "" == in_time
    assert why(bench, "a").startswith("fee ceiling reached")


def test_a_bid_that_will_be_raised_in_time_is_not_told() -> None:
    """Below the base fee for a block only, and nothing forbids the next bid."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.observe(11, gwei=90, base_gwei=30)

    assert (1, "") == (bench.tries("a"), why(bench, "a"))


def test_a_bump_that_was_refused_for_good_leaves_the_attempt_below_it_waiting() -> None:
    """Only where that one cannot pay for the next block, and only while no other is owed."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a")
    bench.replace("a", gwei=40)
    bench.answer("a", Exposure.NONE, Recovery.FAIL, refusal="RejectedByNode")
    bench.observe(11, base_gwei=20)
    pays = why(bench, "a")
    bench.observe(12, base_gwei=21)
    stood_by = why(bench, "a")
    bench.step(bench.replaced("a", gwei=60))

    assert "" == pays
    assert stood_by.startswith("the last bid for a is refused for good; the one before it")
    assert "its 20 gwei are below the base fee of 21" in stood_by
    assert "" == why(bench, "a")


def test_an_attempt_that_somebody_has_is_not_told_as_untaken() -> None:
    """One destination of two is enough; an answer that was lost is not one."""
    bench = Bench()
    bench.accept("a", destinations=("public", "relay"))
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")
    one_left = why(bench, "a")
    bench.answer("a", Exposure.PRIVATE, destination="relay")
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="PoolFull")

    assert one_left.startswith("nobody is known to have a (nonce 0)")
    assert "" == why(bench, "a")


def test_what_is_queued_behind_a_refusal_says_whose() -> None:
    """The pool would refuse it too; a blob of the account elsewhere is named as the cause."""
    bench = Bench()
    bench.accept("a")
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="AlreadyReserved")
    bench.accept("b")

    said = (
        "a blob transaction of this account is pending elsewhere; a (nonce 0) is refused: refused"
    )
    assert (said, said) == (why(bench, "a"), why(bench, "b"))
    bench.answer("a", Exposure.NONE, Recovery.WAIT, refusal="InsufficientFunds")
    assert "a (nonce 0) is refused: refused" == why(bench, "b")


def test_a_refusal_without_words_is_told_by_its_kind() -> None:
    """As of a signer that failed on a second nonce, which has no place in line yet."""
    bench = Bench()
    bench.accept("a")
    bench.state.jobs["a"] = msgspec.structs.replace(
        bench.state.jobs["a"], tries=(), refusal="SignerError"
    )

    assert "a is refused: SignerError" == why(bench, "a")


def test_a_full_window_is_told_with_its_reason() -> None:
    """So many nonces at once, or one where the account runs code."""
    bench = Bench(limits(max_in_flight=1))
    bench.accept("a")
    bench.answer("a")
    bench.accept("b")
    full = why(bench, "b")
    bench.observe(11, delegated=True)

    assert "1 nonces are in flight, the window is 1" == full
    assert why(bench, "b").startswith("the account is delegated (EIP-7702)")


def test_a_bundle_that_holds_the_next_nonces_is_told_with_its_block() -> None:
    """What is public stands behind none."""
    bench = Bench()
    bench.lease("l", target_block=12)
    bench.accept("a")

    assert "a bundle holds the next nonces until block 12" == why(bench, "a")


def test_a_delegation_ahead_is_told() -> None:
    """Nothing follows an authorization of the account itself until it is mined."""
    bench = Bench()
    grant = OWNER.sign_authorization(chain_id=1, address=FRIEND, nonce=1)
    bench.accept("d", type=4, authorization_list=(grant,))
    bench.answer("d")
    bench.accept("x")

    assert why(bench, "x").startswith("d delegates the account at nonce 0")


def test_whoever_waits_for_its_turn_alone_says_nothing() -> None:
    """Funds and fees suffice: the queue moves by itself."""
    bench = Bench(limits(max_in_flight=2))
    bench.do(
        Accepted(
            lane=ME,
            request_id="a",
            request=TransactionRequest(to=FRIEND, gas=GAS),
            urgency=Urgency.SOON,
            deadline_block=None,
            destinations=("public",),
            quote=bench.state.quotes["SOON"],
            balance_wei=ETHER,
        )
    )
    job = msgspec.structs.replace(bench.state.jobs["a"], tries=(), request_id="b")

    assert "" == why_waits(job, bench.state)
