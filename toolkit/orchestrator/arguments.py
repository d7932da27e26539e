"""What an author hands to an orchestrator, looked at before anything is made of it.

Python would take a dictionary for limits, or a text for a place to run in, and go on with
something that nobody meant: here each is refused with one line.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar

import msgspec

from toolkit.model.checks import require_integer, shown
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.hosting.asking import told
from toolkit.orchestrator.market import Market
from toolkit.orchestrator.pausing.pauses import Feed
from toolkit.orchestrator.records import AgentSetup, Setup
from toolkit.reasoning.agent import Agent

T = TypeVar("T")
K = TypeVar("K", bound=str)

MOST_PRIORITY = 10**9
FLASH = "flash/"


def given(name: str, value: T | None, kind: type[T]) -> T:
    """Return an argument of a kind, made with its defaults where there is none.

    Raises:
        ConfigError: it is something else.
    """
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is {shown(value)}; give {kind.__name__}(...)")
    return value


def listed(
    name: str,
    values: Iterable[T],
    kind: type[T],
    order: Callable[[T], tuple[str, ...]] | None = None,
) -> tuple[T, ...]:
    """Return a list of a kind, in order where one is asked for.

    Raises:
        ConfigError: it is no list, or has something else in it.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ConfigError(f"{name} is {shown(values)}; give a list of {kind.__name__}")
    found = tuple(values)
    for one in found:
        if not isinstance(one, kind):
            raise ConfigError(f"{name} holds {shown(one)}; give {kind.__name__} only")
    return found if order is None else tuple(sorted(found, key=order))


def by_name(name: str, values: Mapping[K, T] | None) -> Mapping[K, T]:
    """Return what is given by names, or nothing.

    Raises:
        ConfigError: it is no dictionary, or a key of it is no text.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} is {shown(values)}; give a dictionary by names")
    for key in values:
        if not isinstance(key, str):
            raise ConfigError(f"{name} names {shown(key)}; give texts")
    return values


def able(name: str, value: object, *methods: str) -> None:
    """Check that an argument, where there is one, does what will be asked of it.

    Raises:
        ConfigError: it has not all of these methods.
    """
    missing = [] if value is None else [m for m in methods if not callable(getattr(value, m, None))]
    if missing:
        raise ConfigError(f"{name} is {shown(value)}, which has no method {', '.join(missing)}")


def known_priority(priority: Mapping[str, int] | None, agents: Iterable[Agent]) -> dict[str, int]:
    """Return the priorities by name, sorted.

    Raises:
        ConfigError: names an agent that does not run here, or one is no whole number.
    """
    asked, names = by_name("priority", priority), sorted(agent.name for agent in agents)
    if unknown := sorted(set(asked) - set(names)):
        raise ConfigError(f"priority names {', '.join(unknown)}; the agents are {', '.join(names)}")
    for name, value in asked.items():
        require_integer(f"priority of {name}", value, least=-MOST_PRIORITY, most=MOST_PRIORITY)
    return dict(sorted(asked.items()))


def check_keys(perception: object, setup: Setup, agents: Iterable[Agent]) -> None:
    """Check that somebody supplies every reading that the set-up names.

    Only where the perception tells what it may give, as its `keys`: the one on a chain does.

    Raises:
        ConfigError: a key that nobody supplies, with the nearest that somebody does; or what an
            agent `reads` is no tuple of keys.
    """
    named = [*_named_keys(setup), *(one for agent in agents for one in _read_by(agent))]
    known: Collection[str] | None = getattr(perception, "keys", None)
    if known is None:
        return
    for who, key in named:
        if key not in known:
            near = "".join(f" (nearest: {one})" for one in get_close_matches(key, known, n=1))
            raise ConfigError(
                f"{who} names the reading {shown(key)}, which nobody supplies{near}; there are "
                f"{', '.join(sorted({_family(one) for one in known}))}"
            )


def _named_keys(setup: Setup) -> Iterator[tuple[str, str]]:
    for source in setup.market.prices:
        yield "the market", source.key
    for rule in setup.facts:
        for key in rule.told_by:
            yield f"the rule of fact {shown(rule.key)}", key
    for pause in setup.pauses:
        if isinstance(pause.on, Feed):
            yield f"a pause of {pause.agent}", pause.on.key


def _read_by(agent: Agent) -> Iterator[tuple[str, str]]:
    """Name what an agent says that it reads; one that says nothing may read everything."""
    try:
        reads = getattr(agent, "reads", ())
    except Exception as error:  # noqa: BLE001 - a property is anybody's code
        raise ConfigError(f"what {agent.name} reads cannot be told: it {told(error)}") from None
    if not isinstance(reads, tuple | list | set | frozenset) or not all(
        isinstance(one, str) for one in reads
    ):
        raise ConfigError(f"what {agent.name} reads is {shown(reads)}; give a tuple of keys")
    return ((agent.name, key) for key in reads)


def _family(key: str) -> str:
    """A key as it is listed: there may be hundreds of lenders."""
    return f"{FLASH}<lender>/<token>" if key.startswith(FLASH) else key


def agent_setup(agent: Agent) -> AgentSetup:
    """Describe an agent so that it can be made again; one without fields is only named.

    Raises:
        ConfigError: it is a struct that cannot be written down.
    """
    cls = type(agent)
    is_value = isinstance(agent, msgspec.Struct)
    try:
        parameters = msgspec.json.encode(agent, order="sorted") if is_value else b"null"
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"agent {agent.name!r} has fields that cannot be journalled ({error}): keep numbers, "
            "texts, lists and structs in them, or make it a plain class"
        ) from None
    return AgentSetup(
        name=agent.name,
        kind=f"{cls.__module__}:{cls.__qualname__}",
        parameters=msgspec.Raw(parameters),
    )


def as_journalled(setup: Setup) -> Setup:
    """Return a set-up as a journal gives it back: a 5 for 5.0 would make a checkpoint another's.

    Raises:
        ConfigError: something in it is not of its kind.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(setup), type=Setup)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"the set-up cannot be journalled: {error}") from None


def check_parts(  # as `Orchestrator`
    session: object,
    market: object,
    perception: object,
    gateway: object,
    policy: object,
    host: object,
    clock: object,
) -> None:
    """Check that whatever does something for an orchestrator can do it.

    Raises:
        ConfigError: it cannot.
    """
    if not hasattr(session, "journal") or not hasattr(session, "mode"):
        raise ConfigError(f"session is {shown(session)}; give what `async with tk.connect` gives")
    if not isinstance(market, Market):
        raise ConfigError(f"market is {shown(market)}; give a Market")
    able("perception", perception, "observe", "agreed")
    able("gateway", gateway, "submit", "settle")
    able("policy", policy, "weights")
    able("host", host, "start", "ask", "stop")
    able("clock", clock, "__call__")
