"""What an agent handed over, checked field by field before anything trusts it."""

from collections.abc import Iterator, Mapping

import msgspec

from toolkit.model.chain import Address, Hash
from toolkit.model.decision import Intent, Leg, Reading
from toolkit.model.market import Hop, PoolKind, Route
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.market import Market

MAX_AMOUNT = 2**255
MAX_REASON = 500
MAX_LEGS = 8
MAX_HOPS = 8
MAX_INPUTS = 64
MAX_VALID_BLOCKS = 10_000
MAX_SHOWN = 10**80
MAX_RECORD_BYTES = 65_536
"""What one intent may take up in the journal; nine hops in eight legs take a tenth of it."""

MAX_PLAIN_TEXT, MAX_PLAIN_NUMBER = 4_096, 2**63
"""With texts no longer than that in all, 64 hops of such numbers take less, however escaped."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Intent).decode


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An intent as it came from an agent, with what the agent looked at and when.

    `malformed` says what was wrong with one that could not leave its agent's process.
    """

    agent: str
    intent: object
    malformed: str = ""
    touched: tuple[str, ...]
    block_number: int
    block_hash: Hash


def defect(
    proposal: Proposal, *, market: Market, limits: Limits, readings: Mapping[str, Reading]
) -> str:
    """Say what is wrong with an intent, with the value; "" if nothing is.

    Everything an agent can get wrong is looked at, types included: it may be anybody's code.
    """
    intent = proposal.intent
    if wrong := proposal.malformed or malformed(intent, agent=proposal.agent, market=market):
        return wrong
    assert isinstance(intent, Intent)
    return _size_defect(intent, market, limits, readings)


def malformed(intent: object, *, agent: str, market: Market) -> str:
    """Say why something is no intent at all, whatever the market is at; "" if it is one.

    What is none of these is the same after its way through the journal, and through a pipe.
    """
    if type(intent) is not Intent:
        return f"is a {type(intent).__name__}, not an Intent"
    return (
        next(_header_defects(intent, agent), "")
        or next(_legs_defects(intent, market), "")
        or _record_defect(intent)
    )


def _header_defects(intent: Intent, agent: str) -> Iterator[str]:
    if type(intent.agent) is not str or intent.agent != agent:
        yield f"speaks for another agent than {agent}"
    if not _is_amount(intent.edge_wei, low=-MAX_AMOUNT):
        yield f"edge_wei {_shown(intent.edge_wei)} is no integer amount"
    confidence = intent.confidence
    if type(confidence) not in {int, float} or not 0 <= confidence <= 1:  # NaN fails this too
        yield f"confidence {_shown(confidence)} is not in 0..1"
    if not _is_amount(intent.valid_for_blocks, low=1, high=MAX_VALID_BLOCKS):
        yield f"valid_for_blocks {_shown(intent.valid_for_blocks)} is not in 1..{MAX_VALID_BLOCKS}"
    if type(intent.reason) is not str or len(intent.reason) > MAX_REASON:
        yield f"reason is no text of at most {MAX_REASON} characters"
    inputs = intent.inputs
    if type(inputs) is not tuple or len(inputs) > MAX_INPUTS:
        yield f"inputs is no tuple of at most {MAX_INPUTS} keys"
    elif any(type(key) is not str for key in inputs):
        yield "inputs holds something else than text"


def _legs_defects(intent: Intent, market: Market) -> Iterator[str]:
    if type(intent.legs) is not tuple or not 0 < len(intent.legs) <= MAX_LEGS:
        yield f"legs is no tuple of 1..{MAX_LEGS} legs"
    for leg in intent.legs:
        if type(leg) is not Leg:
            yield "legs holds something else than a Leg"
        for name, token in (("token_in", leg.token_in), ("token_out", leg.token_out)):
            if type(token) is not str or not market.lists(token):
                yield f"{name} {_shown(token)} is not a token of this market"
        if not _is_amount(leg.amount_in, low=1):
            yield f"amount_in {_shown(leg.amount_in)} is no positive integer amount"
        if leg.route is not None:
            yield from _route_defects(leg.route, leg)
        elif leg.token_in == leg.token_out:
            yield "a leg into its own token needs its route"


def _route_defects(route: Route, leg: Leg) -> Iterator[str]:
    if type(route) is not Route or type(route.hops) is not tuple:
        yield "route is no Route"
    if not 0 < len(route.hops) <= MAX_HOPS or any(type(hop) is not Hop for hop in route.hops):
        yield f"route has no 1..{MAX_HOPS} hops"
    amounts: list[object] = [route.amount_out]
    for hop in route.hops:
        amounts += (hop.amount_in, hop.amount_out)
    for amount in amounts:
        if type(amount) is not int or not 0 < amount <= MAX_AMOUNT:
            yield "route holds an amount that is no positive integer"
    theirs = (route.token_in, route.token_out, route.amount_in)
    if theirs != (leg.token_in, leg.token_out, leg.amount_in):
        yield "route is not for its leg"


def _record_defect(intent: Intent) -> str:
    """Every field must survive the journal: what is decided on must be what a replay reads."""
    if is_plain(intent):
        return ""
    try:
        record = _encode(intent)
        same = _decode(record) == intent
    except Exception:  # noqa: BLE001 - a field may hold anybody's object, text that is none, ...
        same, record = False, b""
    if len(record) > MAX_RECORD_BYTES:
        return f"takes {len(record)} bytes, more than {MAX_RECORD_BYTES}"
    return "" if same else "holds a value of another type than its field's"


def is_plain(intent: Intent) -> bool:
    """Tell whether it holds nothing but short plain text and small numbers, of its fields' types.

    That survives for certain, so that most intents need not be written and read to find out. What
    the other checks have looked at is not looked at again.
    """
    texts = [intent.reason, *intent.inputs]
    for leg in intent.legs:
        if leg.route is None:
            continue
        route = leg.route
        texts += (route.token_in, route.token_out, route.block_hash)
        numbers: list[object] = [route.block_number]
        for hop in route.hops:
            texts += (hop.pool, hop.token_in, hop.token_out)
            numbers.append(hop.fee_ppm)
            if type(hop.kind) is not PoolKind or hop.key is not None:
                return False
        if type(route.amount_in) is not int:
            return False
        for one in numbers:
            if type(one) is not int or not 0 <= one < MAX_PLAIN_NUMBER:
                return False
    for text in texts:
        if type(text) is not str:
            return False
    whole = "".join(texts)
    return whole.isascii() and len(whole) <= MAX_PLAIN_TEXT


def _size_defect(
    intent: Intent, market: Market, limits: Limits, readings: Mapping[str, Reading]
) -> str:
    for leg in intent.legs:
        most = limits.max_trade_wei
        if leg.token_in == leg.token_out:
            most = limits.max_cycle_wei
        value = worth(leg, market, readings)
        if value is not None and value > most * limits.absurd_factor:
            return (
                f"amount_in {leg.amount_in} is worth {value} wei, more than "
                f"{limits.absurd_factor} times the limit {most}: a unit error"
            )
    return ""


def worth(leg: Leg, market: Market, readings: Mapping[str, Reading]) -> int | None:
    """Return what a leg puts in, in wei; None where its input token has no price."""
    return market.value_wei(Address(leg.token_in), leg.amount_in, readings)


def _is_amount(value: object, *, low: int, high: int = MAX_AMOUNT) -> bool:
    return type(value) is int and low <= value < high + 1


def _shown(value: object) -> str:
    """Show a value only where its text is the same in every process."""
    if type(value) is int and not -MAX_SHOWN < value < MAX_SHOWN:
        return f"of {value.bit_length()} bits"  # thousands of digits cannot even be printed
    if type(value) not in {int, float, str, bool}:
        return type(value).__name__
    return str(value)[:80].encode(errors="replace").decode()
