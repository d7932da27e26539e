"""Guards that only accounts which delegate themselves, or are delegated, lean on (EIP-7702).

The lives of `toolkit.testing.delegations` notice those.
"""

from scripts.soak.mutants import LANE, OBSERVER, SIGNING, Mutant

DELEGATION = "tx/delegation.py"
AUTHORIZED = "tx/authorized.py"

DELEGATING: tuple[Mutant, ...] = (
    Mutant(
        "nothing follows a delegation of the account itself",
        DELEGATION,
        "    return any(delegates_itself(one.signed.unsigned, lane) for one in job.tries)\n",
        "    return False\n",
        worlds=("delegating",),
    ),
    Mutant(
        "a delegation that was replaced may still be mined",
        DELEGATION,
        "any(delegates_itself(one.signed.unsigned, lane) for one in job.tries)",
        "delegates_itself(job.last.signed.unsigned, lane)",
        worlds=("delegating",),
    ),
    Mutant(
        "a delegation of the account itself goes alone",
        SIGNING,
        "        if alone and (state.held() or draft.signing):\n",
        "        if False:\n",
        worlds=("delegated",),
    ),
    Mutant(
        "what would follow a delegation at the same head waits too",
        SIGNING,
        "        if alone:\n            return\n",
        "",
        worlds=("delegated",),
    ),
    Mutant(
        "what is refused for a gap below it has that filled",
        SIGNING,
        "if job.exposed or _gapped(job)}",
        "if job.exposed}",
        worlds=("delegated",),
    ),
    Mutant(
        "an account of ours that is busy is not delegated by another",
        DELEGATION,
        "        if nonce < state.nonce:\n            return 0\n",
        "        return 0\n",
        worlds=("delegating",),
    ),
    Mutant(
        "what is owed another nonce keeps its account from being delegated",
        DELEGATION,
        "        again = sum(job.requeues or job.undecided for job in landed)",
        "        again = 0 * sum(1 for _ in landed)",
        worlds=("delegating",),
    ),
    Mutant(
        "an account that is being delegated sends nothing",
        DELEGATION,
        "return nonce >= state.nonce and not seen",
        "return False",
        worlds=("delegating",),
    ),
    Mutant(
        "a delegation that a branch put below others gives way",
        LANE,
        "event.recovery is Recovery.FAIL or _is_barred(draft.state, attempt, event)",
        "event.recovery is Recovery.FAIL",
        worlds=("delegating",),
    ),
    Mutant(
        "a delegation that nothing follows waits until a pool has room for it",
        LANE,
        "    return reserved and behind > 1\n",
        "    return reserved\n",
        worlds=("delegating",),
    ),
    Mutant(
        "a delegation below others gives way to nothing but a reservation",
        LANE,
        "event.refusal == RESERVED and delegates_itself(",
        "delegates_itself(",
        worlds=("delegating",),
    ),
    Mutant(
        "nothing but a delegation of the account itself gives way to a reservation",
        LANE,
        "event.refusal == RESERVED and delegates_itself(unsigned, state.lane)",
        "event.refusal == RESERVED",
        worlds=("delegating",),
    ),
    Mutant(
        "an account's own transactions take their turns before an authorization",
        AUTHORIZED,
        "        count += sender == account\n",
        "",
        worlds=("delegating",),
    ),
    Mutant(
        "each authorization of a block takes its turn",
        AUTHORIZED,
        "                count += 1\n",
        "                pass\n",
        worlds=("delegating",),
    ),
    Mutant(
        "who spent an earlier nonce of a block has not spent this one",
        AUTHORIZED,
        "                if count == nonce:\n",
        "                if True:\n",
        worlds=("delegating",),
    ),
    Mutant(
        "an authorization for another chain has spent nothing",
        AUTHORIZED,
        "grant.nonce != count or grant.chain_id not in {_ANY_CHAIN, chain_id}",
        "grant.nonce != count",
        worlds=("delegating",),
    ),
    Mutant(
        "an authorization that is not in its turn has spent nothing",
        AUTHORIZED,
        "grant.nonce != count or grant.chain_id",
        "grant.chain_id",
        worlds=("delegating",),
    ),
    Mutant(
        "an authorization by another account has spent nothing",
        AUTHORIZED,
        "            if authority_of(grant) == account:\n",
        "            if True:\n",
        worlds=("delegating",),
    ),
    Mutant(
        "who spends a nonce by an authorization is named",
        OBSERVER,
        "        if found is None and block is not None:\n",
        "        if False:\n",
        worlds=("delegating",),
    ),
)
