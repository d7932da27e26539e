"""Requests that spend more than one nonce: an account's own delegation (EIP-7702) spends another.

The chain counts an authorization that it takes like a transaction of the account that signed it, so
what stands at that nonce is passed over without anybody having spent it.
"""

from toolkit.chain.signer import authority_of
from toolkit.model.chain import Address
from toolkit.model.tx import UnsignedTransaction
from toolkit.tx.job import Job
from toolkit.tx.lane_state import LaneState


def granted(unsigned: UnsignedTransaction, lane: Address) -> set[int]:
    """The nonces of `lane` that a transaction of its own may spend by its authorizations."""
    return {
        grant.nonce
        for grant in unsigned.authorization_list
        if grant.nonce > unsigned.nonce
        and grant.chain_id in {0, unsigned.chain_id}
        and authority_of(grant) == lane
    }


def delegating(state: LaneState) -> Job | None:
    """The request under way whose authorizations may spend the nonces behind it."""
    held = (state.jobs[name] for name in state.slots.values())
    return next((job for job in held if _grants(job, state.lane)), None)


def _grants(job: Job, lane: Address) -> bool:
    return any(granted(one.signed.unsigned, lane) for one in job.tries)
