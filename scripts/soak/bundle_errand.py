"""One life of a bot that goes private first, in a process of its own, until it is killed.

`python -m scripts.soak.bundle_errand` with an `Errand` as JSON on stdin; prints "done" when every
payment has ended. Each payment has a key and an amount of its own; so has each life's bundle.
"""

import asyncio
import sys
from contextlib import suppress

import msgspec

from toolkit.bundles.submitter import BundleHandle
from toolkit.chain.signer import LocalSigner
from toolkit.model.chain import Address
from toolkit.model.errors import BundleRefused, CallReverted, ConfigError
from toolkit.model.tx import TransactionRequest, Visibility
from toolkit.session import Session, connect

PAYEE = Address("0x" + "f1" * 20)
BUNDLED = 10**6
"""From this amount on it is a bundle's."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What one life is to do; `life` numbers it."""

    rpc_url: str
    relays: tuple[str, ...]
    journal: str
    key: str
    payments: int
    private_blocks: int
    life: int


async def live(errand: Errand) -> None:
    """Ask for every payment again, send a bundle of this life, and wait for all that is open."""
    opened = connect(
        errand.rpc_url,
        signer=LocalSigner(errand.key),
        relays=errand.relays,
        journal=errand.journal,
        private_blocks=errand.private_blocks,
    )
    async with opened as session:
        session.follow()
        sent = [
            await session.send(
                TransactionRequest(to=PAYEE, value=number + 1),
                visibility=Visibility.PRIVATE_THEN_PUBLIC,
                idempotency_key=f"payment-{number}",
            )
            for number in range(errand.payments)
        ]
        bundle = await _bundle(session, BUNDLED + errand.life)
        for one in sent:
            await one.wait()
        if bundle is not None:
            await bundle.wait()
    print("done")


async def _bundle(session: Session, value: int) -> BundleHandle | None:
    draft = session.bundle().call(TransactionRequest(to=PAYEE, value=value))
    # Its block came meanwhile, or a former life's bundle is live for another one.
    with suppress(BundleRefused, CallReverted, ConfigError):
        handle = await session.submit(draft, blocks=3, tip_wei=10**9)
        assert isinstance(handle, BundleHandle), "a devnet is no dry run"
        return handle
    return None


if __name__ == "__main__":
    asyncio.run(live(msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)))
