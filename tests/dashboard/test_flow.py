"""A route's picture shows its tokens, pools and amounts, and nothing else."""

import re
from xml.etree import ElementTree as ET

import pytest
from msgspec import structs

from toolkit.dashboard.flow import MOST_APART, route_picture
from toolkit.model.chain import Address, Hash
from toolkit.model.market import Hop, PoolKind, Route, Token

A, B, C = (Address("0x" + digit * 40) for digit in "abc")
TOKENS = {
    A: Token(address=A, symbol="WETH", decimals=18),
    B: Token(address=B, symbol="USDC", decimals=6),
}


def hop(token_in: Address, token_out: Address, amounts: tuple[int, int], *, pool: int = 1) -> Hop:
    return Hop(
        pool=Address(f"0x{pool:040x}"),
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=token_in,
        token_out=token_out,
        amount_in=amounts[0],
        amount_out=amounts[1],
        fee_ppm=500,
    )


def route(*hops: Hop) -> Route:
    start, end = hops[0].token_in, hops[-1].token_out
    return Route(
        token_in=start,
        token_out=end,
        amount_in=sum(one.amount_in for one in hops if one.token_in == start),
        amount_out=sum(one.amount_out for one in hops if one.token_out == end),
        hops=hops,
        block_hash=Hash("0x" + "11" * 32),
        block_number=1,
    )


def words(picture: str) -> list[str]:
    """The texts of a picture, which is well-formed XML."""
    return [node.text or "" for node in ET.fromstring(picture).iter() if node.text]


def test_a_split_shows_every_pool_and_amount_in_the_tokens_own_units() -> None:
    """Two pools side by side: both amounts, the fee, and the whole at both ends."""
    shown = words(
        route_picture(
            route(
                hop(A, B, (10**18, 3000 * 10**6)),
                hop(A, B, (5 * 10**17, 1500 * 10**6 + 25), pool=2),
            ),
            TOKENS,
        )
    )

    assert "1 WETH to 3000 USDC" in shown
    assert "0.5 WETH to 1500.00 USDC" not in shown
    assert "0.5 WETH to 1500 USDC" in shown
    assert ["1.5 WETH", "4500 USDC"] == [word for word in shown if re.fullmatch(r"\S+ \w+", word)]
    assert "0x0000…0002  0.05 %" in shown


def test_a_cycle_has_its_token_at_both_ends() -> None:
    """What goes in stands left, what comes out stands right."""
    shown = words(
        route_picture(route(hop(A, B, (10**18, 10**9)), hop(B, A, (10**9, 11 * 10**17))), TOKENS)
    )

    assert 2 == shown.count("WETH")
    assert ["1 WETH", "1.1 WETH"] == [word for word in shown if re.fullmatch(r"[\d.]+ WETH", word)]


def test_what_goes_back_is_dashed_and_what_goes_on_is_not() -> None:
    """Only the swap that returns to a token further left is a dashed line."""
    onward = route_picture(route(hop(A, B, (9, 9)), hop(B, C, (9, 9)), hop(C, A, (9, 9))), TOKENS)
    back = route_picture(
        route(hop(A, B, (9, 9)), hop(B, C, (9, 9)), hop(C, B, (9, 9)), hop(B, A, (9, 9))), TOKENS
    )

    assert [0, 1] == [picture.count("dasharray") for picture in (onward, back)]


def test_many_hops_between_two_tokens_are_one_line() -> None:
    """Beyond what can be told apart, pools of a pair are counted and their amounts summed."""
    many = [hop(A, B, (10**18, 10**6), pool=at) for at in range(MOST_APART + 1)]
    shown = words(route_picture(route(*many), TOKENS))

    assert f"{MOST_APART + 1} pools" in shown
    assert f"{MOST_APART + 1} WETH to {MOST_APART + 1} USDC" in shown


def test_small_amounts_keep_their_digits() -> None:
    """A thousandth of a millionth is not written as nothing."""
    shown = words(route_picture(route(hop(A, B, (1234567, 3))), TOKENS))

    assert "0.000000000001234 WETH to 0.000003 USDC" in shown


@pytest.mark.parametrize("alone", [True, False])
def test_texts_of_others_are_inert_and_nothing_is_fetched(*, alone: bool) -> None:
    """A token's symbol is anybody's: no markup of it survives; only a file names the format."""
    evil = structs.replace(TOKENS[B], symbol='</svg><script>x("' + "z" * 99)
    picture = route_picture(route(hop(A, B, (5, 5))), TOKENS | {B: evil}, alone=alone)

    assert "<script" not in picture
    assert alone == ("http://www.w3.org/2000/svg" in picture)
    assert 3 > picture.count("http")
    ET.fromstring(picture)


def test_an_unknown_token_is_its_address() -> None:
    """Without symbol or decimals the address and smallest units stand for themselves."""
    shown = words(route_picture(route(hop(A, C, (10**18, 777))), TOKENS))

    assert "1 WETH to 777 0xcccc…cccc" in shown
