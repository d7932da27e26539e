"""One bundle to many relays at once: each on its own deadline, none waiting for another."""

import asyncio
from collections.abc import Callable, Sequence

from toolkit.bundles.evidence import RelayAnswer
from toolkit.bundles.profiles import Dialect
from toolkit.bundles.relay import Relay, Sealed
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address
from toolkit.model.errors import RelayError, RelayRejected

Answering = asyncio.Task[RelayAnswer]


async def fan_out(
    relays: Sequence[Relay],
    bundle: Bundle,
    *,
    newest_head: Callable[[], int],
    wanted: Callable[[], bool] = lambda: True,
) -> tuple[Answering, ...]:
    """Start sending and return at once; a relay's error becomes its answer.

    The body is written and signed once for each dialect and reputation key. The caller owns the
    tasks and ends them with `answers_of`. There are none, and nothing is sent, where the bundle is
    no longer wanted once it is signed.
    """
    sealed: dict[tuple[Dialect, Address | None], Sealed | None] = {}
    for relay in relays:
        key = _key(relay)
        if key not in sealed:
            try:
                sealed[key] = await relay.seal_bundle(bundle)
            except RelayRejected:  # each of them will say so itself, in its own name
                sealed[key] = None
    if not wanted():
        return ()
    return tuple(
        asyncio.create_task(_ask(relay, bundle, sealed[_key(relay)], newest_head))
        for relay in relays
    )


async def first_acceptance(tasks: Sequence[Answering]) -> None:
    """Wait until one relay took the bundle, or all have spoken."""
    pending: set[Answering] = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        # A head that ends the bundle meanwhile gives the silent ones up.
        if any(not task.cancelled() and task.result().accepted for task in done):
            return


def answers_so_far(tasks: Sequence[Answering]) -> tuple[RelayAnswer, ...]:
    """The answers that are there, in the order of the relays."""
    return tuple(task.result() for task in tasks if task.done() and not task.cancelled())


async def answers_of(
    tasks: Sequence[Answering], *, relays: Sequence[Relay], newest_head: int
) -> tuple[RelayAnswer, ...]:
    """Every relay's answer; those still silent are given up, which is an answer too."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(
        RelayAnswer(
            relay=relay.name,
            accepted=False,
            head_number=newest_head,
            why=f"{relay.name} gave no answer before block {newest_head}",
            unsure=True,
        )
        if task.cancelled()
        else task.result()
        for relay, task in zip(relays, tasks, strict=True)
    )


def _key(relay: Relay) -> tuple[Dialect, Address | None]:
    return relay.profile.dialect, relay.auth.address if relay.auth else None


async def _ask(
    relay: Relay, bundle: Bundle, sealed: Sealed | None, newest_head: Callable[[], int]
) -> RelayAnswer:
    try:
        known = await relay.send_bundle(bundle, sealed=sealed)
    except RelayError as error:
        return RelayAnswer(
            relay=relay.name,
            accepted=False,
            head_number=newest_head(),
            why=str(error),
            unsure=not isinstance(error, RelayRejected),
        )
    return RelayAnswer(
        relay=relay.name, accepted=True, head_number=newest_head(), bundle_hash=known
    )
