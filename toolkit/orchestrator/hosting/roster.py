"""The agents of a run, looked at before anything trusts them."""

import inspect
from collections.abc import Iterable, Mapping

from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError
from toolkit.orchestrator.hosting.asking import told
from toolkit.reasoning.agent import Agent

MAX_NAME = 64


def roster(agents: Iterable[Agent]) -> tuple[Agent, ...]:
    """Return the agents by name.

    Raises:
        ConfigError: something that is no agent, with what it lacks; two agents of one name.
    """
    if isinstance(agents, str | Mapping) or not isinstance(agents, Iterable):
        raise ConfigError(f"agents is {shown(agents)}; give a list of agents")
    agents = tuple(agents)
    for agent in agents:
        if wrong := _wrong(agent):
            raise ConfigError(f"{type(agent).__name__} is no agent: {wrong}")
    names = sorted(agent.name for agent in agents)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ConfigError(f"two agents share a name: {', '.join(twice)}; give each its own")
    return tuple(sorted(agents, key=lambda agent: agent.name))


def _wrong(agent: object) -> str:
    if isinstance(agent, type):
        return f"it is the class {agent.__name__}; make one of it"
    try:
        name, again = getattr(agent, "name", None), getattr(agent, "name", None)
        on_block = getattr(agent, "on_block", None)
    except Exception as error:  # noqa: BLE001 - a property is anybody's code too
        return f"its name cannot be read: it {' '.join(told(error).split())}"
    if type(name) is not str or name != again:
        return f"its name must be a text that stays the same, not {type(name).__name__}"
    return _wrong_name(name) or _wrong_method(name, on_block)


def _wrong_name(name: str) -> str:
    if not (0 < len(name) <= MAX_NAME and name.isprintable() and name.strip() == name):
        return f"its name must be 1..{MAX_NAME} printable characters without spaces around"
    if "/" in name or name == "*":
        return f"its name {name!r} holds what ids of intents are made with: / or *"
    return ""


def _wrong_method(name: str, on_block: object) -> str:
    if not callable(on_block):
        return f"{name!r} has no method on_block(view)"
    if inspect.iscoroutinefunction(on_block) or inspect.isasyncgenfunction(on_block):
        return (
            f"on_block of {name!r} is async; an agent does no I/O, so it is a plain method that "
            "returns intents"
        )
    return ""
