"""A submitter on a chain of its own, with honest relays that a test can break."""

import itertools
from typing import Any

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.relay import Relay
from toolkit.bundles.submitter import BundleHandle, Submitter
from toolkit.chain.signer import LocalSigner
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.bundle import BundleResult
from toolkit.model.chain import Address, Hash, Mode
from toolkit.model.tx import SignedTransaction
from toolkit.tx.handle import BundleLease


class Settled:
    """Lanes that remember what they were told."""

    def __init__(self) -> None:
        self.results: list[tuple[BundleLease, BundleResult]] = []
        self.leases: dict[str, BundleLease] = {}
        self.own_under_way: dict[tuple[Address, int], int] = {}
        self.signed: dict[tuple[Address, int], frozenset[Hash]] = {}

    async def settle_bundle(self, lease: BundleLease, result: BundleResult) -> None:
        self.results.append((lease, result))

    def live_lease(self, lease_id: str) -> BundleLease | None:
        return self.leases.get(lease_id)

    @property
    def delegations(self) -> "Settled":
        return self

    def under_way(self, account: Address, nonce: int) -> int:
        return self.own_under_way.get((account, nonce), 0)

    def spenders(self, sender: Address, nonce: int) -> frozenset[Hash] | None:
        return self.signed.get((sender, nonce))


class Rig:
    """A submitter on a chain, with honest relays that a test can break."""

    def __init__(self, chain: Any, servers: list[Any], signer: LocalSigner, **fields: Any) -> None:
        self.chain = chain
        self.servers = servers
        self.lanes = Settled()
        self.backend = fields.pop("backend", None) or MemoryBackend()
        self._own = fields.get("own", frozenset({signer.address}))
        self._simulator = fields.get("simulator")
        timeouts = fields.pop("timeouts", itertools.repeat(5.0))
        self.relays = [
            Relay(
                server.url,
                name=f"builder{number}",
                auth=RelayAuth(signer),
                profile=fields.get("profiles", {}).get(number),
                timeout_s=timeout,
            )
            for number, (server, timeout) in enumerate(zip(servers, timeouts, strict=False))
        ]
        self._begin()

    async def restart(self) -> tuple[BundleHandle, ...]:
        """Die, and begin again with nothing but the journal; what was live then."""
        await self.close()
        self._begin()
        return await self.submitter.recover()

    def _begin(self) -> None:
        self.journal = Journal(self.backend)
        self.submitter = Submitter(
            self.relays,
            node=self.chain.node,
            scheduler=self.lanes,
            journal=self.journal,
            mode=Mode.DEV,
            own=self._own,
            simulator=self._simulator,
        )

    async def close(self) -> None:
        await self.submitter.close()
        await self.journal.close()


def lease_of(*signed: SignedTransaction, target_block: int = 1) -> BundleLease:
    return BundleLease(
        lease_id="lease-1", sender=signed[0].sender, signed=signed, target_block=target_block
    )
