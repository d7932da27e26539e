"""A lane whose account delegates itself: one transaction, two nonces."""

import pytest

from tests.tx.bench import FRIEND, OWNER, Bench
from toolkit.chain.signer import LocalSigner
from toolkit.model.tx import Confirmed
from toolkit.tx.progress import why_waiting

OTHER = LocalSigner("0x" + "0b" * 32)


def test_nothing_follows_a_delegation_of_the_account_itself_until_it_is_mined() -> None:
    """Its authorization spends the next nonce; what stood there would be lost without a trace."""
    bench = Bench()
    grant = OWNER.sign_authorization(chain_id=1, address=FRIEND, nonce=1)
    bench.accept("d", type=4, authorization_list=(grant,))
    bench.answer("d")
    bench.accept("x", value=5)
    assert {"d": 0, "x": None} == bench.nonces()
    assert "d delegates the account at nonce 0" in why_waiting(bench.state)

    bench.observe(11, nonce=2, receipts=(bench.mined("d", 11),), delegated=True)

    assert 2 == bench.nonces()["x"]
    assert isinstance(bench.ends["d"], Confirmed)


def test_both_waiting_the_one_behind_still_waits() -> None:
    """Also where one head gives both of them room."""
    bench = Bench()
    for name in "abc":
        bench.accept(name)
    grant = OWNER.sign_authorization(chain_id=0, address=FRIEND, nonce=4)
    bench.accept("d", type=4, authorization_list=(grant,))
    bench.accept("x")

    bench.observe(11, nonce=3, receipts=tuple(bench.mined(name, 11) for name in "abc"))

    assert (3, None) == (bench.nonces()["d"], bench.nonces()["x"])


def test_a_delegation_does_not_take_the_nonce_of_what_is_out() -> None:
    """In a gap it waits until nothing stands at the nonce that it would spend as well."""
    bench = Bench()
    for name in "ab":
        bench.accept(name)
        bench.answer(name)
    grant = OWNER.sign_authorization(chain_id=1, address=FRIEND, nonce=1)
    bench.state.slots.pop(0)
    bench.state.jobs.pop("a")
    bench.accept("d", type=4, authorization_list=(grant,))

    assert {"b": 1, "d": None} == bench.nonces()


@pytest.mark.parametrize(
    ("signer", "chain_id", "nonce"), [(OTHER, 1, 1), (OWNER, 5, 1), (OWNER, 1, 0)]
)
def test_authorizations_that_do_not_count_here_hold_nobody_up(
    signer: LocalSigner, chain_id: int, nonce: int
) -> None:
    """Those of others, for another chain, or of a nonce that is spent by then."""
    bench = Bench()
    grant = signer.sign_authorization(chain_id=chain_id, address=FRIEND, nonce=nonce)
    bench.accept("d", type=4, authorization_list=(grant,))
    bench.accept("x")

    assert {"d": 0, "x": 1} == bench.nonces()
