"""Fees as of one head, asked for once."""

import asyncio
from typing import Protocol

from toolkit.model.chain import Hash, Head
from toolkit.model.tx import FeeQuote, Urgency
from toolkit.tx.tasks import together


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
                    # At once: an oracle may ask a distant node for each.
                    found = await together(self._quote(urgency, head) for urgency in Urgency)
                    names = (urgency.name for urgency in Urgency)
                    self._head, self._quotes = head.hash, dict(zip(names, found, strict=True))
        return self._quotes

    async def _quote(self, urgency: Urgency, head: Head) -> FeeQuote:
        return await self._oracle.quote(urgency, head=head)
