"""Events for whoever listens, through the standard library's logging; every line has the mode.

Nothing is installed and nothing is printed: without a handler an event costs one look, and also a
warning stays silent, where the standard library would print it by itself. A record's message is
the event with its fields as a dict, which structlog's `ProcessorFormatter` renders.

    INFO     session_opened      chain_id, accounts
             attempt_broadcast   lane, nonce, hash, destination
             request_ended       lane, request, outcome, hash
             request_reopened    lane, request, hash
             bundle_submitted    bundle, block, relays
             bundle_ended        bundle, block, result, cause
             block_decided       block, intents, approved, vetoed, plans
             slot_sealed         block, builder, bundles
             kernel_compiling    kernel
             kernel_compiled     kernel
             pool_regained       pool, block
    WARNING  bundle_end_revised  bundle, result, cause
             agent_quarantined   agent, why
             breaker_changed     breaker, phase, state, why
             pool_set_aside      pool, why
    ERROR    lane_halted         lane, why
             journal_lost        why

Kernels and pools belong to no session: their events have no mode.

What names a private transaction here is its hash; its bytes, keys and addresses of nodes and
relays never are. Texts are `printable`: whatever a name or reason repeats of others, it is one line
that a terminal only shows.
"""

import logging
from collections.abc import Mapping

from toolkit.model.chain import Mode
from toolkit.model.printable import printable

_CALLER = 3  # frames up, so that a record names who tells the event


class Log:
    """Tells the events of one part of the toolkit; what is bound stands in each of them.

    Not structlog's logger: with it come rich and pygments, which nobody needs in order to send.
    """

    __slots__ = ("_bound", "_logger")

    def __init__(self, logger: logging.Logger, bound: Mapping[str, object]) -> None:
        self._logger, self._bound = logger, bound

    def bind(self, **fields: object) -> "Log":
        """Return a logger of the same part with more in each line."""
        return Log(self._logger, {**self._bound, **fields})

    def info(self, event: str, **fields: object) -> None:
        """Tell what goes as it should."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell what somebody may want to look at."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell what does not go on without somebody."""
        self._tell(logging.ERROR, event, fields)

    def _tell(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        logger = self._logger
        # Without a handler the standard library would print a warning by itself.
        if not logger.isEnabledFor(level) or not logger.hasHandlers():
            return
        told = {
            name: printable(value) if isinstance(value, str) else value
            for name, value in (*self._bound.items(), *fields.items(), ("event", event))
        }
        # By these two structlog's `ProcessorFormatter` knows what it may render.
        marks = {"_logger": logger, "_name": logging.getLevelName(level).lower()}
        logger.log(level, told, extra=marks, stacklevel=_CALLER)


def log_of(name: str, mode: Mode | None = None) -> Log:
    """Return the logger of one part of the toolkit, its mode (if any) bound to every line."""
    return Log(logging.getLogger(name), {} if mode is None else {"mode": mode.value})
