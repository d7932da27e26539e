"""What people order is checked for sense, journalled where it belongs, and never lost."""

import msgspec
import pytest

from tests.orchestrator.worlds import DAI_MARKET, shipped
from toolkit.model.errors import ConfigError
from toolkit.orchestrator import records
from toolkit.orchestrator.arguments import agent_setup
from toolkit.orchestrator.board.intake import MOST_COMMANDS, Intake
from toolkit.orchestrator.breaking.orders import MAX_WHY, Orders
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.limits import Limits
from toolkit.orchestrator.records import Command, Setup

HALT = Command(verb="halt", why="enough")


def orders() -> tuple[Orders, list[Command]]:
    """Orders to three agents, and what they write into the journal."""
    agents = shipped()
    setup = Setup(
        agents=tuple(agent_setup(agent) for agent in sorted(agents, key=lambda a: a.name)),
        limits=Limits(),
        pauses=(),
        market=DAI_MARKET,
    )
    written: list[Command] = []

    def write(kind: str, data: msgspec.Struct) -> None:
        assert (records.COMMAND, True) == (kind, isinstance(data, Command))
        assert isinstance(data, Command)
        written.append(data)

    return Orders(Core(setup, agents), write, Intake().commands), written


def test_a_command_is_journalled_when_it_is_given() -> None:
    """Between two blocks nothing stands between a command and the journal."""
    given, written = orders()
    given.reopen()
    given.give(HALT)

    assert [HALT] == written
    assert (HALT,) == given.waiting == given.take()


def test_a_command_during_a_decision_follows_behind_its_entries() -> None:
    """It belongs to the next block, so it is written after this one's."""
    given, written = orders()
    given.reopen()
    taken = given.take()
    given.give(HALT)
    before = list(written)
    given.reopen()

    assert ((), [], [HALT]) == (taken, before, written)
    assert (HALT,) == given.take()


def test_what_an_earlier_run_journalled_comes_first_and_is_not_written_again() -> None:
    """Commands that a dead process could not act on stand before all others."""
    given, written = orders()
    given.reopen()
    given.give(HALT)
    earlier = Command(verb="pause", target="momentum", why="before")
    given.again((earlier,))

    assert [HALT] == written
    assert (earlier, HALT) == given.take()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (Command(verb="pause", target="momentun"), "no agent 'momentun'; there are arbitrage, mom"),
        (Command(verb="resume", target="momentum"), "momentum was not paused by anybody"),
        (Command(verb="reset", target="gass"), "no breaker 'gass'; there are agents, clock"),
        (Command(verb="reset", target="gas"), "breaker gas is not open; open: none"),
        (Command(verb="reset", target="all"), "breaker all is not open; open: none"),
        (Command(verb="halt", why="x" * (MAX_WHY + 1)), "the reason has 501 characters"),
    ],
)
def test_what_makes_no_sense_is_refused(command: Command, said: str) -> None:
    """Each with the name that was given and those there are, and nothing is journalled."""
    given, written = orders()
    given.reopen()

    with pytest.raises(ConfigError, match=said):
        given.give(command)
    assert [] == written


def test_sense_is_judged_by_what_already_waits() -> None:
    """What was ordered a moment ago can be taken back before any block; twice it is refused."""
    given, _ = orders()
    pause = Command(verb="pause", target="momentum", why="look")
    given.give(pause)
    with pytest.raises(ConfigError, match="momentum is paused already"):
        given.give(pause)
    given.give(Command(verb="resume", target="momentum"))
    given.give(HALT)
    given.give(Command(verb="reset", target="halt"))

    with pytest.raises(ConfigError, match="breaker halt is not open"):
        given.give(Command(verb="reset", target="halt"))
    assert {} == given.stopped()


def test_a_halt_that_waits_is_known() -> None:
    """What is decided and not sent yet must be kept back from the moment of the order."""
    given, _ = orders()
    before = given.halts
    given.give(HALT)

    assert (False, True) == (before, given.halts)


def test_too_many_are_refused_but_never_a_halt() -> None:
    """Commands that nobody can act on do not fill the memory; whoever wants to stop is heard."""
    given, _ = orders()
    for n in range(MOST_COMMANDS):
        verb = ("pause", "resume")[n % 2]
        given.give(Command(verb=verb, target="momentum", why="x"))  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="64 commands wait for the next block"):
        given.give(Command(verb="pause", target="momentum", why="x"))
    given.give(HALT)
    given.give(HALT)

    assert given.halts
    assert MOST_COMMANDS + 1 == len(given.waiting)
