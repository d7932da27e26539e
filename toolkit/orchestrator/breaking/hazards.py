"""What may go wrong with the whole, and the bounds from which it has gone wrong."""

from enum import Enum

import msgspec

from toolkit.model.checks import require_integer
from toolkit.model.errors import ConfigError
from toolkit.model.units import PPM

MOST = 2**63 - 1


class Hazard(Enum):
    """What a breaker watches for; its value is the breaker's name."""

    DRAWDOWN = "drawdown"  # gains lost again, or capital
    ORACLE = "oracle"  # sources of one fact disagree, or what is held has no price
    GAS = "gas"  # the base fee is many times the usual
    REORG = "reorg"  # the chain takes back more than it usually does
    SIMULATION = "simulation"  # fills are not what was predicted
    MESSAGES = "messages"  # more comes in than can be believed, or what must not be lost was
    CLOCK = "clock"  # the head's time and ours differ
    AGENTS = "agents"  # too many agents are dead
    HALT = "halt"  # a person said so


class BreakerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """From where on each breaker opens, what it then permits, and how it closes. All finite.

    A breaker opens with the very block that shows the evidence. While one of `halting` is open
    nothing is approved; while any other is, only what lowers exposure. One of `manual` stays open
    until a person resets it. Every other becomes half-open after `cooldown_blocks` without
    evidence: what raises exposure is then admitted up to `probe_wei` in all at a time, and after
    `probes` plans have landed as predicted it closes. Evidence opens it again.

    Attributes:
        drawdown_ppm: how far the accounts' worth may fall behind its best, in ppm of the opening
            capital at today's prices; everything in native token, so what the capital's own price
            does counts for nothing.
        deviation_bps: between fresh prices of one token in different stables, or from one source.
        gas_factor: base fee over the median of the last `gas_window` blocks.
        reorg_depth: blocks taken back at once.
        reorg_blocks: blocks taken back within the last `reorg_window`.
        shortfall_bps: by which one fill may give less than predicted.
        reverts: mined but reverted plans among the last `revert_window` that were mined.
        messages: that come in from one head to the next.
        clock_skew_s: between a head's timestamp and our clock, either way.
        dead_ppm: of all agents: more than this share quarantined or silent, at least two.
        lost_blocks: answers in a row that did not come, after which an agent counts as dead.
        essential: agents of which each one's death opens the breaker.
        off: breakers that never open by evidence.
    """

    drawdown_ppm: int = 50_000
    deviation_bps: int = 200
    gas_factor: int = 10
    gas_window: int = 256
    reorg_depth: int = 3
    reorg_blocks: int = 8
    reorg_window: int = 64
    shortfall_bps: int = 100
    reverts: int = 3
    revert_window: int = 16
    messages: int = 20_000
    clock_skew_s: int = 60
    dead_ppm: int = 500_000
    lost_blocks: int = 3
    essential: tuple[str, ...] = ()
    cooldown_blocks: int = 32
    probe_wei: int = 5 * 10**16
    probes: int = 2
    halting: tuple[Hazard, ...] = (
        Hazard.REORG,
        Hazard.SIMULATION,
        Hazard.CLOCK,
        Hazard.HALT,
    )
    manual: tuple[Hazard, ...] = (Hazard.DRAWDOWN, Hazard.AGENTS, Hazard.HALT)
    off: tuple[Hazard, ...] = ()

    def __post_init__(self) -> None:
        """Check each bound."""
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if not isinstance(value, tuple):
                require_integer(f"breakers.{field}", value, least=1, most=MOST)
        for field in ("drawdown_ppm", "dead_ppm"):
            require_integer(f"breakers.{field}", getattr(self, field), least=1, most=PPM)
        for field in ("halting", "manual", "off"):
            if odd := [one for one in getattr(self, field) if not isinstance(one, Hazard)]:
                known = ", ".join(hazard.value for hazard in Hazard)
                raise ConfigError(f"breakers.{field} holds {odd[0]!r}; give hazards of: {known}")
        if Hazard.HALT not in self.halting or Hazard.HALT not in self.manual:
            raise ConfigError("breakers: a person's halt halts, until a person resets it")


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and the bound it has reached, in the unit that `why` names."""

    why: str
    measured: int
    bound: int
