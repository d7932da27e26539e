"""The honest model of a chain, where the scheduler's tests have always found it."""

from toolkit.testing.fakes import (
    ETHER,
    FRIEND,
    GWEI,
    OWNER,
    REVERTING,
    InlineJournal,
    Mempool,
    World,
)

__all__ = ["ETHER", "FRIEND", "GWEI", "OWNER", "REVERTING", "InlineJournal", "Mempool", "World"]
