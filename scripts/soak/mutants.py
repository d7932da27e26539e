"""The guards that keep transactions exactly-once, and what each is without."""

from typing import NamedTuple

SIMULATION = "simulation"


class Mutant(NamedTuple):
    """One guard taken out: `guard` is in `file` (under toolkit/) once, `instead` stands for it.

    `detector` is what must notice: the seeded schedules of `worlds` in turn, or a file of tests.
    """

    name: str
    file: str
    guard: str
    instead: str
    detector: str = SIMULATION
    worlds: tuple[str, ...] = ("chaotic",)


LANE = "tx/lane.py"
STATE = "tx/lane_state.py"
SIGNING = "tx/lane_signing.py"
SPENT = "tx/lane_spent.py"
JOB = "tx/job.py"
FEES = "tx/fees.py"
RUNNER = "tx/runner.py"
OBSERVER = "tx/observer.py"
RECOVERY = "tx/recovery.py"
_COMMIT = "            await self._journal.commit()\n            self._reached(Stage.DURABLE)\n"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a refusal does not unsend what was sent before",
        LANE,
        "after = max(before, event.exposure) if before > Exposure.JOURNALLED else event.exposure",
        "after = event.exposure",
    ),
    Mutant(
        "what a dead process was about to send may be out",
        LANE,
        "name: Exposure.UNKNOWN if exposure is Exposure.JOURNALLED else exposure",
        "name: Exposure.NONE if exposure is Exposure.JOURNALLED else exposure",
        worlds=("crowded",),
    ),
    Mutant(
        "what a dead process was about to send is sent again",
        LANE,
        "if any(Exposure.JOURNALLED in one.exposures.values() for one in job.tries):",
        "if False:",
    ),
    Mutant(
        "a request waits for the one that it follows",
        LANE,
        "    if job.after is not None:\n        draft.park(job)\n        return\n",
        "",
    ),
    Mutant(
        "only what nobody can have ends at once",
        LANE,
        "if job.cancelling and not job.exposed and not job.landed and not spent:",
        "if job.cancelling and not job.landed and not spent:",
    ),
    Mutant(
        "a replacement does not bring a cancelled request back",
        LANE,
        "        if job.cancelling:\n            return  # no resurrection\n",
        "",
        worlds=("hasty",),
    ),
    Mutant(
        "a deadline ends a request",
        LANE,
        "if deadline <= state.block or early:",
        "if early:",
    ),
    Mutant(
        "a deadline is met one block early where a pool has the request",
        LANE,
        "if deadline <= state.block or early:",
        "if deadline <= state.block:",
    ),
    Mutant(
        "nonces of a landed bundle are spent before their block is seen",
        LANE,
        "            nonce=max(draft.state.nonce, spent),\n",
        "",
    ),
    Mutant(
        "a bundle's nonces are free again after its block",
        LANE,
        "if lease.target_block > event.block}",
        "if lease.target_block > event.block - 1000}",
    ),
    Mutant(
        "a bundle's nonces are held",
        STATE,
        "return {*self.slots, *self._leased()}",
        "return {*self.slots}",
    ),
    Mutant(
        "nothing public stands on a bundle",
        STATE,
        "if barrier is not None and nonce >= barrier:",
        "if False:",
    ),
    Mutant(
        "a held nonce is not given out again",
        STATE,
        "            if nonce not in held:\n                yield nonce",
        "            yield nonce",
    ),
    Mutant(
        "what is under way is reserved",
        STATE,
        "return leased + sum(job.held_wei for job in held)",
        "return leased",
    ),
    Mutant(
        "what bundles may cost is reserved",
        STATE,
        "return leased + sum(job.held_wei for job in held)",
        "return sum(job.held_wei for job in held)",
        worlds=("poor",),
    ),
    Mutant(
        "a delegated account has one transaction in flight",
        STATE,
        "return DELEGATED_WINDOW if self.delegated else self.limits.max_in_flight",
        "return self.limits.max_in_flight",
    ),
    Mutant(
        "higher priorities come first",
        STATE,
        "return -job.priority, job.order",
        "return 0, job.order",
    ),
    Mutant(
        "requests of one priority keep their order",
        STATE,
        "return -job.priority, job.order",
        "return -job.priority, -job.order",
    ),
    Mutant(
        "the window is bounded",
        SIGNING,
        "room = state.window - len(state.slots)",
        "room = 1_000",
    ),
    Mutant(
        "nothing is signed that the account cannot pay for",
        SIGNING,
        "return within and unsigned.worst_cost_wei <= draft.spare_wei()",
        "return within",
    ),
    Mutant(
        "nothing is bid higher than the account can pay for",
        SIGNING,
        "if unsigned.worst_cost_wei - job.held_wei > max(0, draft.spare_wei()):",
        "if False:",
    ),
    Mutant(
        "nothing more is tried after a refusal for want of means",
        SIGNING,
        " or stopped_by(state) is not None",
        "",
    ),
    Mutant(
        "a spent nonce is not bid for",
        SIGNING,
        "if quote is None or nonce is None or nonce < state.nonce or state.halted:",
        "if quote is None or nonce is None or state.halted:",
    ),
    Mutant(
        "only the head of the line is bid higher for",
        SIGNING,
        "        job.nonce == state.nonce\n        and state.block",
        "        state.block",
    ),
    Mutant(
        "an attempt has its time before it is bid over",
        SIGNING,
        "        and state.block - last.first_block >= state.limits.replace_after_blocks\n",
        "",
    ),
    Mutant(
        "a cancellation is signed once",
        JOB,
        "return self.cancelling and bool(self.tries) and not self.last.cancels",
        "return self.cancelling and bool(self.tries)",
    ),
    Mutant(
        "an exposed request is cancelled on the chain",
        SIGNING,
        "    if unspent and wanted and not state.halted and quote is not None:",
        "    if False:",
    ),
    Mutant(
        "a halted lane does nothing at a head",
        SIGNING,
        "    if draft.state.halted:\n        return\n    for job",
        "    for job",
        worlds=("halted",),
    ),
    Mutant(
        "what is handed over counts as exposed",
        SIGNING,
        "{name: max(known, Exposure.JOURNALLED) for name, known in last.exposures.items()}",
        "dict(last.exposures)",
        worlds=("followed",),
    ),
    Mutant(
        "gaps are filled",
        SIGNING,
        "    if top - state.nonce < len(hanging):\n",
        "    if True:\n",
    ),
    Mutant(
        "what pools forgot is sent again",
        SIGNING,
        "        if job.request_id not in draft.signing:\n            hand_out_again(draft, job)\n",
        "        pass\n",
    ),
    Mutant(
        "what was refused as too cheap is bid higher",
        LANE,
        '        changes["raise_fees"] = True\n',
        "        pass\n",
    ),
    Mutant(
        "what is not wanted any more is not handed out",
        SIGNING,
        "    if not job.unwanted:\n        return job.last\n",
        "    if True:\n        return job.last\n",
    ),
    Mutant(
        "an empty transfer that everybody refuses is followed by another",
        SIGNING,
        " or (last.cancels and last.refused))",
        ")",
        worlds=("stubborn",),
    ),
    Mutant(
        "what an author asked to hurry is bid higher",
        SIGNING,
        "return job.floor is not None or job.raise_fees",
        "return job.raise_fees",
    ),
    Mutant(
        "the account's count does not fall with a stale answer",
        SPENT,
        "return max(event.nonce, state.nonce, *proven)",
        "return event.nonce",
    ),
    Mutant(
        "one low count is no reorg",
        SPENT,
        "reorged = event.reorged or fallen >= FALLEN_PATIENCE_HEADS",
        "reorged = event.reorged or fallen >= 1",
        worlds=("lagging",),
    ),
    Mutant(
        "a reorg gives nonces back",
        SPENT,
        "        _return_unspent(draft, seen_block=before.block)\n",
        "        pass\n",
    ),
    Mutant(
        "a reorg makes the lane look again at what is spent",
        SPENT,
        "        _reconsider(draft, found, spenders, seen_block=before.block)\n",
        "        pass\n",
    ),
    Mutant(
        "the name of a spender is waited for",
        SPENT,
        "elif job.unexplained < SPENT_PATIENCE_BLOCKS:",
        "elif False:",
    ),
    Mutant(
        "one's own transaction is no stranger",
        SPENT,
        "        if spender is not None:\n            if spender.by not in job.hashes():\n",
        "        if spender is not None:\n            if True:\n",
    ),
    Mutant(
        "a request takes a new nonce only when its old one is final",
        SPENT,
        "            if depth >= limits.finality_blocks:\n",
        "            if True:\n",
    ),
    Mutant(
        "an end that changes is told anew",
        SPENT,
        "if told and (job.requeues or told != end):",
        "if False:",
    ),
    Mutant(
        "a final end that is taken back halts the lane",
        SPENT,
        "    if deep or job.final:\n",
        "    if False:\n",
    ),
    Mutant(
        "what a stranger has done is not done again",
        JOB,
        "            and not spender.same_payload\n",
        "",
    ),
    Mutant(
        "only who wished for it goes on to another nonce",
        JOB,
        "            and self.on_external_spend is ExternalSpend.REQUEUE\n",
        "",
    ),
    Mutant(
        "a mined cancellation is no success",
        JOB,
        "if attempt is not None and attempt.cancels:",
        "if False:",
    ),
    Mutant(
        "a revert is no success",
        JOB,
        "    if not mined.succeeded:\n",
        "    if False:\n",
    ),
    Mutant(
        "a fee cap rises by the bump law",
        FEES,
        "least_cap, least_tip = bumped(old.fee_cap), bumped(_tip(old))",
        "least_cap, least_tip = old.fee_cap + 1, bumped(_tip(old))",
    ),
    Mutant(
        "a tip rises by the bump law",
        FEES,
        "least_cap, least_tip = bumped(old.fee_cap), bumped(_tip(old))",
        "least_cap, least_tip = bumped(old.fee_cap), _tip(old)",
    ),
    Mutant(
        "no bid is above the ceiling",
        FEES,
        "    cap = min(max(least_cap, wished[0]), ceiling)\n",
        "    cap = max(least_cap, wished[0])\n",
    ),
    Mutant(
        "nothing is sent at once that is not durable",
        RUNNER,
        _COMMIT + "            handing",
        "            handing",
    ),
    Mutant(
        "nothing is sent at a head that is not durable",
        RUNNER,
        _COMMIT + "            ways",
        "            ways",
    ),
    Mutant(
        "what an impatient caller leaves behind is unknown, not under way",
        RUNNER,
        "for (_, name), send in waiting.items():",
        "for (_, name), send in ():",
        worlds=("impatient",),
    ),
    Mutant(
        "what a head leaves behind that is cut off is waited for no longer",
        RUNNER,
        "        except BaseException:\n            self.abandon(sends)\n",
        "        except BaseException:\n",
        worlds=("impatient",),
    ),
    Mutant(
        "a hand-over that breaks off is waited for no longer",
        RUNNER,
        "            if waiting:\n                self._answer(",
        "            if False:\n                self._answer(",
        worlds=("impatient",),
    ),
    Mutant(
        "a lane decides one thing at a time",
        RUNNER,
        "        async with self.lock:\n            sends",
        "        if True:\n            sends",
        worlds=("followed",),
    ),
    Mutant(
        "a signer's answer is checked",
        RUNNER,
        "if signed.sender != signer.address or signed.unsigned != unsigned:",
        "if False:",
    ),
    Mutant(
        "a block beyond the head is not believed",
        OBSERVER,
        "if receipt is not None and receipt.block_number <= head.number:",
        "if receipt is not None:",
    ),
    Mutant(
        "a stranger who did the same is recognised",
        OBSERVER,
        '    return job.does(target, quantity(transaction.get("value")), str(data))',
        "    return False",
    ),
    Mutant(
        "a fallen count is looked at again after a reorg",
        OBSERVER,
        "matters = reorged or state.fallen + 1 >= FALLEN_PATIENCE_HEADS",
        "matters = state.fallen + 1 >= FALLEN_PATIENCE_HEADS",
        worlds=("lagging",),
    ),
    Mutant(
        "whoever spent a nonce is asked for",
        OBSERVER,
        "spent = [job for job in silent if job.nonce is not None and job.nonce < nonce]",
        "spent = []",
    ),
    Mutant(
        "a stranger is one of this account",
        OBSERVER,
        'if transaction is not None and quantity(transaction.get("nonce")) == job.nonce:',
        "if transaction is not None:",
    ),
    Mutant(
        "a restart begins behind the checkpoint",
        RECOVERY,
        "        after = last.seq\n",
        "        after = 0\n",
    ),
    Mutant(
        "a restart begins with what the checkpoint says",
        RECOVERY,
        "        found = Recovered(opening=fold.opening, lanes=fold.lanes, seqs=fold.seqs)\n",
        "",
    ),
    Mutant(
        "an end that was written down is not told again",
        RECOVERY,
        "            open_ends.pop(event.request_id, None)\n",
        "",
    ),
    Mutant(
        "an end that a dying process had decided is told",
        RECOVERY,
        "found.unreported = list(open_ends.values())",
        "found.unreported = []",
        worlds=("crowded",),
    ),
    Mutant(
        "an end that was taken back is open",
        RECOVERY,
        "if entry is None or entry.kind == REOPENED:",
        "if entry is None:",
    ),
    Mutant(
        "an idempotency key stands for one request",
        "tx/acceptance.py",
        "            known = self._by_key(wish.idempotency_key)\n",
        "            known = None\n",
    ),
    Mutant(
        "a follower goes on only after a success",
        "tx/followers.py",
        "succeeded = isinstance(end, Confirmed)",
        "succeeded = True",
    ),
    Mutant(
        "a follower is told of its leader's end",
        "tx/followers.py",
        "        for follower in self._waiting.pop(name, ()):\n",
        "        for follower in ():\n",
    ),
)
