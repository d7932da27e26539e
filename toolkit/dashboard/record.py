"""What a run looked like, block by block: the one source of the live table and the report."""

import msgspec

from toolkit.model.market import Route, Token


class BlockRow(msgspec.Struct, frozen=True, kw_only=True):
    """One block as a person wants to read it; prices and P&L are floats for display only."""

    number: int
    timestamp: int
    base_fee_wei: int
    price: float  # WETH in USDC on the main pool
    intended: tuple[str, ...] = ()
    netted: tuple[str, ...] = ()  # wishes that met: who, against whom, how much
    vetoed: tuple[str, ...] = ()
    landed: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    pnl_usd: dict[str, float] = {}
    cost_wei: int = 0  # gas and tips of our transactions in this block


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run: rows, what was counted, and which invariants held."""

    mode: str
    seed: int
    market: str  # where prices came from, in words
    rows: tuple[BlockRow, ...]
    invariants: dict[str, bool]
    counts: dict[str, int]
    agents: dict[str, dict[str, float | int | str]]  # intents, approved, landed; P&L
    stories: tuple[tuple[str, str], ...] = ()  # (title, text): a conflict, a loss, a pause
    routes: tuple[tuple[str, Route], ...] = ()  # (title, route): what is worth a picture
    tokens: tuple[Token, ...] = ()  # of the routes
    seconds: float = 0.0
    version: int = 1

    def summary(self) -> bytes:
        """Return the `summary.json` document (contract section 3)."""
        document = {
            "version": self.version,
            "mode": self.mode,
            "seed": self.seed,
            "blocks": len(self.rows),
            "market": self.market,
            "invariants": self.invariants,
            "counts": self.counts,
            "agents": self.agents,
            "stories": [{"title": title, "text": text} for title, text in self.stories],
            "seconds": round(self.seconds, 2),
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
