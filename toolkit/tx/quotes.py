"""Fees as of one head, asked for once."""

import asyncio
from typing import Protocol

from toolkit.model.chain import Hash, Head
from toolkit.model.tx import FeeQuote, Urgency


class FeeOracle(Protocol):
    """Quotes fees (`toolkit.gas.oracle.GasOracle` is one)."""

    async def quote(self, urgency: Urgency = Urgency.SOON, *, head: Head | None = None) -> FeeQuote:
        """Fees for inclusion within `urgency.blocks` blocks after `head`."""
        ...


class HeadQuotes:
    """One quote for each urgency and head: an estimate over the fee history is dear."""

    def __init__(self, oracle: FeeOracle) -> None:
        self._oracle = oracle
        self._asking = asyncio.Lock()
        self._head: Hash | None = None
        self._quotes: dict[str, FeeQuote] = {}

    async def at(self, head: Head) -> dict[str, FeeQuote]:
        """Quotes by the urgency's name.

        Raises:
            NodeError: the oracle's node tells nothing.
        """
        if self._head != head.hash:
            async with self._asking:
                if self._head != head.hash:
                    quotes = {u.name: await self._oracle.quote(u, head=head) for u in Urgency}
                    self._head, self._quotes = head.hash, quotes
        return self._quotes
