"""Processes that want the same key: leases under rivals that live, hang, die and come back."""

import os
import random
import tempfile
from pathlib import Path

from toolkit.model.chain import Address
from toolkit.model.errors import ConfigError, LeaseLost
from toolkit.testing.coverage import Coverage
from toolkit.tx.leases import STALE_S, Holder, Lease, Leases, this_process

KEY = Address("0x" + "ab" * 20)


class Rival:
    """One process as the others see it: it beats, hangs, or is dead with its id used again."""

    def __init__(self, life: "RivalLife", name: str, holder: Holder, *, takeover: bool) -> None:
        self.name, self.holder, self.takeover = name, holder, takeover
        self.dead = False
        self.heard_s = -1e9
        self.leases = Leases(
            life.folder, holder=holder, takeover=takeover, clock=lambda: life.now_s
        )
        self.lease: Lease | None = None

    def lives(self, now_s: float) -> bool:
        """Whether it can be told from a dead one."""
        return not self.dead and now_s - self.heard_s <= STALE_S


class RivalLife:
    """Seeded takings, takeovers, silences and returns of several processes and one key."""

    steps = 40

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - a life is drawn, not a secret
        self.folder = folder
        self.now_s = 1000.0
        self.coverage = Coverage()
        here = this_process()
        self.rivals = [
            Rival(
                self,
                f"far-{place}",
                Holder(pid=7, started="once", place=f"machine-{place}"),
                takeover=place % 3 == 2,  # noqa: PLR2004 - every third is told to take over
            )
            for place in range(3)
        ]
        self.near = Rival(self, "near", here, takeover=False)
        self.rivals.append(self.near)
        gone = Holder(pid=os.getpid(), started="before this one", place=here.place)
        self.ghost = Rival(self, "ghost", gone, takeover=False)
        self.ghost.dead = True
        self.owner: Rival | None = None  # whose lease is in force
        self.journal: str | None = None  # where the lane is that something may be under way in
        self._highest = 0

    def run(self) -> None:
        """Live it.

        Raises:
            AssertionError: two hold the key, a living holder was robbed, or a dead one was not.
        """
        try:
            for _ in range(self.steps):
                action = self.rng.choices(
                    [self._take, self._wait, self._beat, self._release, self._haunt],
                    [8, 4, 5, 2, 2],
                )[0]
                self.coverage.actions[action.__name__.removeprefix("_")] += 1
                action()
                self._check()
                self.coverage.events += 1
        finally:
            for one in (*self.rivals, self.ghost):
                one.leases.close()
        self.coverage.close(most_in_flight=self.steps, faults=self.coverage.faults.total())

    def _take(self) -> None:
        rival = self.rng.choice(self.rivals)
        if rival is not self.owner:
            self._acquire(rival, self.rng.choice(["a.db", "a.db", "a.db", "b.db"]))

    def _haunt(self) -> None:
        """A process takes the key and dies at once; its id is soon another process's."""
        if self.owner is not self.ghost:
            self._acquire(self.ghost, "a.db")

    def _acquire(self, rival: Rival, name: str) -> None:
        before, journal = self.owner, str((self.folder / name).resolve())
        elsewhere = self.journal not in {None, journal}
        lives = before is not None and before.lives(self.now_s)
        lease, refused = None, ""
        try:
            lease = rival.leases.acquire(1, KEY, journal)
        except (LeaseLost, ConfigError) as error:
            refused = str(error)
            self.coverage.ends[f"refused: {type(error).__name__}"] += 1
        if lease is None:
            # Only on the same machine can it be told at once that a process is dead.
            gone = before is not None and before.dead and rival is self.near
            assert not gone or elsewhere, f"{rival.name}: a dead process keeps the key: {refused}"
            free = before is None and not elsewhere
            assert not free, f"{rival.name}: nobody has the key: {refused}"
            return
        if lives:
            assert rival.takeover, f"{rival.name} has robbed a holder that lives"
            assert not elsewhere, f"{rival.name} has robbed a holder with another journal"
            self.coverage.faults["taken over"] += 1
        assert rival.takeover or not elsewhere, f"{rival.name} has left a journal behind"
        assert lease.token > self._highest, f"token {lease.token} was given before"
        self._highest, self.owner, self.journal = lease.token, rival, journal
        rival.lease, rival.heard_s = lease, self.now_s

    def _wait(self) -> None:
        """Time passes; who is not heard of for long may be taken over."""
        self.now_s += self.rng.choice([1.0, 4.0, STALE_S + 1.0])
        self.coverage.faults["silence"] += 1

    def _beat(self) -> None:
        for rival in self.rivals:
            if self.rng.random() < 0.7:  # noqa: PLR2004 - most are well
                rival.leases.beat()
                if rival is self.owner:
                    rival.heard_s = self.now_s

    def _release(self) -> None:
        owner = self.owner
        if owner is None or owner.lease is None or owner.dead:
            return
        settled = self.rng.random() < 0.5  # noqa: PLR2004 - a coin
        owner.lease.release(settled=settled)
        self.owner, owner.lease = None, None
        if settled:
            self.journal = None

    def _check(self) -> None:
        """Who was overtaken finds out at once, and whoever has the key keeps it."""
        for rival in (*self.rivals, self.ghost):
            if rival.lease is None:
                continue
            try:
                rival.lease.check()
            except LeaseLost:
                assert rival is not self.owner, f"{rival.name} lost what nobody took"
                rival.lease = None
                self.coverage.ends["overtaken"] += 1
            else:
                assert rival is self.owner, f"{rival.name} was overtaken and goes on"


def live_among_rivals(seed: int) -> Coverage:
    """One seeded life of a key that several processes want."""
    with tempfile.TemporaryDirectory() as folder:
        life = RivalLife(seed, Path(folder))
        try:
            life.run()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    return life.coverage
