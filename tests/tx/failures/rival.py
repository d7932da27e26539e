"""A process that wants to send from a key which other processes want too.

Run as `python rival.py URL DIRECTORY NAME COUNT [takeover] [stop=STAGE:N]`, with the private key in
the environment's RIVAL_KEY. It tries until it gets the key, sends COUNT transfers of which the n-th
is worth n wei, each with an idempotency key of its own, and prints a line for what happens:
`holds`, `sent KEY HASH`, `ended KEY OUTCOME HASH`, or the error that ended it. With `stop` it stops
itself when it reaches that stage for the N-th time.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import toolkit.session
from toolkit.chain.signer import LocalSigner
from toolkit.journal.sqlite import SqliteBackend
from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, LeaseLost, ToolkitError
from toolkit.model.tx import TransactionRequest, Visibility
from toolkit.session import Session, connect
from toolkit.tx.leases import Leases
from toolkit.tx.scheduler import TransactionScheduler
from toolkit.tx.stages import Stage

BOB = Address("0x00000000000000000000000000000000000000b0")
RETRY_S = 0.05


def say(*words: object) -> None:
    """Tell whoever reads."""
    print(*words, flush=True)


def stop_at(name: str, times: int) -> None:
    """Let every scheduler made from here on stop the process at that stage."""
    reached: Counter[Stage] = Counter()

    def on_stage(stage: Stage) -> None:
        reached[stage] += 1
        if stage is Stage[name] and reached[stage] == times:
            os.kill(os.getpid(), signal.SIGSTOP)

    made = partial(TransactionScheduler, on_stage=on_stage)
    setattr(toolkit.session, "TransactionScheduler", made)  # noqa: B010 - mypy knows it as a class


async def send_all(session: Session, name: str, count: int) -> None:
    """Send everything, then wait for every end."""
    sent = {}
    for number in range(1, count + 1):
        key = f"{name}-{number}"
        sent[key] = await session.send(
            TransactionRequest(to=BOB, value=number),
            visibility=Visibility.PUBLIC,
            idempotency_key=key,
        )
        say("sent", key, sent[key].tx_hash)
    for key, one in sent.items():
        outcome = await one.wait()
        await session.journal.commit()
        say("ended", key, type(outcome).__name__, outcome.tx_hash)


async def try_once(url: str, directory: Path, name: str, count: int, *, takeover: bool) -> bool:
    """Whether the key was ours, and everything is sent."""
    leases = Leases(directory, takeover=takeover)
    path = directory / "journal.db"
    try:
        journal = SqliteBackend(path, takeover=takeover) if takeover else path
        holds = connect(
            url, signer=LocalSigner(os.environ["RIVAL_KEY"]), journal=journal, leases=leases
        )
        session = await holds.__aenter__()
    except (LeaseLost, ConfigError) as error:
        say("refused", type(error).__name__)
        leases.close()
        return False
    try:
        say("holds")
        await send_all(session, name, count)
    except BaseException:  # safe because it is raised again unless the session took it
        if not await holds.__aexit__(*sys.exc_info()):
            raise
    else:
        await holds.__aexit__(None, None, None)
    finally:
        leases.close()
    return True


async def main() -> None:
    """Try until the key is ours."""
    url, directory, name, count, *words = sys.argv[1:]
    for word in words:
        if word.startswith("stop="):
            stage, times = word.removeprefix("stop=").split(":")
            stop_at(stage, int(times))
    try:
        while not await try_once(  # noqa: ASYNC110 - it waits for another process
            url, Path(directory), name, int(count), takeover="takeover" in words
        ):
            await asyncio.sleep(RETRY_S)
    except ToolkitError as error:
        say(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    asyncio.run(main())
