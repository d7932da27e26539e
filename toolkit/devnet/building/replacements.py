"""What has become of each signer's replacement uuids, whatever order the requests arrive in."""

from collections import OrderedDict
from dataclasses import dataclass

from toolkit.model.chain import Address

MAX_UUIDS = 10_000  # one builder; the oldest is forgotten
BLOCKS_KEPT = 100  # after the last word on a uuid


@dataclass(slots=True, kw_only=True)
class _Word:
    """The last word on a uuid."""

    until: int
    nonce: int | None = None
    is_closed: bool = False


class Replacements:
    """Highest nonce of a uuid wins; a closed uuid takes nothing any more."""

    def __init__(self) -> None:
        self._words: OrderedDict[tuple[Address, str], _Word] = OrderedDict()

    def admits(self, owner: Address, uuid: str, nonce: int | None, *, head: int) -> bool:
        """Whether a bundle is the newest of its uuid; if so, older ones have to go."""
        word = self._word(owner, uuid, head)
        if word.is_closed:
            return False
        if nonce is not None:
            if word.nonce is not None and nonce <= word.nonce:
                return False
            word.nonce = nonce
        return True

    def close(self, owner: Address, uuid: str, *, head: int) -> None:
        """Let nothing more of this uuid in."""
        self._word(owner, uuid, head).is_closed = True

    def advance(self, head: int) -> None:
        """Forget what was said too long ago."""
        while self._words:
            oldest = next(iter(self._words))
            if self._words[oldest].until >= head and len(self._words) <= MAX_UUIDS:
                return
            del self._words[oldest]

    def _word(self, owner: Address, uuid: str, head: int) -> _Word:
        key = owner, uuid
        word = self._words.setdefault(key, _Word(until=head + BLOCKS_KEPT))
        word.until = head + BLOCKS_KEPT
        self._words.move_to_end(key)
        if len(self._words) > MAX_UUIDS:
            self._words.popitem(last=False)
        return word
