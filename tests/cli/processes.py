"""The Anvils a command of ours has started, and whether they are gone."""

import os
import subprocess
import time


def anvils(parent: int) -> dict[int, str]:
    """The command line of each, by process id, which is also its group's."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "ppid=,pgid=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return {int(row[1]): row[2] for row in rows if row[0] == str(parent) and "anvil" in row[2]}


def anvil_groups(parent: int) -> list[int]:
    """Their process groups."""
    return list(anvils(parent))


def still_there(groups: list[int]) -> list[str]:
    """Whoever is left of these groups."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pgid=,stat=,command="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [row[2] for row in rows if int(row[0]) in groups and not row[1].startswith("Z")]


def wait_until_gone(groups: list[int], *, seconds: float = 10) -> list[str]:
    """Whoever is left after at most so long."""
    deadline = time.monotonic() + seconds
    while (left := still_there(groups)) and time.monotonic() < deadline:
        os.sched_yield()
    return left
