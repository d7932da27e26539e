"""Where bytes go in a life: nothing leaves a process before it is durable."""

from collections.abc import Sequence

import msgspec

from toolkit.journal.log import Entry
from toolkit.journal.memory import MemoryBackend
from toolkit.model.tx import Attempt, Exposure
from toolkit.testing.fakes import Mempool, World
from toolkit.tx.events import Accepted


class Durable(MemoryBackend):
    """Knows which bytes are durable: nothing else may leave the process."""

    def __init__(self) -> None:
        super().__init__()
        self.text = bytearray()
        self.accepted: set[str] = set()

    def write(self, entries: Sequence[Entry]) -> None:
        """Keep them, and which bytes and requests they are about."""
        super().write(entries)
        for entry in entries:
            if entry.kind == "tx.prepared":
                self.text += entry.data
            elif entry.kind == "tx.request":
                self.accepted.add(msgspec.json.decode(entry.data, type=Accepted).request_id)


class Checked(Mempool):
    """A mempool that takes only what was durable before it came."""

    def __init__(
        self,
        world: World,
        backend: Durable,
        name: str = "public",
        exposure: Exposure = Exposure.PUBLIC,
    ) -> None:
        super().__init__(world, name=name, exposure=exposure)
        self._backend = backend

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take the attempt, if it was durable before."""
        assert attempt.signed.hash.encode() in self._backend.text, "sent before it was durable"
        await super().send(attempt, target_block=target_block)
