"""The one function that decides. Pure, and blind to the order in which intents arrive."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head
from toolkit.model.decision import Intent, Leg, Reading, TradingState, Verdict, VetoCause
from toolkit.model.tx import FeeQuote
from toolkit.model.units import PPM
from toolkit.orchestrator.elsewhere import Elsewhere
from toolkit.orchestrator.impact import route_defect
from toolkit.orchestrator.ledger import Share, Transfer
from toolkit.orchestrator.limits import Limits
from toolkit.orchestrator.market import Market, Side
from toolkit.orchestrator.netting import NetLeg, Wish, net, resized
from toolkit.orchestrator.pauses import Assessment
from toolkit.orchestrator.sizing import Size, Standing, moves, scaled, sized
from toolkit.orchestrator.validation import Proposal, defect
from toolkit.pools.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything a decision may depend on besides the intents."""

    label: str  # the block's number; made unique where a reorg brings a number back
    head: Head
    fee: FeeQuote
    market: Market
    limits: Limits
    snapshot: Snapshot
    readings: Mapping[str, Reading]  # the newest of each key
    canonical: Mapping[int, Hash]  # recent blocks
    paused: Mapping[str, Assessment]
    weights: Mapping[str, float]
    free: Mapping[Address, int]
    books: Mapping[str, Mapping[Address, int]]
    stopped: Mapping[str, str]  # agents that a person paused, and why
    halted: str = ""  # why nothing may be approved any more
    state: TradingState = TradingState.ACTIVE
    state_why: str = ""
    probe_wei: int | None = None
    """The most that may raise exposures while a half-open probe lasts; ways back are free."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """What a discounting pause leaves of an agent's weight, 0..1."""

    def trust_ppm(self, agent: str) -> int:
        """Return an agent's weight times what a discount leaves of it."""
        weight, scale = self.weights.get(agent, 1.0), self.scales.get(agent, 1.0)
        return round(weight * PPM) * round(scale * PPM) // PPM

    @property
    def raise_wei(self) -> int | None:
        """How much may raise exposures in this block; None where nothing but limits bounds it."""
        if self.probe_wei is not None:
            return self.probe_wei
        return 0 if self.state is TradingState.REDUCING else None
    elsewhere: tuple[Elsewhere, ...] = ()  # the chains this one is run together with
    served: Mapping[str, int] = field(default_factory=dict)  # agent -> its last turn; least first


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An intent that is well formed, under its name, with all that it rests on.

    `inputs` is what the agent declared and what it looked at: it cannot leave anything out.
    """

    intent_id: str  # "<block>/<agent>/<n>"
    intent: Intent
    inputs: tuple[str, ...]
    block_number: int
    block_hash: Hash


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with whose it is: shares of its leg, and what changed hands inside."""

    verdict: Verdict
    shares: tuple[Share, ...] = ()
    transfers: tuple[Transfer, ...] = ()


class Arbitration(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all intents of a block; `defects` names agents to quarantine, and why."""

    candidates: tuple[Candidate, ...]
    rulings: tuple[Ruling, ...]
    defects: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A verdict before it has its number; approved ones are ranked, best first."""

    intents: tuple[str, ...]
    agents: tuple[str, ...]
    cause: VetoCause | None = None
    why: str = ""
    leg: NetLeg | None = None
    transfers: tuple[Transfer, ...] = ()
    netted_in: int = 0
    losers: tuple[str, ...] = ()
    limits_hit: tuple[str, ...] = ()
    rank: tuple[int, int, str] = (2, 0, "")


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
            drafts.append(_vetoed(candidate, *veto))
    drafts += _cycles(passed, context)
    drafts += _swaps(passed, context)
    drafts = _within_means(drafts, context)
    ordered = sorted(drafts, key=lambda draft: (draft.rank, draft.intents, draft.why))
    return Arbitration(
        candidates=tuple(candidates),
        rulings=tuple(_ruling(draft, n, context) for n, draft in enumerate(ordered)),
        defects=defects,
    )


def _admit(
    context: Context, proposals: Iterable[Proposal], failures: Mapping[str, str]
) -> tuple[list[Candidate], dict[str, str], list[_Draft]]:
    """Separate what is well formed from what is not; one defect condemns all of an agent's."""
    by_agent: dict[str, list[Proposal]] = {agent: [] for agent in failures}
    for proposal in proposals:
        by_agent.setdefault(proposal.agent, []).append(proposal)
    candidates: list[Candidate] = []
    defects: dict[str, str] = {}
    drafts: list[_Draft] = []
    for agent, mine in sorted(by_agent.items()):
        why = failures.get(agent) or _agent_defect(mine, context)
        if not why:
            candidates += _named(agent, mine, context)
            continue
        defects[agent] = why
        drafts.append(
            _Draft(
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
    for proposal in proposals:
        intent = proposal.intent
        assert isinstance(intent, Intent)
        inputs = {*intent.inputs, *proposal.touched} or set(context.readings)
        made.append(
            Candidate(
                intent_id="",
                intent=intent,
                inputs=tuple(sorted(inputs)),
                block_number=proposal.block_number,
                block_hash=proposal.block_hash,
            )
        )
    made.sort(key=lambda candidate: msgspec.json.encode(candidate, order="sorted"))
    return [
        msgspec.structs.replace(candidate, intent_id=f"{context.label}/{agent}/{n}")
        for n, candidate in enumerate(made)
    ]


def _gate(candidate: Candidate, context: Context) -> tuple[VetoCause, str] | None:
    """Name the first reason why a well-formed intent may not act now, if there is one."""
    if context.halted or context.state is TradingState.HALTED:
        return VetoCause.HALTED, context.halted or context.state_why or "trading is halted"
    if stale := _staleness(candidate, context):
        return VetoCause.STALE, stale
    last = candidate.block_number + candidate.intent.valid_for_blocks
    if last < context.head.number + 1:
        return VetoCause.DEADLINE, f"was valid up to block {last}"
    if why := context.stopped.get(candidate.intent.agent):
        return VetoCause.PAUSED, why
    assessment = context.paused.get(candidate.intent.agent)
    if assessment is not None and assessment.paused:
        return VetoCause.PAUSED, _paused_why(assessment)
    return _route_gate(candidate.intent, context)


def _staleness(candidate: Candidate, context: Context) -> str:
    """Say which of its inputs is not good enough any more; "" if all are."""
    if context.canonical.get(candidate.block_number) != candidate.block_hash:
        return f"made on block {candidate.block_number}, no longer canonical"
    for key in candidate.inputs:
        reading = context.readings.get(key)
        if reading is None:
            return f"rests on {key!r}, of which there is no reading"
        age = context.head.number - reading.block_number
        if age > reading.max_age_blocks:
            return f"rests on {key!r}, {age} blocks old; at most {reading.max_age_blocks} allowed"
    return ""


def _paused_why(assessment: Assessment) -> str:
    return (
        f"own impact of {', '.join(assessment.because)} still shifts the signal by "
        f"{assessment.contamination:+.3e}: decides otherwise with probability "
        f"{assessment.flip_probability:.3f}, tolerated {assessment.tolerance}; "
        f"free from block {assessment.until_block}"
    )


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


def _vetoed(candidate: Candidate, cause: VetoCause, why: str) -> _Draft:
    return _Draft(
        intents=(candidate.intent_id,), agents=(candidate.intent.agent,), cause=cause, why=why
    )


def _cycles(candidates: Sequence[Candidate], context: Context) -> list[_Draft]:
    """Decide cycles: the best edge first, each pool once."""
    routed = sorted(
        (
            (_edge_wei(candidate, leg, context), candidate, leg)
            for candidate in candidates
            for leg in candidate.intent.legs
            if leg.token_in == leg.token_out
        ),
        key=lambda one: (-one[0], one[1].intent_id, one[2].amount_in),
    )
    taken: dict[Address, str] = {}
    losers: dict[str, list[str]] = {}
    won: list[tuple[int, Candidate, Leg]] = []
    drafts: list[_Draft] = []
    for edge_wei, candidate, leg in routed:
        assert leg.route is not None
        value = context.market.value_wei(leg.token_in, leg.amount_in, context.readings)
        rivals = sorted({taken[hop.pool] for hop in leg.route.hops if hop.pool in taken})
        if value is None or value > context.limits.max_cycle_wei:
            drafts.append(_vetoed(candidate, VetoCause.LIMIT, f"input worth {value} wei"))
        elif rivals:
            why = f"{', '.join(rivals)} takes a pool of its route, for a larger edge"
            drafts.append(_vetoed(candidate, VetoCause.LOST_CONFLICT, why))
            for rival in rivals:
                losers.setdefault(rival, []).append(candidate.intent_id)
        else:
            taken.update((hop.pool, candidate.intent_id) for hop in leg.route.hops)
            won.append((edge_wei, candidate, leg))
    return drafts + [
        _Draft(
            intents=(candidate.intent_id,),
            agents=(candidate.intent.agent,),
            why=candidate.intent.reason,
            leg=NetLeg(leg=leg, shares=(_share(candidate, leg),), netted_in=0),
            losers=tuple(sorted(losers.get(candidate.intent_id, ()))),
            rank=(0, -edge_wei, candidate.intent_id),
        )
        for edge_wei, candidate, leg in won
    ]


def _edge_wei(candidate: Candidate, leg: Leg, context: Context) -> int:
    """What an agent claims to gain, but no more than its checked route does: claims are free."""
    assert leg.route is not None
    gain = context.market.value_wei(leg.token_in, leg.route.profit, context.readings) or 0
    return min(candidate.intent.edge_wei, gain)


def _share(candidate: Candidate, leg: Leg) -> Share:
    return Share(agent=candidate.intent.agent, intent=candidate.intent_id, amount_in=leg.amount_in)


def _swaps(candidates: Sequence[Candidate], context: Context) -> list[_Draft]:
    """Size plain exchanges, net those of one class, and rank what is left for the market."""
    drafts: list[_Draft] = []
    classes: dict[str, list[Wish]] = {}
    reasons = {candidate.intent_id: candidate.intent.reason for candidate in candidates}
    hits: dict[str, set[str]] = {}
    for candidate in candidates:
        for leg in candidate.intent.legs:
            if leg.token_in == leg.token_out:
                continue
            size = sized(
                leg,
                book=context.books.get(candidate.intent.agent, {}),
                weight_ppm=round(context.weights.get(candidate.intent.agent, 1.0) * PPM),
                confidence_ppm=round(candidate.intent.confidence * PPM),
                market=context.market,
                limits=context.limits,
                readings=context.readings,
            )
            if size.amount_in == 0:
                drafts.append(_vetoed(candidate, VetoCause.LIMIT, size.why))
                continue
            name, side = context.market.netting_class(leg.token_in, leg.token_out)
            hits.setdefault(candidate.intent_id, set()).update(size.limits_hit)
            classes.setdefault(name, []).append(
                Wish(
                    intent=candidate.intent_id,
                    agent=candidate.intent.agent,
                    token_in=leg.token_in,
                    token_out=leg.token_out,
                    side=side,
                    amount_in=size.amount_in,
                )
            )
    for name, wishes in sorted(classes.items()):
        drafts += _netted(name, wishes, hits, reasons, context)
    return drafts


def _netted(
    name: str,
    wishes: Sequence[Wish],
    hits: Mapping[str, set[str]],
    reasons: Mapping[str, str],
    context: Context,
) -> list[_Draft]:
    """Turn one class into drafts; the first of a conflict names everybody in it."""
    everybody = tuple(sorted({wish.intent for wish in wishes}))
    agents = tuple(sorted({wish.agent for wish in wishes}))
    result = net(wishes, market=context.market, readings=context.readings)
    if result is None:
        why = f"opposed in {name}, and there is no price to net at"
        return [_Draft(intents=everybody, agents=agents, cause=VetoCause.LOST_CONFLICT, why=why)]
    least = context.limits.min_trade_wei
    worth = [
        context.market.value_wei(leg.leg.token_in, leg.leg.amount_in, context.readings)
        for leg in result.legs
    ]
    legs = [
        leg
        for leg, value in zip(result.legs, worth, strict=True)
        if value is None or value >= least
    ]
    story = _conflict_story(wishes, result.crossed) if result.crossed else ""
    if not legs:
        return [
            _Draft(
                intents=everybody,
                agents=agents,
                cause=VetoCause.NETTED_OUT,
                why=f"{story}; nothing is left to trade",
                transfers=result.transfers,
                netted_in=result.crossed,
            )
        ]
    drafts: list[_Draft] = []
    for index, leg in enumerate(legs):
        first = index == 0
        intents = tuple(sorted({share.intent for share in leg.shares}))
        drafts.append(
            _Draft(
                intents=everybody if first else intents,
                agents=agents if first else tuple(sorted({s.agent for s in leg.shares})),
                why=story if first and story else "; ".join(reasons[name] for name in intents),
                leg=leg,
                transfers=result.transfers if first else (),
                netted_in=leg.netted_in,
                limits_hit=tuple(sorted({hit for i in intents for hit in hits[i]})),
                rank=(1, _turn(agents, context), f"{index}/{name}"),
            )
        )
    return drafts


def _turn(agents: Sequence[str], context: Context) -> int:
    """Whose turn it is where capital is scarce: who waits longest goes first, new ones before."""
    return min(context.served.get(agent, -1) for agent in agents)


def _conflict_story(wishes: Sequence[Wish], crossed: int) -> str:
    sides = {
        side: ", ".join(sorted({wish.intent for wish in wishes if wish.side is side}))
        for side in Side
    }
    return (
        f"{sides[Side.BUY]} buys what {sides[Side.SELL]} sells: {crossed} units change hands inside"
    )


def _within_means(drafts: Sequence[_Draft], context: Context) -> list[_Draft]:
    """Hold approved drafts, best first, to the limits of a block and to the free capital."""
    free = {token: max(amount, 0) for token, amount in context.free.items()}
    sent = 0
    result: list[_Draft] = []
    for draft in sorted(drafts, key=lambda draft: (draft.rank, draft.intents)):
        leg = draft.leg
        if draft.cause is not None or leg is None:
            result.append(draft)
            continue
        kept = _afforded(draft, leg, free, sent, context)
        if kept.cause is None and kept.leg is not None:
            sent += 1
            if kept.leg.leg.token_in != kept.leg.leg.token_out:
                free[kept.leg.leg.token_in] -= kept.leg.leg.amount_in
        result.append(kept)
    return result


def _afforded(
    draft: _Draft, leg: NetLeg, free: Mapping[Address, int], sent: int, context: Context
) -> _Draft:
    limits, token = context.limits, leg.leg.token_in
    if context.fee.max_fee_per_gas > limits.max_fee_per_gas:
        return _refused(draft, VetoCause.LIMIT, f"gas at {context.fee.max_fee_per_gas} wei")
    if sent >= limits.max_plans:
        return _refused(draft, VetoCause.LIMIT, f"{limits.max_plans} plans for a block are enough")
    if free.get(ZERO_ADDRESS, 0) <= 0:
        return _refused(draft, VetoCause.NO_CAPITAL, "nothing is left to pay gas with")
    if leg.leg.token_in == leg.leg.token_out:
        return draft  # a cycle may borrow; what it needs of ours is reserved with its plan
    amount, hits = leg.leg.amount_in, list(draft.limits_hit)
    value = context.market.value_wei(token, amount, context.readings)
    if value is not None and value > limits.max_trade_wei:
        amount = scaled(amount, limits.max_trade_wei, value)
        hits.append("max_trade_wei")
    if amount > free.get(token, 0):
        amount = free.get(token, 0)
        hits.append("capital")
    worth = context.market.value_wei(token, amount, context.readings)
    if amount == 0 or (worth is not None and worth < limits.min_trade_wei):
        return _refused(draft, VetoCause.NO_CAPITAL, f"{free.get(token, 0)} of {token} is free")
    return replace(draft, leg=resized(leg, amount), limits_hit=tuple(sorted(set(hits))))


def _refused(draft: _Draft, cause: VetoCause, why: str) -> _Draft:
    """Veto what would have gone to the market; what changed hands inside stays."""
    told = f"{draft.why}; {why}" if draft.transfers else why
    return replace(draft, cause=cause, why=told, leg=None, rank=(2, 0, ""))


def _ruling(draft: _Draft, number: int, context: Context) -> Ruling:
    approved = draft.cause is None
    leg = draft.leg if approved else None
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
            weights={agent: context.weights.get(agent, 1.0) for agent in draft.agents},
            limits_hit=draft.limits_hit,
            netted_in=draft.netted_in,
        ),
        shares=() if leg is None else leg.shares,
        transfers=draft.transfers,
    )
