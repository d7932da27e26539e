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

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter, filter_by_level
from structlog.typing import EventDict

from toolkit.model.chain import Mode
from toolkit.model.printable import printable


def log_of(name: str, mode: Mode | None = None) -> BoundLogger:
    """Return the logger of one part of the toolkit, its mode (if any) bound to every line."""
    # Not structlog's own factory, which prints unless somebody configures it.
    log: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            filter_by_level,
            _drop_unheard,
            _only_shown,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=BoundLogger,
    )
    return log if mode is None else log.bind(mode=mode.value)


def _drop_unheard(logger: logging.Logger, _method: str, event: EventDict) -> EventDict:
    if not logger.hasHandlers():
        raise structlog.DropEvent
    return event


def _only_shown(_logger: logging.Logger, _method: str, event: EventDict) -> EventDict:
    return {
        name: printable(value) if isinstance(value, str) else value for name, value in event.items()
    }
