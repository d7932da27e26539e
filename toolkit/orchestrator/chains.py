"""Several chains under one roof: an orchestrator each, and each knows what the others hold."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from toolkit.model.chain import ZERO_ADDRESS, Address, HeadChange
from toolkit.model.checks import path_of, shown
from toolkit.model.errors import ConfigError, ToolkitError
from toolkit.orchestrator.breaking.control import (
    Status,
    chosen_of,
    listening,
    refuse_what_none_does,
)
from toolkit.orchestrator.capital.elsewhere import (
    Elsewhere,
    Link,
    held_elsewhere,
    pnl_elsewhere_wei,
)
from toolkit.orchestrator.capital.position import Position, seen_from
from toolkit.orchestrator.capital.profit import Books, account_wei
from toolkit.orchestrator.market import Market, Side
from toolkit.orchestrator.records import BlockReport, Command
from toolkit.orchestrator.runtime import Orchestrator

Assets = Sequence[Mapping[str, Address]]
"""One asset each: its token by the name of the chain."""


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """All chains together, in the terms of one: its tokens, wei of its native token.

    `held` is what agents hold of each base asset, added up as if a transfer cost nothing; `long`
    and `short` are what a trade on that side here has to reckon with: what adds up in full, plans
    underway included, and what offsets less haircut and transfer risk.
    """

    chain: str
    pnl_wei: int
    held: dict[Address, int]
    long: dict[Address, int]
    short: dict[Address, int]


class Chains:
    """Runs several orchestrators, one a chain, as one.

    Before each of its blocks every orchestrator is told what the others hold, gained and may do;
    that is journalled with the block, so each journal replays alone, byte for byte. Agents of one
    name are one agent: its limits hold over all chains, so chains decide one after the other.

    Args:
        orchestrators: by name of their chain, each with a session and journal of its own.
        links: how holdings come from one chain to another: for all pairs, or by (from, to).
        assets: which tokens are one asset; those of one symbol in the markets unless given, as
            the author listed them there.
        control: where `toolkit ctl` finds all of them at once; nowhere unless given.

    Raises:
        ConfigError: fewer than two chains, one journal for two of them, a pair without a link,
            an asset that names an unknown chain or token, or one symbol for two tokens.
    """

    def __init__(
        self,
        orchestrators: Mapping[str, Orchestrator],
        *,
        links: Link | Mapping[tuple[str, str], Link],
        assets: Assets | None = None,
        control: Path | str | None = None,
    ) -> None:
        _check_names(orchestrators)
        self._chains = dict(sorted(orchestrators.items()))
        _check_journals(self._chains)
        markets = {name: one.setup.market for name, one in self._chains.items()}
        known = _by_symbol(markets) if assets is None else assets
        _check_assets(known, markets)
        self._links = _links(links, tuple(self._chains))
        self._same = {
            (there, here): {
                asset[there]: asset[here] for asset in known if there in asset and here in asset
            }
            for there, here in self._links
        }
        self._told: dict[tuple[str, str], Elsewhere] = {}
        self._control = None if control is None else path_of("control", control)
        turn = asyncio.Lock()
        for name, one in self._chains.items():
            one.beside(self._news(name), turn)

    async def __aenter__(self) -> Self:
        """Start every orchestrator; if one cannot, those before it are left again."""
        async with AsyncExitStack() as stack:
            for one in self._chains.values():
                await stack.enter_async_context(one)
            if self._control is not None:
                await stack.enter_async_context(listening(self._control, self._chains))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave every orchestrator."""
        await self._stack.__aexit__(kind, error, trace)

    async def step(self, chain: str, change: HeadChange) -> BlockReport:
        """Decide one block of one chain; as `Orchestrator.step`."""
        return await self._named(chain).step(change)

    async def events(self) -> AsyncGenerator[tuple[str, BlockReport], None]:
        """Follow every chain's heads; yields (chain, what was decided), each as it comes.

        A chain that is slow holds up no other, except while its agents think: what they are granted
        counts for the next. What one raises ends all.
        """
        streams = {name: one.events() for name, one in self._chains.items()}
        waiting = {asyncio.ensure_future(_next(stream)): n for n, stream in streams.items()}
        try:
            while True:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda one: waiting[one]):
                    name = waiting.pop(task)
                    report = task.result()
                    waiting[asyncio.ensure_future(_next(streams[name]))] = name
                    yield name, report
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def halt(self, why: str, *, chain: str = "") -> None:
        """Halt every chain, or the one that is named, as `Orchestrator.halt` does.

        Raises:
            ConfigError: no such chain; or one could not be halted, which keeps no other from it.
        """
        self._order(Command(verb="halt", why=why), chain)

    def pause(self, agent: str, why: str = "", *, chain: str = "") -> None:
        """Pause an agent on every chain that runs it, as `Orchestrator.pause` does.

        Raises:
            ConfigError: no such chain, or none on which it could be.
        """
        why = why or "paused by a person"
        self._order(Command(verb="pause", target=agent, why=why), chain)

    def resume(self, agent: str, *, chain: str = "") -> None:
        """Take a `pause` back wherever there is one.

        Raises:
            ConfigError: no such chain, or none on which a person paused it.
        """
        self._order(Command(verb="resume", target=agent), chain)

    def reset(self, breaker: str, *, chain: str = "") -> None:
        """Close a breaker wherever it is open, also one that measures all chains together.

        Raises:
            ConfigError: no such chain, or none on which it is open.
        """
        self._order(Command(verb="reset", target=breaker), chain)

    def status(self, chain: str = "") -> dict[str, Status]:
        """Tell of each chain what may be done, by whom, and why not, by name."""
        return {name: one.status() for name, one in chosen_of(self._chains, chain).items()}

    def _order(self, command: Command, chain: str) -> None:
        chosen, refused = chosen_of(self._chains, chain), dict[str, str]()
        for name, one in chosen.items():
            try:
                one.give(command)
            except ToolkitError as error:
                refused[name] = str(error)  # told below, where it is one
        refuse_what_none_does(command.verb, refused, chosen)

    def elsewhere(self, chain: str) -> tuple[Elsewhere, ...]:
        """Return what the other chains hold, in the terms of `chain`, by name."""
        here = self._named(chain).position()
        return tuple(self._seen(other, chain, here) for other in self._chains if other != chain)

    def total(self, chain: str) -> Total:
        """Add all chains up, in the terms of one of them."""
        here, others = self._named(chain).position(), self.elsewhere(chain)
        market, now_s = here.market, here.observed_at
        own = _summed(here.books, market)
        pending = {Side.BUY: _summed(here.rising, market), Side.SELL: _summed(here.falling, market)}
        told = [books for one in others for books in (one.books, one.rising, one.falling)]
        tokens = {token for books in told for book in books.values() for token in book}
        tokens.update(own, *pending.values())
        bases = sorted(tokens - set(market.stables))
        counted = {
            side: {
                token: own.get(token, 0)
                + pending[side].get(token, 0)
                + held_elsewhere(others, token, side, now_s=now_s)
                for token in bases
            }
            for side in Side
        }
        return Total(
            chain=chain,
            pnl_wei=account_wei(here.books, market, here.readings) + pnl_elsewhere_wei(others),
            held={
                token: own.get(token, 0)
                + sum(book.get(token, 0) for one in others for book in one.books.values())
                for token in bases
            },
            long=counted[Side.BUY],
            short=counted[Side.SELL],
        )

    def _named(self, chain: str) -> Orchestrator:
        if chain not in self._chains:
            known = ", ".join(self._chains)
            raise ConfigError(f"no chain {chain!r} is run here; known are {known}")
        return self._chains[chain]

    def _seen(self, there: str, here: str, position: Position) -> Elsewhere:
        return seen_from(
            self._chains[there].position(),
            position,
            chain=there,
            same=self._same[there, here],
            link=self._links[there, here],
        )

    def _news(self, chain: str) -> Callable[[], tuple[Elsewhere, ...]]:
        """Tell a chain what has changed elsewhere since it was last told."""

        def news() -> tuple[Elsewhere, ...]:
            fresh = tuple(
                one for one in self.elsewhere(chain) if self._told.get((chain, one.chain)) != one
            )
            self._told.update(((chain, one.chain), one) for one in fresh)
            return fresh

        return news


def _summed(books: Books, market: Market) -> dict[Address, int]:
    """Add up what all agents have of each token, the native one as the wrapped."""
    summed: dict[Address, int] = {}
    for book in books.values():
        for token, amount in book.items():
            name = market.wrapped if token == ZERO_ADDRESS else token
            summed[name] = summed.get(name, 0) + amount
    return summed


async def _next(stream: AsyncIterator[BlockReport]) -> BlockReport:
    return await anext(stream)


def _check_names(orchestrators: Mapping[str, Orchestrator]) -> None:
    if not isinstance(orchestrators, Mapping):
        raise ConfigError(
            f"orchestrators is {shown(orchestrators)}; give a dictionary by names of chains"
        )
    for name, one in orchestrators.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a chain is named {shown(name)}; give a word")
        if not isinstance(one, Orchestrator):
            raise ConfigError(f"chain {name} is {shown(one)}; give an Orchestrator")
    if len(orchestrators) < 2:  # noqa: PLR2004 - one chain needs no roof
        raise ConfigError("give at least two chains, or run the one orchestrator alone")


def _check_journals(chains: Mapping[str, Orchestrator]) -> None:
    for name, one in chains.items():
        for other, second in chains.items():
            if name < other and one.journal is second.journal:
                raise ConfigError(
                    f"{name} and {other} share a journal: give each session one of its own"
                )


def _links(
    links: Link | Mapping[tuple[str, str], Link], chains: Sequence[str]
) -> dict[tuple[str, str], Link]:
    pairs = [(there, here) for there in chains for here in chains if there != here]
    if isinstance(links, Link):
        return dict.fromkeys(pairs, links)
    if not isinstance(links, Mapping):
        raise ConfigError(f"links is {shown(links)}; give a tk.Link, or one by (from, to)")
    for pair in links:
        if not isinstance(pair, tuple) or not list(map(type, pair)) == [str, str]:
            raise ConfigError(f"links names {shown(pair)}; name two chains: (from, to)")
    if missing := sorted(set(pairs) - set(links)):
        told = ", ".join(f"{there} to {here}" for there, here in missing)
        raise ConfigError(f"no link from {told}: say how long a transfer takes, and what it costs")
    if odd := sorted(set(links) - set(pairs)):
        told = ", ".join(f"{there} to {here}" for there, here in odd)
        raise ConfigError(f"a link from {told}, but the chains are {', '.join(chains)}")
    for there, here in pairs:
        if not isinstance(links[there, here], Link):
            raise ConfigError(
                f"the link from {there} to {here} is {shown(links[there, here])}; give a Link"
            )
    return {pair: links[pair] for pair in pairs}


def _by_symbol(markets: Mapping[str, Market]) -> Assets:
    """Take tokens of one symbol for one asset, where no market lists the symbol twice."""
    found: dict[str, dict[str, Address]] = {}
    for chain, market in markets.items():
        for token in market.tokens:
            if chain in found.setdefault(token.symbol, {}):
                raise ConfigError(
                    f"{chain} has two tokens {token.symbol!r}: say by `assets` which is which"
                )
            found[token.symbol][chain] = token.address
    return tuple(tokens for _, tokens in sorted(found.items()) if len(tokens) > 1)


def _check_assets(assets: Assets, markets: Mapping[str, Market]) -> None:
    if not isinstance(assets, Iterable):
        raise ConfigError(f"assets is {shown(assets)}; give a list, each a token by chain")
    taken: set[tuple[str, Address]] = set()
    for asset in assets:
        if not isinstance(asset, Mapping):
            raise ConfigError(f"an asset is {shown(asset)}; give its token by chain")
        for chain, token in sorted(asset.items()):
            if chain not in markets:
                raise ConfigError(f"an asset names chain {chain!r}; known are {', '.join(markets)}")
            markets[chain].decimals(token)
            if (chain, token) in taken:
                raise ConfigError(f"token {token} of {chain} is in two assets")
            taken.add((chain, token))
