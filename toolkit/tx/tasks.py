"""Concurrent calls whose first failure is raised as itself."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all, return their results in order; if one fails, cancel the others and raise it.

    Unlike `asyncio.gather` nothing keeps running behind a failure, and unlike a bare TaskGroup
    callers see the error that happened and not a group around it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
