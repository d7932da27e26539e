"""Requests that spend more than one nonce: a delegation (EIP-7702) spends one of its account's too.

The chain counts an authorization that it takes like a transaction of the account that signed it, so
what stands at that nonce is passed over without anybody having spent it.
"""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from toolkit.chain.signer import authorities, authority_of
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import AlreadyReserved, ConfigError
from toolkit.model.tx import TransactionRequest, UnsignedTransaction
from toolkit.tx.job import Job
from toolkit.tx.lane_state import LaneState


def delegates_itself(unsigned: UnsignedTransaction, lane: Address) -> bool:
    """Whether a transaction of `lane` has an authorization by that very account.

    It may spend the nonces behind it. Pools take it beside at most one other transaction of the
    account, whatever nonce or chain the authorization names (geth `validateAuth`, reth
    `validate_auth`), so it goes alone: dropped below several others it would never get in again.
    """
    return bool(unsigned.authorization_list) and lane in authorities(unsigned)


def delegating(state: LaneState) -> Job | None:
    """The request under way of which some attempt delegates the account itself."""
    held = (state.jobs[name] for name in state.slots.values())
    return next((job for job in held if _delegates(job, state.lane)), None)


def _delegates(job: Job, lane: Address) -> bool:
    return any(delegates_itself(one.signed.unsigned, lane) for one in job.tries)


class Spending(NamedTuple):
    """A nonce of an account of ours that a live bundle may spend by what its lane has not signed.

    By an authorization in somebody's transaction, or by one that the account's key signed
    elsewhere.
    """

    bundle_hash: Hash
    tx_hash: Hash
    nonce: int


class Delegations:
    """Keeps an account's own requests apart from authorizations of it that others send.

    Which of the two is mined first nobody knows, and the authorization would take the nonce of
    what stands there. So while one is under way the other is refused. Others are the other lanes,
    and whoever signed what live bundles include: `bundled` tells that, of this process and of an
    earlier one.
    """

    def __init__(
        self,
        accounts: Collection[Address],
        *,
        chain_id: int,
        lane: Callable[[Address], LaneState],
    ) -> None:
        self._accounts = frozenset(accounts)
        self._chain_id = chain_id
        self._lane = lane
        self.bundled: Callable[[Address], Iterable[Spending]] = lambda _: ()
        # By request: who sends it, and the nonces of which other accounts it may spend.
        self._under_way: dict[str, tuple[Address, dict[Address, int]]] | None = None

    def require_apart(self, sender: Address, request: TransactionRequest) -> None:
        """Check that a new request spends no nonce of another lane, nor that one of its own.

        Raises:
            AlreadyReserved: it delegates an account of ours that has something under way, or its
                sender is being delegated by another lane.
        """
        for account, nonce in self._others(sender, request).items():
            if busy := self.under_way(account, nonce):
                raise AlreadyReserved(
                    f"an authorization by {account} would spend its nonce {nonce} while {busy} of "
                    f"its own are under way: send it from {account}, or once those have ended"
                )
        self._require_undelegated(sender)

    def under_way(self, account: Address, nonce: int) -> int:
        """How much of its own an account has under way that this nonce could be meant for.

        None for an account without a lane here, and where the nonce is spent.
        """
        if account not in self._accounts:
            return 0
        state = self._lane(account)
        if nonce < state.nonce:
            return 0
        landed = (state.jobs[name] for name in state.landed)
        again = sum(job.requeues or job.undecided for job in landed)  # they will want a nonce
        return len(state.slots) + len(state.queue) + len(state.parked) + len(state.leases) + again

    def require_bundle_apart(
        self, sender: Address, requests: Collection[TransactionRequest]
    ) -> None:
        """As `require_apart`, for a bundle, which may delegate no other account of ours at all.

        Raises:
            AlreadyReserved, ConfigError: as said.
        """
        for request in requests:
            for account in self._others(sender, request):
                raise ConfigError(
                    f"a bundle of {sender} cannot delegate {account}, whose nonces are given out "
                    "here as well: send that delegation as a transaction"
                )
        self._require_undelegated(sender)

    def require_replaceable(self, name: str, request: TransactionRequest) -> None:
        """Check that a replacement delegates none of our accounts: others may be out behind it.

        Not for another chain either: pools make no difference.

        Raises:
            ConfigError: it does.
        """
        signed = (authority_of(grant) for grant in request.authorization_list)
        ours = {one for one in signed if one is not None and one in self._accounts}
        for account in sorted(ours):
            raise ConfigError(
                f"a replacement cannot delegate {account}, whose nonces are given out here: cancel "
                f"{name} and send the delegation anew"
            )

    def entered(self, name: str, sender: Address, request: TransactionRequest) -> None:
        """Tell of a request that a lane has accepted."""
        self._note(name, sender, self._others(sender, request))

    def _require_undelegated(self, sender: Address) -> None:
        for name, (by, spent) in tuple(self._known().items()):
            nonce = spent.get(sender)
            if name not in self._lane(by).jobs:
                del self._known()[name]
            elif nonce is not None and self._may_spend(name, by, self._lane(sender), nonce):
                raise AlreadyReserved(
                    f"{name} of {by} delegates {sender} and may spend its nonce {nonce}: wait until"
                    f" {name} has ended"
                )
        for bundle_hash, tx_hash, nonce in self.bundled(sender):
            if nonce >= self._lane(sender).nonce:
                raise AlreadyReserved(
                    f"bundle {bundle_hash} may spend nonce {nonce} of {sender} by {tx_hash}: wait"
                    " until it has ended"
                )

    def _may_spend(self, name: str, by: Address, state: LaneState, nonce: int) -> bool:
        """Whether it may yet do so, or has, and the lane of the account has not seen it."""
        landed = self._lane(by).landed.get(name)
        seen = landed is not None and state.block >= landed
        return nonce >= state.nonce and not seen

    def _known(self) -> dict[str, tuple[Address, dict[Address, int]]]:
        if self._under_way is None:  # what a former process left, once
            self._under_way = {}
            for account in self._accounts:
                for name, job in self._lane(account).jobs.items():
                    self._note(name, account, self._others(account, job.request))
                    for one in job.tries:  # a replacement takes nothing back
                        self._note(name, account, self._others(account, one.signed.unsigned))
        return self._under_way

    def _note(self, name: str, sender: Address, spent: dict[Address, int]) -> None:
        if spent:
            before = self._known().get(name, (sender, {}))[1]
            self._known()[name] = sender, {**before, **spent}

    def _others(
        self, sender: Address, what: TransactionRequest | UnsignedTransaction
    ) -> dict[Address, int]:
        spent = _spent(what, self._chain_id)
        return {one: spent[one] for one in sorted(spent.keys() & self._accounts - {sender})}


def _spent(what: TransactionRequest | UnsignedTransaction, chain_id: int) -> dict[Address, int]:
    """Whose nonces its authorizations may spend, and of each account the highest."""
    spent: dict[Address, int] = {}
    for grant in what.authorization_list:
        account = authority_of(grant)
        if account is not None and grant.chain_id in {0, chain_id}:
            spent[account] = max(grant.nonce, spent.get(account, 0))
    return spent
