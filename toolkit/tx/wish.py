"""How a request is to be treated, as its author says it."""

import re
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from toolkit.model.chain import Address, Head
from toolkit.model.checks import require_flag, shown
from toolkit.model.errors import ConfigError
from toolkit.model.tx import ExternalSpend, TransactionRequest, Urgency

_MOST = 2**31
_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = msgspec.json.Encoder(order="sorted").encode


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one `send`."""

    urgency: Urgency
    deadline_blocks: int | None
    destinations: tuple[str, ...]
    simulate: bool
    idempotency_key: str | None
    priority: int
    after: str | None
    on_external_spend: ExternalSpend

    def __post_init__(self) -> None:
        """Refuse what the journal could not give back: a lane would not recover from it."""
        blocks, key = self.deadline_blocks, self.idempotency_key
        if blocks is not None and (type(blocks) is not int or not 0 < blocks < _MOST):
            raise ConfigError(
                f"deadline_blocks is {shown(blocks)}; give an integer from 1 to {_MOST - 1}"
            )
        if type(self.urgency) is not Urgency:
            raise ConfigError(f"urgency is {shown(self.urgency)}; give a member of Urgency")
        if key is not None and not _is_text(key):
            # Empty is what an unset variable gives: all who share it would be one transaction.
            raise ConfigError(f"idempotency_key is {shown(key)}; it must be text, and not empty")
        if type(self.priority) is not int or abs(self.priority) >= _MOST:
            raise ConfigError(
                f"priority is {shown(self.priority)}; it must be an integer of 32 bits"
            )
        require_flag("simulate", self.simulate)
        if self.after is not None and not _is_text(self.after):
            raise ConfigError(
                f"after is {shown(self.after)}; give what send returned, or a request id"
            )

    def deadline_block(self, head: Head) -> int | None:
        """The last block in which it may be mined."""
        return None if self.deadline_blocks is None else head.number + self.deadline_blocks


def _is_text(given: object) -> bool:
    """Whether a journal can keep it: a shell also gives bytes that are no text, as surrogates."""
    return type(given) is str and given != "" and not _SURROGATE.search(given)


def external_spend(given: ExternalSpend | str) -> ExternalSpend:
    """Read what a request does when a stranger spends its nonce.

    Raises:
        ConfigError: neither "report" nor "requeue".
    """
    try:
        return ExternalSpend(given)
    except (TypeError, ValueError):
        raise ConfigError(
            f"on_external_spend is {shown(given)}; give 'report' or 'requeue'"
        ) from None


def fingerprint(request: TransactionRequest, sender: Address, destinations: Sequence[str]) -> str:
    """Tell one payload from another, where both are given the same idempotency key.

    Whether the request names its sender, or leaves it to be found, makes no other payload of it.
    """
    payload = _encode([sender, destinations, msgspec.structs.replace(request, sender=None)])
    return blake2b(payload, digest_size=16).hexdigest()
