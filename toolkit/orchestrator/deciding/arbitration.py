"""The one function that decides. Pure, and blind to the order in which intents arrive."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolkit.execution.planner import Ways
from toolkit.model.decision import Intent, Leg, Reading, TradingState, Verdict, VetoCause
from toolkit.model.units import PPM
from toolkit.orchestrator.board.freshness import unfit
from toolkit.orchestrator.board.origins import inherited, priced_by, rests_on
from toolkit.orchestrator.capital.ledger import Share, Transfer
from toolkit.orchestrator.deciding.claims import Claim
from toolkit.orchestrator.deciding.context import Candidate, Context
from toolkit.orchestrator.deciding.cycles import cycles
from toolkit.orchestrator.deciding.drafts import Draft, Raising, vetoed
from toolkit.orchestrator.deciding.exchanges import exchanges
from toolkit.orchestrator.deciding.means import within_means
from toolkit.orchestrator.deciding.netting import NetLeg
from toolkit.orchestrator.deciding.validation import Proposal, defect
from toolkit.orchestrator.deciding.waste import Crossed, saved_wei
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.impact import route_defect

__all__ = ["Arbitration", "Candidate", "Context", "Ruling", "arbitrate", "unsent"]


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with whose it is: shares of its leg, and what changed hands inside.

    `inside` is how much of each wish that was, where it is settled with this verdict's leg;
    `claims` what its intents expect to gain on the market; `tried` whose turn it was, where it
    was approved and could not be planned.
    """

    verdict: Verdict
    shares: tuple[Share, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    inside: tuple[Crossed, ...] = ()
    claims: tuple[Claim, ...] = ()
    tried: tuple[str, ...] = ()


class Arbitration(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all intents of a block; `defects` names agents to quarantine, and why."""

    candidates: tuple[Candidate, ...]
    rulings: tuple[Ruling, ...]
    defects: dict[str, str]


def arbitrate(
    context: Context,
    proposals: Iterable[Proposal],
    *,
    failures: Mapping[str, str] | None = None,
) -> Arbitration:
    """Decide every intent of a block; `failures` says which agents broke down, and how.

    Validation, halt, staleness and deadline, pauses, weights and sizing, conflicts and netting,
    limits, capital: an intent is vetoed at the first of these that it fails. Every intent is
    named by at least one verdict, except those of a broken agent, which share one. Permuting
    the proposals changes nothing in the result.
    """
    candidates, defects, drafts = _admit(context, proposals, failures or {})
    passed: list[Candidate] = []
    for candidate in candidates:
        veto = _gate(candidate, context)
        if veto is None:
            passed.append(candidate)
        else:
            drafts.append(vetoed(candidate, *veto))
    raising = Raising(context.raise_wei)
    drafts += cycles(passed, context, raising)
    drafts += exchanges(passed, context, raising)
    ordered = within_means(drafts, context)
    if len(ordered) > 1:
        ordered.sort(key=lambda one: (one.standing(context.priority), one.intents, one.why))
    return Arbitration(
        candidates=tuple(candidates),
        rulings=tuple(_ruling(draft, n, context) for n, draft in enumerate(ordered)),
        defects=defects,
    )


def _admit(
    context: Context, proposals: Iterable[Proposal], failures: Mapping[str, str]
) -> tuple[list[Candidate], dict[str, str], list[Draft]]:
    """Separate what is well formed from what is not; one defect condemns all of an agent's."""
    by_agent: dict[str, list[Proposal]] = {agent: [] for agent in failures}
    for proposal in proposals:
        by_agent.setdefault(proposal.agent, []).append(proposal)
    candidates: list[Candidate] = []
    defects: dict[str, str] = {}
    drafts: list[Draft] = []
    for agent, mine in sorted(by_agent.items()):
        why = failures.get(agent) or _agent_defect(mine, context)
        if not why:
            candidates += _named(agent, mine, context)
            continue
        defects[agent] = why
        drafts.append(
            Draft(
                intents=(f"{context.label}/{agent}/*",),
                agents=(agent,),
                cause=VetoCause.INVALID,
                why=f"{agent} is quarantined: {why}",
            )
        )
    return candidates, defects, drafts


def _agent_defect(proposals: Sequence[Proposal], context: Context) -> str:
    if len(proposals) > context.limits.max_intents:
        return f"{len(proposals)} intents in a block, more than {context.limits.max_intents}"
    found = [
        defect(
            proposal,
            market=context.market,
            limits=context.limits,
            readings=context.readings,
        )
        for proposal in proposals
    ]
    return min((why for why in found if why), default="")


def _named(agent: str, proposals: Sequence[Proposal], context: Context) -> list[Candidate]:
    made: list[Candidate] = []
    inputs = rests_on(proposals, context.readings)
    for proposal in proposals:
        intent = proposal.intent
        assert isinstance(intent, Intent)
        prices = priced_by(intent, market=context.market, readings=context.readings)
        made.append(
            Candidate(
                intent_id=f"{context.label}/{agent}/0",
                intent=intent,
                inputs=inputs,
                priced_by=prices,
                block_number=proposal.block_number,
                block_hash=proposal.block_hash,
                provenance=inherited(
                    proposal,
                    intent,
                    inputs={*inputs, *prices},
                    head=context.head,
                    readings=context.readings,
                ),
            )
        )
    if len(made) == 1:
        return made
    made.sort(key=_order)
    return [
        msgspec.structs.replace(candidate, intent_id=f"{context.label}/{agent}/{n}")
        for n, candidate in enumerate(made)
    ]


def _order(candidate: Candidate) -> tuple[bytes, str]:
    """Order an agent's intents by what they want; the text for people breaks only a tie."""
    bare = msgspec.structs.replace(candidate.intent, reason="")
    return msgspec.json.encode(bare, order="sorted"), candidate.intent.reason


def _gate(candidate: Candidate, context: Context) -> tuple[VetoCause, str] | None:
    """Name the first reason why a well-formed intent may not act now, if there is one."""
    if context.halted or context.state is TradingState.HALTED:
        return VetoCause.HALTED, context.halted or context.state_why or "trading is halted"
    if unsound := unfit(candidate, context):
        return unsound
    if why := context.stopped.get(candidate.intent.agent):
        return VetoCause.PAUSED, why
    assessment = context.paused.get(candidate.intent.agent)
    if assessment is not None and assessment.paused:
        return VetoCause.PAUSED, assessment.why
    return _route_gate(candidate.intent, context)


def _route_gate(intent: Intent, context: Context) -> tuple[VetoCause, str] | None:
    for leg in intent.legs:
        if leg.route is None or not leg.route.is_cycle:
            continue  # an exchange is routed anew, after netting
        if leg.route.block_hash != context.head.hash:
            return VetoCause.STALE, f"its route was computed on block {leg.route.block_number}"
        if wrong := route_defect(context.snapshot, leg.route):
            return VetoCause.INVALID, wrong
        if intent.edge_wei <= 0 or leg.route.profit <= 0:
            return VetoCause.NO_EDGE, f"a cycle that gains {leg.route.profit}"
    return None


def _ruling(draft: Draft, number: int, context: Context) -> Ruling:
    approved = draft.cause is None
    leg = draft.leg if approved else None
    shares = () if leg is None else leg.shares
    return Ruling(
        verdict=Verdict(
            verdict_id=f"{context.label}-{number}",
            block_number=context.head.number,
            block_hash=context.head.hash,
            approved=approved,
            intents=draft.intents,
            agents=draft.agents,
            legs=() if leg is None else (leg.leg,),
            cause=draft.cause,
            why=draft.why,
            losers=draft.losers,
            weights={agent: context.trust_ppm(agent) / PPM for agent in draft.agents},
            limits_hit=draft.limits_hit,
            netted_in=draft.netted_in,
            saved_wei=_saved_wei(draft.inside, None if leg is None else leg.leg, shares, context),
        ),
        shares=shares,
        transfers=draft.transfers,
        inside=draft.inside,
        claims=() if leg is None else _claims(draft, leg, context),
    )


def _claims(draft: Draft, leg: NetLeg, context: Context) -> tuple[Claim, ...]:
    """Say what each share of a leg claims, where any does: all are needed to tell them apart."""
    if not any(draft.edges_ppb.get(share.intent, 0) for share in leg.shares):
        return ()
    token = leg.leg.token_in
    return tuple(
        Claim(
            agent=share.agent,
            intent=share.intent,
            edge_ppb=draft.edges_ppb.get(share.intent, 0),
            staked_wei=context.market.value_wei(token, share.amount_in, context.readings) or 0,
        )
        for share in leg.shares
    )


def unsent(
    ruling: Ruling, *, ways: Ways, market: Market, readings: Mapping[str, Reading]
) -> Ruling:
    """Return a ruling whose leg cannot be executed after all: only trades inside saved anything.

    It claims nothing on the market any more. The arguments are those it was decided with.
    """
    saved = saved_wei(ruling.inside, None, (), ways=ways, market=market, readings=readings)
    return msgspec.structs.replace(
        ruling, claims=(), verdict=msgspec.structs.replace(ruling.verdict, saved_wei=saved)
    )


def _saved_wei(
    inside: Sequence[Crossed], leg: Leg | None, shares: Sequence[Share], context: Context
) -> int:
    if not inside:
        return 0
    return saved_wei(
        inside,
        None if leg is None else (leg.token_in, leg.token_out),
        shares,
        ways=context.ways,
        market=context.market,
        readings=context.readings,
    )
