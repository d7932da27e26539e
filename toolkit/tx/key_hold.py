"""The leases of a session's keys: taken before its journal is opened, given back after."""

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from toolkit.model.chain import Address
from toolkit.tx.leases import Lease, Leases


class KeyHold:
    """Takes the lease of every account on entry and gives them back on exit.

    Until somebody says which accounts have `unsettled` requests, all are taken to have some: their
    next holder must then bring this journal.
    """

    def __init__(
        self,
        leases: str | Path | Leases,
        *,
        chain_id: int,
        accounts: Sequence[Address],
        journal: Path | None,
    ) -> None:
        self.unsettled: Collection[Address] = tuple(accounts)
        self._given = leases
        self._chain_id = chain_id
        self._accounts = accounts
        self._journal = journal
        self._taken: list[Lease] = []

    def __enter__(self) -> Self:
        """Take them.

        Raises:
            LeaseLost, ConfigError: as `Leases.acquire`; then none is kept.
        """
        given = self._given
        self._leases = given if isinstance(given, Leases) else Leases(given)
        try:
            for account in self._accounts:
                lease = self._leases.acquire(self._chain_id, account, self._journal)
                self._taken.append(lease)
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()

    def check(self) -> None:
        """Raise LeaseLost unless every lease is still ours."""
        for lease in self._taken:
            lease.check()

    def _give_back(self) -> None:
        try:
            while self._taken:
                lease = self._taken.pop()
                lease.release(settled=lease.sender not in self.unsettled)
        finally:
            if self._leases is not self._given:
                self._leases.close()
