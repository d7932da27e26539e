"""Where agents run changes nothing of what is decided; what goes wrong there stays there."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.orchestrator.odd_agents import (
    Chatterbox,
    Dies,
    Follower,
    Glutton,
    Loop,
    Misfit,
    Sleeper,
    SlowOnce,
    Teller,
    Unready,
)
from tests.orchestrator.worlds import pair
from toolkit.journal.log import Entry, Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.chain import ZERO_ADDRESS, Hash, Head, HeadChange, Mode
from toolkit.model.errors import ConfigError
from toolkit.orchestrator import records
from toolkit.orchestrator.audit.replay import decoded, replay
from toolkit.orchestrator.hosting.asking import Question, Thought, ask, fresh_view
from toolkit.orchestrator.hosting.containment import Dependence
from toolkit.orchestrator.hosting.hosting import MEBIBYTE, Budget, Hosting, Hosts
from toolkit.orchestrator.mainnet import USDC, WETH
from toolkit.orchestrator.records import BlockReport, Lost
from toolkit.orchestrator.runtime import Orchestrator
from toolkit.perception.perceived import Perceived, perceived
from toolkit.perception.pools import pools_reading
from toolkit.perception.prices import price_readings
from toolkit.pools.snapshot import Snapshot
from toolkit.reasoning.agent import Agent
from toolkit.testing.decide import MAIN_POOL, OFFLINE_MARKET, given, price_series
from toolkit.testing.paper import GivenBlock

CAPITAL = {WETH.address: 50 * 10**18, USDC.address: 10**11, ZERO_ADDRESS: 10**20}
SHORT = Budget(seconds=0.4)
PROCESS, THREAD, INLINE = Hosting.PROCESS, Hosting.THREAD, Hosting.INLINE


def market(count: int) -> list[GivenBlock]:
    """A price that rises and falls."""
    past = [2000.0 + (n % 7) for n in range(8)]
    return [
        given(
            1000 + n,
            pools=[pair(MAIN_POOL, 2000.0 + 3 * (n % 5) - n, 5000)],
            readings=price_series(past, before=1000) if n == 0 else (),
        )
        for n in range(count)
    ]


class Desk:
    """A session without a chain; it is its own perception."""

    def __init__(self, blocks: Sequence[GivenBlock]) -> None:
        self.journal = Journal(MemoryBackend())
        self.mode = Mode.DRY
        self.blocks = blocks
        self.last: Snapshot | None = None

    async def advance(self) -> HeadChange | None:
        """No heads of its own."""
        return None

    async def agreed(self, blocks: Mapping[int, Hash], head: Head) -> int:  # noqa: ARG002 - seam
        """Return the newest: nothing that was known is gone."""
        return max(blocks)

    async def observe(self, change: HeadChange) -> Perceived:
        """Look at a block."""
        block = next(b for b in self.blocks if b.head == change.added[-1])
        seen = perceived(
            block.snapshot,
            since=self.last,
            fee=block.fee,
            balances=dict(CAPITAL),
            readings=(
                *block.readings,
                pools_reading(block.snapshot),
                *price_readings(block.snapshot, OFFLINE_MARKET.prices),
            ),
        )
        self.last = block.snapshot
        return seen


async def run(
    agents: Sequence[Agent],
    *,
    hosting: Mapping[str, Hosting] | None = None,
    budgets: Mapping[str, Budget] | None = None,
    dependences: Sequence[Dependence] = (),
    blocks: int = 6,
) -> tuple[list[BlockReport], list[Entry]]:
    """Let agents decide over a few blocks; nothing is sent."""
    desk = Desk(market(blocks))
    orchestrator = Orchestrator(
        desk,
        agents=agents,
        market=OFFLINE_MARKET,
        perception=desk,
        lenders=(),
        hosting=hosting,
        budgets=budgets,
        dependences=dependences,
    )
    async with orchestrator:
        reports = [
            await orchestrator.step(HeadChange(added=(block.head,))) for block in desk.blocks
        ]
    entries = list(desk.journal.entries())
    await desk.journal.close()
    return reports, entries


def lost(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Whose answers did not come, and why."""
    found = [decoded(entry, Lost) for entry in entries if entry.kind == records.LOST]
    return [(one.agent, one.why) for one in found]


def everybody() -> list[Agent]:
    """Honest agents, one that fails, and two that hand over what is none."""
    return [
        Follower(),
        Teller(),
        Misfit("raises", name="falls", since=1002),
        Misfit("float amount", name="floats", since=1001),
        Misfit("wrong decimals", name="large", since=1003),
    ]


@pytest.mark.parametrize("where", [THREAD, PROCESS])
async def test_the_journal_is_the_same_wherever_agents_run(where: Hosting) -> None:
    """Inline, on threads and in processes: every entry has the same bytes and the same hash."""
    names = [agent.name for agent in everybody()]

    inside, entries = await run(everybody())
    outside, others = await run(everybody(), hosting=dict.fromkeys(names, where))

    assert [(e.kind, e.data, e.hash) for e in entries] == [(e.kind, e.data, e.hash) for e in others]
    assert {"falls", "floats", "large"} == set(outside[-1].quarantined)
    assert any(report.intents for report in inside)


async def test_an_endless_loop_in_a_process_is_ended() -> None:
    """Its budget ends it, twice; then it is not asked any more, and its process is gone."""
    agents: list[Agent] = [Loop(since=1001), Follower()]

    reports, entries = await run(agents, hosting={"loop": PROCESS}, budgets={"loop": SHORT})
    _, without = await run([Follower()])

    assert [("loop", "late: no answer within 0.4 s")] * 2 == lost(entries)
    assert "no answer in 2 blocks in a row" in reports[2].quarantined["loop"]
    assert {} == reports[1].quarantined
    assert _intents(without) == _intents(entries)
    assert replay(entries, agents=agents).identical


async def test_an_endless_loop_on_a_thread_is_noticed_and_stopped() -> None:
    """A watchdog gives up on it in time, and its Python code ends."""
    before = threading.active_count()

    _, entries = await run([Loop(since=1001)], hosting={"loop": THREAD}, budgets={"loop": SHORT})
    for thread in threading.enumerate():
        if thread.name == "agent loop":
            thread.join(timeout=20)

    assert ("loop", "late: no answer within 0.4 s") == lost(entries)[0]
    assert 2 == len(lost(entries))
    assert before >= threading.active_count()


async def test_a_thread_that_cannot_be_stopped_is_not_asked_again() -> None:
    """While it sleeps, its agent is busy: the next question is not put."""
    slow = Sleeper(seconds=1.0)

    _, entries = await run([slow], hosting={"sleeper": THREAD}, budgets={"sleeper": SHORT})

    first, second = lost(entries)[:2]
    assert ("sleeper", "late: no answer within 0.4 s") == first
    assert ("sleeper", "still busy with block 1000") == second


async def test_an_inline_agent_with_a_budget_is_late_afterwards() -> None:
    """It cannot be stopped, but what it says too late is not acted on."""
    reports, entries = await run(
        [Sleeper(seconds=0.05)], budgets={"sleeper": Budget(seconds=0.01)}, blocks=1
    )

    ((name, why),) = lost(entries)
    assert "sleeper" == name
    assert why.startswith("late: answered after 0.")
    assert () == reports[0].intents


async def test_an_agent_whose_process_died_gets_a_new_one() -> None:
    """One answer is lost; the next block is answered."""
    reports, entries = await run([Dies(since=1001)], hosting={"dies": PROCESS}, blocks=4)

    assert [("dies", "its process ended: signal 9")] == lost(entries)
    assert [1, 0, 1, 1] == [len(report.intents) for report in reports]
    assert {} == reports[-1].quarantined


@pytest.mark.parametrize("where", [PROCESS, THREAD])
async def test_a_late_answer_is_never_taken_for_a_later_one(where: Hosting) -> None:
    """Who is late once is asked about the next block, and it is that which it answers."""
    hosts = Hosts(
        [SlowOnce(seconds=0.8)],
        market=OFFLINE_MARKET,
        hosting={"slow-once": where},
        budgets={"slow-once": SHORT},
    )
    await hosts.start()
    late = await hosts.ask([question(SlowOnce(), number=1000)])
    for thread in threading.enumerate():
        if thread.name == "agent slow-once":
            await asyncio.to_thread(thread.join)  # it cannot be stopped while it sleeps
    answer = await hosts.ask([question(SlowOnce(), number=1001)])
    await hosts.stop()

    assert Thought(lost="late: no answer within 0.4 s") == late["slow-once"]
    (intent,) = answer["slow-once"].intents
    assert "of block 1001" == getattr(intent, "reason", "")


async def test_an_agent_that_hoards_memory_is_given_up() -> None:
    """Its address space is bounded; the orchestrator's is not touched."""
    reports, entries = await run(
        [Glutton(), Follower()],
        hosting={"glutton": PROCESS},
        budgets={"glutton": Budget(seconds=20, memory_bytes=150 * MEBIBYTE)},
    )

    assert [("glutton", "ran out of memory")] * 2 == lost(entries)
    assert ["glutton"] == sorted(reports[-1].quarantined)


async def test_what_an_agent_prints_is_no_output(capfd: pytest.CaptureFixture[str]) -> None:
    """A process agent's prints go to stderr: `--json` promises one document on stdout."""
    await run([Chatterbox()], hosting={"chatterbox": PROCESS}, blocks=1)

    out, err = capfd.readouterr()
    assert ("", True) == (out, "not your output" in err)


async def test_an_agent_that_cannot_be_made_elsewhere_is_refused_at_the_start() -> None:
    """With its own reason; the other agents' processes are ended."""
    agents: list[Agent] = [Unready(), Follower()]
    hosts = Hosts(agents, market=OFFLINE_MARKET, hosting={"unready": PROCESS, "follower": PROCESS})

    with pytest.raises(ConfigError, match=r"unready cannot be made.*RuntimeError: only at home"):
        await hosts.start()

    assert {} == hosts.pids


def test_an_agent_that_cannot_be_told_to_a_process_is_refused() -> None:
    """A class inside a function has no name that another process could find."""

    class Local(Follower):
        pass

    with pytest.raises(ConfigError, match=r"cannot be pickled.*top level"):
        Hosts([Local()], market=OFFLINE_MARKET, hosting={"follower": PROCESS})


@pytest.mark.parametrize("what", ["hosting", "budgets"])
def test_names_that_no_agent_has_are_refused(what: str) -> None:
    """A misspelt name must not leave an agent unbounded."""
    given_ = {"hosting": {"folower": PROCESS}, "budgets": {"folower": SHORT}}[what]

    with pytest.raises(ConfigError, match=f"{what} names folower; the agents are follower"):
        Hosts([Follower()], market=OFFLINE_MARKET, **{what: given_})  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_finite(seconds: float) -> None:
    """Unlimited is not expressible where a budget is given."""
    with pytest.raises(ConfigError, match="give a number of seconds, above 0"):
        Budget(seconds=seconds)


async def test_a_start_that_fails_leaves_no_process() -> None:
    """When something else cannot be opened, what was started for agents is ended."""
    desk = Desk(market(1))
    orchestrator = Orchestrator(
        desk,
        agents=[Follower()],
        market=OFFLINE_MARKET,
        perception=desk,
        lenders=(),
        hosting={"follower": PROCESS},
        control=Path("/nowhere/to/listen"),
    )
    hosts = orchestrator._host
    assert isinstance(hosts, Hosts)

    with pytest.raises(ConfigError):
        await orchestrator.start()
    await desk.journal.close()

    assert {} == hosts.pids


async def test_a_machine_that_has_no_room_for_a_process_loses_answers_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the start that is refused; later it is one agent's lost answer, as often as it lasts."""
    hosts = Hosts([Dies(since=1000)], market=OFFLINE_MARKET, hosting={"dies": PROCESS})
    await hosts.start()
    with monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", _no_room)
        lost_ = [await hosts.ask([question(Dies(), number=1000)]) for _ in range(2)]
        with pytest.raises(ConfigError, match="follower: no process can be started: no room"):
            await Hosts([Follower()], market=OFFLINE_MARKET, hosting={"follower": PROCESS}).start()
    answer = await hosts.ask([question(Dies(), number=1001)])
    await hosts.stop()

    assert ["dies: no process can be started: no room"] * 2 == [one["dies"].lost for one in lost_]
    assert 1 == len(answer["dies"].intents)


def _no_room(*arguments: object, **options: object) -> None:
    raise OSError("no room")


async def test_who_is_out_has_no_process_in_the_next_run() -> None:
    """A quarantine of an earlier run costs nothing in the next one; one of nobody is forgotten."""
    desk = Desk(market(2))
    agents: list[Agent] = [Misfit("raises"), Misfit("raises", name="gone"), Follower()]
    first = Orchestrator(desk, agents=agents, market=OFFLINE_MARKET, perception=desk, lenders=())
    async with first:
        await first.step(HeadChange(added=(desk.blocks[0].head,)))
    desk.last = None
    second = Orchestrator(
        desk,
        agents=[agents[0], agents[2]],
        market=OFFLINE_MARKET,
        perception=desk,
        lenders=(),
        hosting={"misfit": PROCESS},
    )
    hosts = second._host
    assert isinstance(hosts, Hosts)
    async with second:
        pids = hosts.pids
        report = await second.step(HeadChange(added=(desk.blocks[1].head,)))
    await desk.journal.close()

    assert {} == pids
    assert ["misfit"] == sorted(report.quarantined)


SCRIPT = """
from toolkit.orchestrator.hosting.hosting import Hosting
from tests.orchestrator.hosting.test_hosting import CAPITAL, market
from tests.orchestrator.odd_agents import Follower
from toolkit.testing.decide import decide

class Mine(Follower):
    pass

if __name__ == "__main__":
    run = decide([Mine()], market(3), capital=CAPITAL, hosting={"follower": Hosting.PROCESS})
    print(run.journal[-1].hash == decide([Mine()], market(3), capital=CAPITAL).journal[-1].hash)
"""


def test_an_agent_of_the_script_that_runs_has_a_process_too(tmp_path: Path) -> None:
    """Its class lives in `__main__`; the other process finds it in the same file."""
    script = tmp_path / "bot.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ("True\n", "", 0) == (done.stdout, done.stderr, done.returncode)


async def test_two_questions_to_one_agent_are_both_answered() -> None:
    """Each under its own name, whatever it runs in."""
    for where in Hosting:
        hosts = Hosts([Teller()], market=OFFLINE_MARKET, hosting={"teller": where})
        await hosts.start()
        answers = await hosts.ask([question(Teller()), question(Teller(), key="teller/without")])
        await hosts.stop()

        assert ["teller", "teller/without"] == sorted(answers)
        assert answers["teller"] == answers["teller/without"]


async def test_an_answer_nobody_waited_for_is_not_taken_for_the_next() -> None:
    """When the asker is cancelled, the process goes with its question."""
    hosts = Hosts([Follower()], market=OFFLINE_MARKET, hosting={"follower": PROCESS})
    await hosts.start()
    asking = asyncio.create_task(hosts.ask([question(Follower(), number=1000)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it has been sent
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    answers = await hosts.ask([question(Follower(), number=1002)])
    await hosts.stop()

    assert {"follower": ask(question(Follower(), number=1002))} == answers


ORPHAN = """
import asyncio
from tests.orchestrator.odd_agents import Stuck
from tests.orchestrator.hosting.test_hosting import OFFLINE_MARKET, PROCESS, Hosts, question

async def main():
    hosts = Hosts([Stuck()], market=OFFLINE_MARKET, hosting={"stuck": PROCESS})
    await hosts.start()
    await hosts.ask([question(Stuck())])

asyncio.run(main())
"""


def test_a_process_ends_with_its_parent_even_if_that_is_killed() -> None:
    """SIGKILL of the parent reaches an agent whose machine code holds its interpreter."""
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", ORPHAN],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stderr is not None
    with parent.stderr as said:
        stuck, now, pid = said.readline().split()
        try:
            parent.kill()
            parent.wait()
            ended, _, _ = select.select([said], [], [], 20)  # nobody holds it any more
            rest = said.read() if ended else "it lives"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid), signal.SIGKILL)

    assert ("stuck", "now", "") == (stuck, now, rest)


def question(agent: Agent, *, number: int = 1000, key: str = "") -> Question:
    """What is asked of an agent at a block."""
    block = market(number - 999)[-1]
    series = [
        r for b in market(number - 999) for r in price_readings(b.snapshot, OFFLINE_MARKET.prices)
    ]
    view = fresh_view(
        block=block.head,
        snapshot=block.snapshot,
        readings={"price/WETH-USDC": tuple(series)},
        balances=CAPITAL,
        positions={},
        fee=block.fee,
        wrapped=WETH.address,
    )
    return Question(agent=agent, view=view, limit=16, key=key)


def _intents(entries: Sequence[Entry]) -> list[bytes]:
    return [entry.data for entry in entries if entry.kind == records.INTENT]
