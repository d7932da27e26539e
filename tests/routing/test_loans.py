from tests.execution.swaps import TOKENS, swap
from toolkit.model.market import FundingKind, Loan, Route
from toolkit.routing.loans import loans_for, shortages

A, B, C = TOKENS[:3]


def reordered(*places: int) -> Route:
    route = swap([(A, 10), (B, 100), (C, 7), (A, 12)]).route
    return type(route)(
        token_in=A,
        token_out=A,
        amount_in=10,
        amount_out=12,
        hops=tuple(route.hops[place] for place in places),
        block_hash=route.block_hash,
        block_number=route.block_number,
    )


def test_an_order_that_executes_misses_nothing() -> None:
    """Every hop spends what the one before brought."""
    assert {} == shortages(reordered(0, 1, 2))


def test_what_is_missing_is_what_was_spent_ahead_at_the_worst() -> None:
    """Backwards both tokens on the way are short, and only until they come."""
    assert {B: 100, C: 7} == shortages(reordered(2, 1, 0))
    assert {C: 7} == shortages(reordered(2, 0, 1))
    assert {B: 200} == shortages(reordered(1, 1, 0))


def test_a_vault_lends_the_input_beside_what_is_missing() -> None:
    """Sorted by token; own capital is not borrowed, and nothing is where nothing is missing."""
    route = reordered(2, 0, 1)

    assert (Loan(token=C, amount=7),) == loans_for(route, {C: 7}, FundingKind.OWN)
    assert loans_for(route, {C: 7}, FundingKind.BALANCER) == tuple(
        sorted((Loan(token=A, amount=10), Loan(token=C, amount=7)), key=lambda loan: loan.token)
    )
    assert () == loans_for(route, {}, FundingKind.BALANCER)
