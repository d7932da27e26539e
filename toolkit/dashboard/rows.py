"""From an orchestrator's report of a block to what a person reads."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from toolkit.dashboard.record import BlockRow
from toolkit.model.bundle import MissCause
from toolkit.model.chain import ZERO_ADDRESS, Address
from toolkit.model.decision import Fill, Intent, Leg, Verdict
from toolkit.model.market import Route, Token
from toolkit.model.printable import printable
from toolkit.model.units import WEI_PER_ETHER, WEI_PER_GWEI, format_units
from toolkit.orchestrator.records import BlockReport

LONGEST_LINE = 110
HASH = re.compile(r"\b(0x[0-9a-f]{6})[0-9a-f]{10,}([0-9a-f]{4})\b")
"""Hashes and addresses, shown by their ends."""


class Wording:
    """Puts amounts into words with the tokens' own decimals."""

    def __init__(self, tokens: Mapping[Address, Token]) -> None:
        self._tokens = {
            **tokens,
            ZERO_ADDRESS: Token(address=ZERO_ADDRESS, symbol="ETH", decimals=18),
        }

    def amount(self, token: str, amount: int, *, signed: bool = False) -> str:
        """Write an amount with its symbol; four digits after the point."""
        known = self._tokens[Address(token)]
        sign = "+" if signed and amount > 0 else ""
        return f"{sign}{format_units(amount, known.decimals, places=4)} {known.symbol}"

    def leg(self, leg: Leg) -> str:
        """Write what is given for what; a cycle names its hops."""
        given = self.amount(leg.token_in, leg.amount_in)
        if leg.route is not None and leg.route.is_cycle:
            path = " > ".join(self._tokens[hop.token_out].symbol for hop in leg.route.hops)
            return f"{given} > {path}"
        return f"{given} > {self._tokens[leg.token_out].symbol}"

    def intent(self, intent: Intent) -> str:
        """Write an intent on one line."""
        return f"{intent.agent}: {', '.join(self.leg(leg) for leg in intent.legs)}"

    def veto(self, verdict: Verdict) -> str:
        """Write who was refused, and why."""
        cause = verdict.cause.value if verdict.cause else "refused"
        return f"{'+'.join(verdict.agents)}: {cause}: {verdict.why}"

    def conflict(self, verdict: Verdict) -> str:
        """Write whose wishes met, and how much changed hands among them."""
        leg = next(iter(verdict.legs), None)
        kept = "all of it" if leg is None else self.amount(leg.token_in, verdict.netted_in)
        return f"{'+'.join(verdict.agents)}: {kept} among themselves"

    def fill(self, fill: Fill) -> str:
        """Write what a landed plan changed, or why it missed."""
        agents = "+".join(fill.agents)
        if not fill.landed:
            return f"{agents}: {fill.missed}"
        gained = ", ".join(
            self.amount(token, change, signed=True)
            for token, change in sorted(fill.changes.items())
            if token != ZERO_ADDRESS and change
        )
        return f"{agents}: {gained}"


def block_row(report: BlockReport, wording: Wording, *, price_key: str) -> BlockRow:
    """Write one block's report as a row."""
    price = report.prices.get(price_key, 0.0)
    return BlockRow(
        number=report.head.number,
        timestamp=report.head.timestamp,
        base_fee_wei=report.head.base_fee_per_gas,
        price=price,
        intended=tuple(_cut(wording.intent(one.intent)) for one in report.intents),
        netted=tuple(
            _cut(wording.conflict(verdict))
            for verdict in report.verdicts
            if is_netted_conflict(verdict)
        ),
        vetoed=tuple(_cut(wording.veto(verdict)) for verdict in report.vetoes),
        landed=tuple(_cut(wording.fill(fill)) for fill in report.fills if fill.landed),
        missed=tuple(_cut(wording.fill(fill)) for fill in report.fills if not fill.landed),
        paused=tuple(one.agent for one in report.paused if one.paused),
        pnl_usd={
            agent: round(wei * price / WEI_PER_ETHER, 2) for agent, wei in report.pnl_wei.items()
        },
        cost_wei=sum(fill.gas_fee_wei + fill.tip_wei for fill in report.fills),
    )


def pause_spans(reports: Sequence[BlockReport], agent: str) -> list[tuple[int, int | None]]:
    """Return (first paused block, first free block) of each pause; None where it did not end."""
    spans: list[tuple[int, int | None]] = []
    start: int | None = None
    for report in reports:
        paused = any(one.agent == agent and one.paused for one in report.paused)
        if paused and start is None:
            start = report.head.number
        elif not paused and start is not None:
            spans.append((start, report.head.number))
            start = None
    return [*spans, (start, None)] if start is not None else spans


def counted(reports: Sequence[BlockReport]) -> dict[str, int]:
    """Count what a run is judged by."""
    fills = [fill for report in reports for fill in report.fills]
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    spans = pause_spans(reports, "momentum")
    landed = Counter(agent for fill in fills if fill.landed for agent in fill.agents)
    lost = [fill for fill in fills if is_lost_to_rival(fill)]
    return {
        "landed_arbitrage_bundles": landed["arbitrage"],
        "bundles_lost_to_a_rival": len(lost),
        "bundles_missed": sum(not fill.landed for fill in fills),
        "momentum_trades": landed["momentum"],
        "rebalancing_trades": landed["rebalancing"],
        "momentum_pauses": len(spans),
        "momentum_pauses_ended": sum(end is not None for _, end in spans),
        "merged_transactions": len({fill.tx_hashes for fill in fills if is_merged(fill)}),
        "vetoes": sum(not verdict.approved for verdict in verdicts),
        "netted_conflicts": sum(is_netted_conflict(verdict) for verdict in verdicts),
        "intents": sum(len(report.intents) for report in reports),
        "quarantined": len(reports[-1].quarantined) if reports else 0,
    }


def is_lost_to_rival(fill: Fill) -> bool:
    """Whether a bundle was outbid by somebody who traded on the same state."""
    return fill.missed.startswith(MissCause.OUTBID_CONFLICT.value)


def is_merged(fill: Fill) -> bool:
    """Whether a plan landed in one transaction with others."""
    return fill.landed and bool(fill.together)


def is_netted_conflict(verdict: Verdict) -> bool:
    """Whether intents of different agents opposed each other and were netted."""
    return bool(verdict.netted_in) and len(verdict.agents) > 1


def agent_figures(
    reports: Sequence[BlockReport], *, price_key: str
) -> dict[str, dict[str, float | int | str]]:
    """Count each agent's intents, and tell its P&L in wei and in USDC.

    Of the `intents`, `approved` are those that a verdict approved, with its leg or several, and
    `landed` those of them whose verdict's trade landed: an intent counts once, however many share
    its verdict. `price_key` names the price of the native token that P&L is shown at.
    """
    author = {one.intent_id: one.intent.agent for report in reports for one in report.intents}
    ruled = [one for report in reports for one in report.verdicts if one.approved]
    done = {fill.verdict_id for report in reports for fill in report.fills if fill.landed}
    intents = Counter(author.values())
    approved, landed = (
        Counter(
            author[name] for name in {name for one in some for name in one.intents} & author.keys()
        )
        for some in (ruled, [one for one in ruled if one.verdict_id in done])
    )
    last = reports[-1]
    price = last.prices.get(price_key, 0.0)
    return {
        agent: {
            "intents": intents[agent],
            "approved": approved[agent],
            "landed": landed[agent],
            "pnl_wei": str(wei),
            "pnl_usd": round(wei * price / WEI_PER_ETHER, 2),
        }
        for agent, wei in sorted(last.pnl_wei.items())
    }


def stories(reports: Sequence[BlockReport], wording: Wording) -> tuple[tuple[str, str], ...]:
    """Tell the first of each kind of thing that makes an orchestrator worth having."""
    told: dict[str, str] = {}
    by_id = {one.intent_id: one.intent for report in reports for one in report.intents}
    for report in reports:
        for verdict in report.verdicts:
            if is_netted_conflict(verdict):
                both = " against ".join(wording.intent(by_id[name]) for name in verdict.intents)
                told.setdefault(
                    "first netted conflict",
                    f"block {report.head.number}, verdict {verdict.verdict_id}: {both}. "
                    f"{verdict.why}",
                )
            elif not verdict.approved:
                told.setdefault(
                    "first veto",
                    f"block {report.head.number}, verdict {verdict.verdict_id}: "
                    f"{wording.veto(verdict)}",
                )
        for fill in report.fills:
            if is_merged(fill):
                told.setdefault("first shared transaction", _merged_story(report, fill))
            if is_lost_to_rival(fill):
                told.setdefault(
                    "first bundle lost to a rival", f"block {fill.block_number}: {fill.missed}"
                )
        for one in report.paused:
            if one.paused:
                told.setdefault(
                    "first pause",
                    f"block {report.head.number}: {one.agent} waits for verdict "
                    f"{', '.join(one.because)}; without the pause {one.flip_probability:.1%} of "
                    f"its decisions would flip (tolerance {one.tolerance:.0%}); predicted end "
                    f"block {one.until_block}",
                )
    return tuple((title, printable(text)) for title, text in told.items())


def routes(reports: Sequence[BlockReport]) -> tuple[tuple[str, Route], ...]:
    """Choose what landed and is worth a picture: the best cycle, and the route of most hops."""
    landed = {fill.verdict_id for report in reports for fill in report.fills if fill.landed}
    done = [
        (plan.target_block, plan.route)
        for report in reports
        for plan in report.plans
        if plan.verdict_id in landed
    ]
    cycles = [one for one in done if one[1].is_cycle]
    best = max(cycles, key=lambda one: one[1].profit, default=None)
    longest = max(done, key=lambda one: len(one[1].hops), default=None)
    shown = [("best cycle", best)] + [("most hops", longest)] * (longest != best)
    return tuple(
        (f"The {what} that landed, in block {one[0]}", one[1]) for what, one in shown if one
    )


def _merged_story(report: BlockReport, fill: Fill) -> str:
    """Tell what one transaction did for several verdicts, and how its gas was shared."""
    mine = [one for one in report.fills if one.tx_hashes == fill.tx_hashes]
    parts = ", ".join(
        f"{'+'.join(one.agents)} {one.gas_fee_wei // WEI_PER_GWEI:,} gwei" for one in mine
    )
    return (
        f"block {fill.block_number}: verdicts {' and '.join(fill.together)} in "
        f"{fill.tx_hashes[-1]}; gas shared: {parts}"
    )


def _cut(line: str) -> str:
    return printable(HASH.sub(r"\1…\2", line), most=LONGEST_LINE)
