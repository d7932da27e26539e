import asyncio
from typing import Any

import pytest

from toolkit.chain.driver import HeadDriver
from toolkit.chain.heads import HeadFollower
from toolkit.chain.node import Node
from toolkit.model.chain import HeadChange
from toolkit.model.errors import JournalUnavailable, NodeError


class Digest:
    """Remembers what it was fed; fails as often as it is told to."""

    def __init__(self, failures: int = 0, error: type[Exception] = NodeError) -> None:
        self.seen: list[int] = []
        self.fed = asyncio.Event()
        self._failures, self._error = failures, error

    async def __call__(self, change: HeadChange) -> None:
        if self._failures:
            self._failures -= 1
            raise self._error("not now")
        self.seen += [head.number for head in change.added]
        self.fed.set()
        self.fed = asyncio.Event()


def driver_of(node: Node, digest: Any) -> HeadDriver:
    """A driver that polls often."""
    return HeadDriver(HeadFollower(node, poll_s=0.001), digest)


async def test_a_started_driver_feeds_every_change(node: Node) -> None:
    """Once started, each block is digested once, in order, without further calls."""
    digest = Digest()
    driver = driver_of(node, digest)
    async with driver.owned():
        driver.start()
        driver.start()
        for number in range(4):
            while number not in digest.seen:
                await digest.fed.wait()
            await node.rpc.call("evm_mine")

    assert [0, 1, 2, 3] == digest.seen[:4]
    assert sorted(set(digest.seen)) == digest.seen


async def test_a_change_that_the_node_would_not_let_us_digest_is_fed_again(node: Node) -> None:
    """Errors of the node are passing: the same change is digested until it is."""
    digest = Digest(failures=3)
    driver = driver_of(node, digest)
    async with driver.owned():
        driver.start()
        while not digest.seen:
            await digest.fed.wait()

    assert [0] == digest.seen[:1]


@pytest.mark.parametrize(
    ("failures", "error"), [(100, NodeError), (1, JournalUnavailable), (1, ZeroDivisionError)]
)
async def test_what_does_not_pass_ends_the_block(
    node: Node, failures: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lasting error, and any that is not the node's, ends who waits inside, and is raised."""
    monkeypatch.setattr("toolkit.chain.driver._BACKOFF_S", 0.0)
    driver = driver_of(node, Digest(failures=failures, error=error))

    async def wait_for_ever() -> None:
        async with driver.owned():
            driver.start()
            await asyncio.Event().wait()

    with pytest.raises(error, match="not now"):
        await wait_for_ever()
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


@pytest.mark.parametrize("own", [None, ValueError("its own")])
async def test_a_failure_as_the_block_ends_is_no_cancellation(
    node: Node, own: Exception | None
) -> None:
    """What the block raises itself is raised; if nothing, then what ended the following."""
    failing = asyncio.Event()

    async def digest(_: HeadChange) -> None:
        failing.set()
        raise JournalUnavailable("not now")

    async def end_at_that_moment() -> None:
        driver = driver_of(node, digest)
        async with driver.owned():
            driver.start()
            await failing.wait()
            if own is not None:
                raise own

    with pytest.raises(JournalUnavailable if own is None else ValueError):
        await end_at_that_moment()
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


async def test_a_task_group_that_fails_with_the_following_is_no_cancellation(node: Node) -> None:
    """A group inside may leave a cancellation uncounted; its own error comes through all the same.

    So a bot whose sends fail because its key was taken over meets that error and may go on.
    """
    begun = asyncio.Event()

    async def digest(_: HeadChange) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise JournalUnavailable("not now") from None

    async def fail() -> None:
        await begun.wait()
        raise ValueError("its own")

    async def work() -> None:
        driver = driver_of(node, digest)
        async with driver.owned():
            driver.start()
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await work()


async def test_cancelling_the_owner_stays_a_cancellation(node: Node) -> None:
    """A cancellation from outside passes through unchanged."""
    driver = driver_of(node, Digest())

    async def wait_for_ever() -> None:
        async with driver.owned():
            driver.start()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_by_hand_a_failed_change_comes_first_again(node: Node) -> None:
    """What an error cut short is digested before anything newer, and nothing twice."""
    digest = Digest(failures=1)
    driver = driver_of(node, digest)
    async with driver.owned():
        with pytest.raises(NodeError):
            await driver.advance()
        await node.rpc.call("evm_mine")
        change = await driver.advance()

    assert change is not None
    assert [0, 1] == digest.seen


async def test_a_driver_in_hand_cannot_be_started(node: Node) -> None:
    """Once the caller advances by hand, only the caller does."""
    digest = Digest()
    driver = driver_of(node, digest)
    async with driver.owned():
        await driver.advance()
        driver.start()
        await node.rpc.call("evm_mine")
        for _ in range(50):
            await node.chain_id()

    assert [0] == digest.seen
