"""What a block's decision would have been, had one agent said nothing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from toolkit.journal.log import Entry
from toolkit.model.decision import Plan, Verdict
from toolkit.model.errors import ConfigError, JournalCorrupt
from toolkit.model.printable import printable
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.audit import verdict_of
from toolkit.orchestrator.audit.memory import Memory
from toolkit.orchestrator.audit.naming import Names
from toolkit.orchestrator.audit.recovery import KINDS, Fold
from toolkit.orchestrator.audit.replay import CHECKPOINT_KIND, decoded
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.deciding.arbitration import Candidate, Ruling
from toolkit.orchestrator.hosting.asking import Thought
from toolkit.orchestrator.records import Quarantined, Setup
from toolkit.reasoning.agent import Agent


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A block's verdicts and plans, and what the plans promise the accounts, before gas.

    `promised` is in smallest units per token: what routes put out minus what they take in.
    """

    verdicts: tuple[Verdict, ...]
    plans: tuple[Plan, ...]
    promised: dict[str, int]


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """One block, decided as it was and decided without one agent's wishes.

    `difference` is `without.promised` minus `decided.promised`: what its absence would have
    changed. Only this block is decided anew; what would have followed from it is not.
    """

    verdict_id: str
    block_number: int
    agent: str
    wished: int  # how many intents it had
    decided: Decided
    without: Decided
    difference: dict[str, int]
    tokens: dict[str, tuple[str, int]]  # address -> symbol and decimals, for people


def whatif(
    entries: Iterable[Entry], name: str, *, without: str, agents: Sequence[Agent] = ()
) -> WhatIf:
    """Decide the block of a transaction, bundle, request, verdict or intent again, twice.

    What every other agent said is taken from the journal: no agent is asked.

    Args:
        entries: a journal's, oldest first.
        name: the id of something that was decided in the block.
        without: the agent whose wishes are left out.
        agents: those not shipped with the toolkit that a pause concerned.

    Raises:
        ConfigError: the journal knows nothing of that name, or no such agent.
        JournalCorrupt: the block as it was decided does not follow from the journal.
    """
    every = tuple(entries)
    verdict_id = verdict_of(every, name)
    place = _perceived_before(every, verdict_id)
    start, earlier = _since_checkpoint(every, place)
    setup = _setup_before(earlier, start)
    known = sorted(one.name for one in setup.agents)
    if without not in known:
        raise ConfigError(f"no agent {without!r} in that run; there were {', '.join(known)}")
    thoughts = _said(every, place)
    intents = len(thoughts.get(without, Thought()).intents)
    at_hand = [agent for agent in agents if agent.name in known]
    sitting = _Sitting(start, earlier, every[place], setup, at_hand)
    decided = _outcome(sitting.decision(thoughts))
    recorded = tuple(
        decoded(entry, Ruling).verdict
        for entry in _outputs(every, place)
        if entry.kind == records.RULING
    )
    if decided.verdicts != recorded:
        raise JournalCorrupt(
            f"the block of {verdict_id} is decided otherwise than recorded; "
            "`toolkit replay --verify` names the agent or the entry"
        )
    thoughts.pop(without, None)
    left = _outcome(sitting.decision(thoughts))
    tokens = sorted({*decided.promised, *left.promised})
    return WhatIf(
        verdict_id=verdict_id,
        block_number=decided.verdicts[0].block_number,
        agent=without,
        wished=intents,
        decided=decided,
        without=left,
        difference={
            token: left.promised.get(token, 0) - decided.promised.get(token, 0) for token in tokens
        },
        tokens={one.address: (one.symbol, one.decimals) for one in setup.market.tokens},
    )


def lines(answer: WhatIf) -> Iterator[str]:
    """Write an answer for people, `printable`: both decisions, then the difference."""
    return map(printable, _lines(answer))


def _lines(answer: WhatIf) -> Iterator[str]:
    names = Names.of(answer.tokens)
    yield f"block {answer.block_number}, as it was decided:"
    yield from _told(answer.decided, names)
    yield f"without {answer.agent}:"
    if not answer.wished:
        yield f"   the same: {answer.agent} wished nothing in this block"
        return
    yield from _told(answer.without, names)
    change = names.changes(answer.difference)
    yield f"its absence would have changed, before gas: {change or 'nothing'}"


def _told(decided: Decided, names: Names) -> Iterator[str]:
    if not decided.verdicts:
        yield "   no verdict"
    plans = {plan.verdict_id for plan in decided.plans}
    for verdict in decided.verdicts:
        cause = "approved" if verdict.cause is None else f"vetoed ({verdict.cause.value})"
        legs = "; ".join(names.leg(leg) for leg in verdict.legs)
        yield f"   {verdict.verdict_id} {', '.join(verdict.agents)}: {cause}{legs and f', {legs}'}"
        if verdict.verdict_id not in plans and verdict.why:
            yield f"      {verdict.why}"
    yield f"   promised: {names.changes(decided.promised) or 'nothing'}"


def _perceived_before(entries: Sequence[Entry], verdict_id: str) -> int:
    """Return the place of the block's `Perceived` in the journal."""
    perceived = -1
    for place, entry in enumerate(entries):
        if entry.kind == records.PERCEIVED:
            perceived = place
        elif (
            entry.kind == records.RULING and decoded(entry, Ruling).verdict.verdict_id == verdict_id
        ):
            return perceived
    raise ConfigError(f"the journal holds no verdict {verdict_id}")


def _since_checkpoint(
    entries: Sequence[Entry], place: int
) -> tuple[Memory | None, Sequence[Entry]]:
    """Return the newest checkpoint before a place, and what follows it up to there."""
    for at in reversed(range(place)):
        if entries[at].kind == CHECKPOINT_KIND:
            return decoded(entries[at], Memory), entries[at + 1 : place]
    return None, entries[:place]


def _setup_before(entries: Sequence[Entry], start: Memory | None) -> Setup:
    setups = [entry for entry in entries if entry.kind == records.SETUP]
    if setups:
        return decoded(setups[-1], Setup)
    if start is None:
        raise JournalCorrupt("the journal goes on before it sets an orchestrator up")
    return start.setup


def _outputs(entries: Sequence[Entry], place: int) -> Iterator[Entry]:
    """Give what followed from a block, up to the next input or set-up."""
    for entry in entries[place + 1 :]:
        if entry.kind in records.INPUT_TYPES or entry.kind == records.SETUP:
            return
        yield entry


def _said(entries: Sequence[Entry], place: int) -> dict[str, Thought]:
    """Return what each agent said at a block, as it was journalled."""
    said: dict[str, Thought] = {}
    for entry in _outputs(entries, place):
        if entry.kind == records.QUARANTINE:
            quarantined = decoded(entry, Quarantined)
            said[quarantined.agent] = Thought(failure=quarantined.why)
        elif entry.kind == records.INTENT:
            candidate = decoded(entry, Candidate)
            before = said.get(candidate.intent.agent, Thought())
            said[candidate.intent.agent] = Thought(
                intents=(*before.intents, candidate.intent),
                touched=tuple(sorted({*before.touched, *candidate.inputs})),
            )
    return said


class _Sitting(NamedTuple):
    """One block, to be decided as often as there are answers to try."""

    start: Memory | None
    earlier: Sequence[Entry]
    perceived: Entry
    setup: Setup
    agents: Sequence[Agent]

    def decision(self, thoughts: dict[str, Thought]) -> Decision:
        """Fold everything before the block in, and decide it from what was said."""
        by_name = {agent.name: agent for agent in self.agents}
        at_hand = {s.name: (s, by_name[s.name]) for s in self.setup.agents if s.name in by_name}
        fold = Fold(at_hand, start=self.start)
        for entry in self.earlier:
            if entry.kind in KINDS:
                fold.take(entry)
        core, inputs = fold.before(self.perceived)
        core.begin(inputs)
        return core.decide(thoughts)


def _outcome(decision: Decision) -> Decided:
    promised: dict[str, int] = {}
    for plan in decision.plans:
        route = plan.route
        promised[route.token_in] = promised.get(route.token_in, 0) - route.amount_in
        promised[route.token_out] = promised.get(route.token_out, 0) + route.amount_out
    return Decided(
        verdicts=decision.report.verdicts,
        plans=decision.plans,
        promised=dict(sorted(promised.items())),
    )
