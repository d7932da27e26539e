"""Accounts that delegate themselves, or each other: one transaction, several nonces."""

from collections.abc import Callable

import msgspec
import pytest

from tests.tx.bench import FRIEND, ME, OWNER, STRANGER, Bench
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import AlreadyReserved, ConfigError, Recovery
from toolkit.model.tx import Authorization, Confirmed, Exposure, TransactionRequest
from toolkit.tx.delegation import Delegations, Spending
from toolkit.tx.events import LaneOpened, Spender
from toolkit.tx.job import REFUSAL_PATIENCE
from toolkit.tx.lane import open_lane
from toolkit.tx.lane_state import LaneState
from toolkit.tx.progress import why_waiting, why_waits

OTHER, THIRD = LocalSigner("0x" + "0b" * 32), LocalSigner("0x" + "0c" * 32)
PLAIN = TransactionRequest(to=FRIEND, gas=21_000)


def grant_of(signer: LocalSigner = OWNER, *, nonce: int = 0, chain_id: int = 1) -> Authorization:
    return signer.sign_authorization(chain_id=chain_id, address=FRIEND, nonce=nonce)


def delegation(*grants: Authorization) -> TransactionRequest:
    return TransactionRequest(to=FRIEND, gas=100_000, type=4, authorization_list=grants)


class Accounts:
    """Three accounts of one session: `me` on the bench; `sender` has what it was given."""

    def __init__(self) -> None:
        self.me = Bench()
        self.states = {one.address: _idle(one.address) for one in (OTHER, THIRD)}
        self.apart = Delegations((ME, *self.states), chain_id=1, lane=self._lane)

    def _lane(self, account: Address) -> LaneState:
        return self.me.state if account == ME else self.states[account]

    def sends(self, name: str, request: TransactionRequest, *tries: TransactionRequest) -> None:
        """`OTHER`'s lane has a request with attempts of these payloads."""
        bench = Bench()
        bench.accept(name)
        job = bench.state.jobs[name]
        made = [
            msgspec.structs.replace(
                job.tries[0],
                signed=msgspec.structs.replace(
                    job.tries[0].signed,
                    unsigned=msgspec.structs.replace(
                        job.tries[0].signed.unsigned, authorization_list=one.authorization_list
                    ),
                ),
            )
            for one in tries
        ]
        job = msgspec.structs.replace(job, request=request, tries=tuple(made))
        self.change(jobs={name: job})

    def change(self, **changes: object) -> None:
        """Change `OTHER`'s lane."""
        self.states[OTHER.address] = msgspec.structs.replace(self.states[OTHER.address], **changes)


def _idle(account: Address) -> LaneState:
    opened = LaneOpened(
        lane=account, chain_id=1, limits=Bench().state.limits, anchor_block=0, anchor_hash=STRANGER
    )
    return msgspec.structs.replace(open_lane(opened), block=10)


def _parked(bench: Bench) -> None:
    bench.accept("w", after="z")


def _queued(bench: Bench) -> None:
    bench.observe(11, balance_wei=0)
    bench.accept("w")


def _leased(bench: Bench) -> None:
    bench.lease("l", target_block=12)


def _in_flight(bench: Bench) -> None:
    bench.accept("w")


def _waits_for_another(bench: Bench) -> None:
    bench.accept("w", requeue=True)
    bench.answer("w")
    bench.observe(11, nonce=1, spenders=(Spender(nonce=0, by=STRANGER, block_number=11),))


@pytest.mark.parametrize("busy", [_parked, _queued, _leased, _in_flight])
def test_nobody_delegates_an_account_with_anything_under_way(
    busy: Callable[[Bench], None],
) -> None:
    """Whatever will stand at a nonce, or holds one, would lose it to the authorization."""
    accounts = Accounts()
    idle = delegation(grant_of())
    accounts.apart.require_apart(OTHER.address, idle)
    busy(accounts.me)

    with pytest.raises(AlreadyReserved, match=r"spend its nonce 0 while 1 of its own are under"):
        accounts.apart.require_apart(OTHER.address, idle)


def test_nor_one_that_is_owed_another_nonce() -> None:
    """What lost its nonce to a stranger gets a new one later, and would lose that as well."""
    accounts = Accounts()
    _waits_for_another(accounts.me)
    ahead = delegation(grant_of(nonce=1))
    assert {} == accounts.me.state.slots

    with pytest.raises(AlreadyReserved, match=r"spend its nonce 1 while 1 of its own are under"):
        accounts.apart.require_apart(OTHER.address, ahead)


@pytest.mark.parametrize("chain_id", [0, 1])
def test_of_several_authorizations_of_an_account_the_highest_counts(chain_id: int) -> None:
    """In whatever order they come; one for every chain counts here as well."""
    accounts = Accounts()
    accounts.me.observe(11, nonce=3)
    accounts.me.accept("w")
    grants = grant_of(nonce=5, chain_id=chain_id), grant_of(nonce=1, chain_id=chain_id)

    with pytest.raises(AlreadyReserved, match="spend its nonce 5"):
        accounts.apart.require_apart(OTHER.address, delegation(*grants))


@pytest.mark.parametrize(
    "grant",
    [
        grant_of(chain_id=5, nonce=4),
        grant_of(nonce=2),
        grant_of(LocalSigner("0x" + "0e" * 32), nonce=4),
        Authorization(chain_id=1, address=FRIEND, nonce=4, y_parity=0, r=0, s=0),
    ],
    ids=["another chain", "a spent nonce", "a stranger", "nobody's signature"],
)
def test_what_spends_no_nonce_of_ours_is_sent(grant: Authorization) -> None:
    """The chain skips it, or it is about somebody else."""
    accounts = Accounts()
    accounts.me.observe(11, nonce=3)
    accounts.me.accept("w")

    accounts.apart.require_apart(OTHER.address, delegation(grant))
    accounts.apart.entered("d", OTHER.address, delegation(grant))
    accounts.apart.require_apart(ME, PLAIN)


def test_an_account_delegates_itself_whatever_it_has_under_way() -> None:
    """Its own lane keeps what follows behind the authorization."""
    accounts = Accounts()
    accounts.me.accept("w")
    own = delegation(grant_of(nonce=9))

    accounts.apart.require_apart(ME, own)
    accounts.apart.entered("d", ME, own)
    accounts.apart.require_apart(ME, PLAIN)


def test_a_delegated_account_sends_nothing_while_its_nonce_may_be_spent() -> None:
    """Until the delegation has ended, the chain has counted it, or its block was seen."""
    accounts = Accounts()
    accounts.sends("d", PLAIN)  # replaced by now: what was signed first may be out all the same
    accounts.apart.entered("d", OTHER.address, delegation(grant_of(nonce=0)))

    def refused() -> bool:
        try:
            accounts.apart.require_apart(ME, PLAIN)
        except AlreadyReserved as error:
            return f"d of {OTHER.address} delegates {ME} and may spend its nonce 0" in str(error)
        return False

    under_way = refused()
    accounts.change(landed={"d": 11})
    not_seen = refused()
    accounts.me.observe(11)
    seen = refused()
    accounts.change(landed={})
    undone = refused()
    accounts.me.observe(12, nonce=1)
    spent = refused()

    assert (True, True, False, True, False) == (under_way, not_seen, seen, undone, spent)
    accounts.apart.require_apart(THIRD.address, PLAIN)


def test_what_has_ended_is_forgotten() -> None:
    """A delegation that its lane knows no more holds nobody up, and costs no memory."""
    accounts = Accounts()
    accounts.apart.entered("p", OTHER.address, PLAIN)
    accounts.apart.entered("d", OTHER.address, delegation(grant_of()))
    kept = set(accounts.apart._under_way or ())
    accounts.apart.require_apart(ME, PLAIN)

    assert ({"d"}, {}) == (kept, accounts.apart._under_way)


def test_what_an_earlier_process_signed_counts_whatever_is_asked_for_by_now() -> None:
    """Every attempt may be out: the payload, what it replaced, and what took its place."""
    accounts = Accounts()
    first, second = delegation(grant_of()), delegation(grant_of(THIRD))
    accounts.sends("d", second, first, PLAIN)

    for account in (ME, THIRD.address):
        with pytest.raises(AlreadyReserved, match=f"delegates {account} and may spend its nonce 0"):
            accounts.apart.require_apart(account, PLAIN)


def test_bundles_delegate_nobody_else_and_wait_for_delegations() -> None:
    """Their nonces are held for one block; an authorization may come at any time."""
    accounts = Accounts()
    accounts.apart.require_bundle_apart(ME, [delegation(grant_of())])
    with pytest.raises(ConfigError, match=f"a bundle of {OTHER.address} cannot delegate {ME}"):
        accounts.apart.require_bundle_apart(OTHER.address, [PLAIN, delegation(grant_of())])

    accounts.sends("d", delegation(grant_of()))
    accounts.apart.entered("d", OTHER.address, delegation(grant_of()))
    with pytest.raises(AlreadyReserved, match="wait until d has ended"):
        accounts.apart.require_bundle_apart(ME, [PLAIN])


def test_what_live_bundles_may_spend_is_left_to_them() -> None:
    """Neither a request nor a bundle goes out at a nonce that somebody else's transaction has by
    an authorization, until that nonce is spent or the bundle has ended."""
    accounts = Accounts()
    held = {ME: [Spending(Hash("0xb"), Hash("0xc"), 3)]}
    accounts.apart.bundled = lambda account: held.get(account, [])
    refusal = pytest.raises(AlreadyReserved, match=f"bundle 0xb may spend nonce 3 of {ME} by 0xc")
    with refusal:
        accounts.apart.require_apart(ME, PLAIN)
    with refusal:
        accounts.apart.require_bundle_apart(ME, [PLAIN])
    accounts.apart.require_apart(OTHER.address, PLAIN)

    accounts.me.observe(11, nonce=4)
    accounts.apart.require_apart(ME, PLAIN)
    held[ME] = [Spending(Hash("0xb"), Hash("0xc"), 4)]
    with pytest.raises(AlreadyReserved):
        accounts.apart.require_apart(ME, PLAIN)
    held.clear()
    accounts.apart.require_apart(ME, PLAIN)


def test_what_an_account_has_under_way_is_counted() -> None:
    """Whatever may yet get the nonce or stand behind it; nothing where it is spent, and nothing
    of an account without a lane."""
    accounts = Accounts()
    accounts.me.accept("a")
    accounts.me.accept("w", after="z")

    assert 2 == accounts.apart.under_way(ME, 0)
    assert 2 == accounts.apart.under_way(ME, 9)
    assert 0 == accounts.apart.under_way(OTHER.address, 0)
    assert 0 == accounts.apart.under_way(FRIEND, 0)
    accounts.me.observe(11, nonce=1)
    assert (0, 2) == (accounts.apart.under_way(ME, 0), accounts.apart.under_way(ME, 1))


def test_no_replacement_delegates_an_account_of_the_session() -> None:
    """Neither its own nor another one; the accounts of others are their own affair."""
    accounts = Accounts()
    stranger = LocalSigner("0x" + "0e" * 32)
    accounts.apart.require_replaceable("d", delegation(grant_of(stranger)))
    accounts.apart.require_replaceable("d", PLAIN)

    for signer, chain_id in ((OWNER, 1), (OTHER, 1), (OWNER, 5)):
        grant = grant_of(signer, chain_id=chain_id)
        with pytest.raises(ConfigError, match=f"cannot delegate {signer.address}, .+ cancel d and"):
            accounts.apart.require_replaceable("d", delegation(grant))


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


def test_a_delegation_that_was_replaced_may_still_be_mined() -> None:
    """Nothing follows it either: its attempt is out, whatever was sent over it."""
    bench = Bench()
    bench.accept("d", type=4, authorization_list=(grant_of(nonce=1),))
    bench.answer("d")
    bench.replace("d", PLAIN, gwei=40)
    bench.answer("d")
    bench.accept("x")

    assert (2, {"d": 0, "x": None}) == (bench.tries("d"), bench.nonces())


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


@pytest.mark.parametrize(("chain_id", "nonce"), [(1, 1), (1, 0), (1, 9), (5, 1)])
def test_a_delegation_of_the_account_itself_goes_alone(chain_id: int, nonce: int) -> None:
    """Whatever nonce or chain it names: pools would not take it back below several others."""
    bench = Bench()
    grant = grant_of(nonce=nonce, chain_id=chain_id)
    bench.accept("a")
    bench.accept("d", type=4, authorization_list=(grant,))
    bench.accept("x")
    waits = {"a": 0, "d": None, "x": None} == bench.nonces()
    assert "d delegates its own account: it goes alone" in why_waits(
        bench.state.jobs["d"], bench.state
    )

    bench.observe(11, nonce=1, receipts=(bench.mined("a", 11),))
    assert (True, 1, None) == (waits, bench.nonces()["d"], bench.nonces()["x"])
    bench.observe(12, nonce=2, receipts=(bench.mined("d", 12),))
    assert 2 == bench.nonces()["x"]


def test_a_delegation_of_others_holds_nobody_up() -> None:
    """Their nonces are their own affair."""
    bench = Bench()
    bench.accept("d", type=4, authorization_list=(grant_of(OTHER, nonce=1),))
    bench.accept("x")

    assert {"d": 0, "x": 1} == bench.nonces()


def test_a_delegation_that_a_reorg_put_below_others_gives_way() -> None:
    """Pools never take it back beside them, and they wait for its nonce: that goes to nothing."""
    bench = Bench()
    bench.accept("d", type=4, authorization_list=(grant_of(nonce=9),))
    bench.answer("d")
    bench.observe(11, nonce=1, receipts=(bench.mined("d", 11),))
    for name in "xy":
        bench.accept(name)
        bench.answer(name)
    bench.observe(12, nonce=0, reorged=True)
    assert {"d": 0, "x": 1, "y": 2} == bench.nonces()

    for block in range(REFUSAL_PATIENCE):
        assert not bench.cancelling("d")
        bench.answer("d", Exposure.NONE, Recovery.WAIT, refusal="AlreadyReserved")
        bench.observe(13 + block)

    assert bench.cancelling("d")
    assert bench.bid("d").authorization_list == ()


def test_a_delegation_that_is_refused_with_nothing_behind_it_waits() -> None:
    """What keeps it out may go away: a blob transaction, or a stranger's beside it."""
    bench = Bench()
    bench.accept("d", type=4, authorization_list=(grant_of(nonce=9),))
    for _ in range(2 * REFUSAL_PATIENCE):
        bench.answer("d", Exposure.NONE, Recovery.WAIT, refusal="AlreadyReserved")

    assert not bench.cancelling("d")
