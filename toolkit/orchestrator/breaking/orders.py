"""What people order: checked for sense, journalled at once, in force from the next block on."""

from collections.abc import Callable, Mapping

import msgspec

from toolkit.model.errors import ConfigError
from toolkit.orchestrator import records
from toolkit.orchestrator.board.bus import Channel
from toolkit.orchestrator.board.intake import MOST_COMMANDS
from toolkit.orchestrator.breaking.hazards import Hazard
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.records import Command

EVERY = "all"
"""Names every breaker that is open, where one is to be reset."""
MAX_WHY = 500


class Orders:
    """Commands between being given and being decided on.

    A command is in the journal when `give` returns, unless a block is being decided just then:
    it follows behind that block's entries, for it belongs to the next one.
    """

    def __init__(
        self,
        core: Core,
        write: Callable[[str, msgspec.Struct], object],
        channel: Channel[Command],
    ) -> None:
        """Say whose commands these are, how an entry is journalled, and where commands queue."""
        self._core = core
        self._write = write
        self._channel = channel
        self._inbox = channel.inbox()
        self._unwritten: list[Command] = []
        self._is_open = False

    @property
    def waiting(self) -> tuple[Command, ...]:
        """Commands that no block has been decided with."""
        return tuple(message.payload for message in self._inbox.waiting)

    def give(self, command: Command) -> None:
        """Take a command.

        Raises:
            ConfigError: it names nothing there is, or orders what is so already; or too many wait.
        """
        if wrong := self._senseless(command):
            raise ConfigError(wrong)
        is_full = len(self._inbox) >= MOST_COMMANDS
        if is_full and command.verb == "halt" and Hazard.HALT.value in self._open_breakers():
            return  # that is so already
        if is_full and command.verb != "halt":  # nobody has to wait with that
            raise ConfigError(
                f"{MOST_COMMANDS} commands wait for the next block: give this one then"
            )
        self._channel.publish(command)
        if self._is_open:
            self._write(records.COMMAND, command)
        else:
            self._unwritten.append(command)

    def again(self, commands: tuple[Command, ...]) -> None:
        """Take over what an earlier run had journalled and could not act on any more."""
        for command in (*commands, *(message.payload for message in self._inbox.take())):
            self._channel.publish(command)

    def take(self) -> tuple[Command, ...]:
        """Return what the block that is decided now has to obey; the journal is closed to more."""
        self._is_open = False
        return tuple(message.payload for message in self._inbox.take())

    def reopen(self) -> None:
        """Let commands into the journal again, first those that had to wait."""
        self._is_open = True
        unwritten, self._unwritten = self._unwritten, []
        for command in unwritten:
            self._write(records.COMMAND, command)

    @property
    def halts(self) -> bool:
        """Whether a halt has been ordered that no block was decided with yet."""
        return "halt" in self._open_breakers() - _tripped(self._core)

    def stopped(self) -> Mapping[str, str]:
        """Which agents are paused by a person once all that waits is obeyed, and why."""
        stopped = dict(self._core.stopped)
        for command in self.waiting:
            if command.verb == "pause":
                stopped[command.target] = command.why
            elif command.verb == "resume":
                stopped.pop(command.target, None)
        return stopped

    def _open_breakers(self) -> set[str]:
        opened = _tripped(self._core)
        for command in self.waiting:
            if command.verb == "halt":
                opened.add(Hazard.HALT.value)
            elif command.verb == "reset":
                opened = set() if command.target == EVERY else opened - {command.target}
        return opened

    def _senseless(self, command: Command) -> str:
        if len(command.why) > MAX_WHY:
            return f"the reason has {len(command.why)} characters; at most {MAX_WHY}"
        if command.verb == "halt":
            return ""
        if command.verb == "reset":
            return self._senseless_reset(command.target)
        names = sorted(agent.name for agent in self._core.setup.agents)
        if command.target not in names:
            return f"there is no agent {command.target!r}; there are {', '.join(names)}"
        is_stopped = command.target in self.stopped()
        if command.verb == "resume" and not is_stopped:
            return f"{command.target} was not paused by anybody"
        return (
            f"{command.target} is paused already" if command.verb == "pause" and is_stopped else ""
        )

    def _senseless_reset(self, name: str) -> str:
        known = sorted(hazard.value for hazard in Hazard)
        if name not in {*known, EVERY}:
            return f"there is no breaker {name!r}; there are {', '.join(known)}, and {EVERY}"
        opened = sorted(self._open_breakers())
        if name in opened or (name == EVERY and opened):
            return ""
        return f"breaker {name} is not open; open: {', '.join(opened) or 'none'}"


def _tripped(core: Core) -> set[str]:
    return {one.hazard.value for one in core.breakers.tripped}
