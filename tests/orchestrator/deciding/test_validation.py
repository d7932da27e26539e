"""What an agent hands over, looked at field by field."""

import random

import msgspec
import pytest

from tests.orchestrator.worlds import fresh_seeds
from toolkit.model.chain import Address, Hash
from toolkit.model.decision import Intent, Leg
from toolkit.model.market import Hop, PoolKind, Route
from toolkit.orchestrator.deciding.validation import MAX_RECORD_BYTES, is_plain

TOKEN = Address("0x" + "ab" * 20)
ODD: tuple[object, ...] = (
    "",
    "x" * 40,
    "x" * 9_000,
    "ü",
    "\ud800",
    "\x00",
    0,
    -1,
    2**63,
    10**5000,
    1.0,
    True,
    None,
    b"a",
    PoolKind.CONCENTRATED,
)


def wish() -> Intent:
    hop = Hop(
        pool=TOKEN,
        kind=PoolKind.CONSTANT_PRODUCT,
        token_in=TOKEN,
        token_out=TOKEN,
        amount_in=2**200,
        amount_out=2**200,
        fee_ppm=3000,
    )
    route = Route(
        token_in=TOKEN,
        token_out=TOKEN,
        amount_in=2**200,
        amount_out=2**200,
        hops=(hop, hop),
        block_hash=Hash("0x" + "cd" * 32),
        block_number=7,
    )
    leg = Leg(token_in=TOKEN, token_out=TOKEN, amount_in=2**200, route=route)
    return Intent(agent="a", legs=(leg,), edge_wei=1, inputs=("price",), reason="why")


def changed(intent: Intent, rng: random.Random) -> Intent:
    """One field that no other check looks at, replaced by something odd."""
    (leg,) = intent.legs
    assert leg.route is not None
    route, odd = leg.route, rng.choice(ODD)
    kind = rng.randrange(3)
    if kind == 0:
        name = rng.choice(["pool", "kind", "token_in", "token_out", "fee_ppm"])
        hop = msgspec.structs.replace(route.hops[0], **{name: odd})
        route = msgspec.structs.replace(route, hops=(hop, *route.hops[1:]))
    elif kind == 1:
        name = rng.choice(["token_in", "token_out", "block_hash", "block_number", "amount_in"])
        if name == "amount_in":  # it is its leg's, which is an integer
            odd = rng.choice([2.0**200, 2**200])
        route = msgspec.structs.replace(route, **{name: odd})
    else:
        text = odd if type(odd) is str else "x"
        return msgspec.structs.replace(intent, inputs=(text,), reason=text)
    return msgspec.structs.replace(intent, legs=(msgspec.structs.replace(leg, route=route),))


def survives(intent: Intent) -> bool:
    """Whether it is the same after its way through the journal."""
    record = msgspec.json.encode(intent)
    same: bool = msgspec.json.decode(record, type=Intent) == intent
    return same and len(record) <= MAX_RECORD_BYTES


def test_a_usual_intent_is_plain() -> None:
    """What the shipped agents make needs not be written and read to be believed."""
    assert is_plain(wish())


@pytest.mark.parametrize("seed", [1, *fresh_seeds(3)], ids=lambda _: "seed")
def test_what_is_plain_survives_the_journal(seed: int) -> None:
    """Whatever stands in a field that no other check looks at."""
    rng = random.Random(seed)
    for _ in range(300):
        intent = wish()
        for _ in range(rng.randrange(1, 3)):
            intent = changed(intent, rng)

        assert not is_plain(intent) or survives(intent), seed


def test_the_largest_that_is_plain_fits_the_journal() -> None:
    """All the text there may be, escaped, in as many hops as there may be."""
    intent = wish()
    (leg,) = intent.legs
    assert leg.route is not None
    hop = msgspec.structs.replace(
        leg.route.hops[0],
        pool=Address(""),
        token_in=Address(""),
        token_out=Address(""),
        amount_in=2**255,
        amount_out=2**255,
        fee_ppm=2**62,
    )
    route = msgspec.structs.replace(leg.route, hops=(hop,) * 8, block_number=2**62)
    legs = (msgspec.structs.replace(leg, route=route),) * 8
    text = "\x00" * (4_096 - 8 * (2 * 42 + 66) - 500)
    largest = msgspec.structs.replace(intent, legs=legs, inputs=(text,), reason="\x00" * 500)

    assert is_plain(largest)
    assert survives(largest)
