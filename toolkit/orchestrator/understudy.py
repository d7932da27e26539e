"""Decides each block once more, a block later, so that what decides is at hand for the next one.

Seconds after a block, the code and the facts of its decision have left the processor's caches; the
next decision then takes nearly twice as long. An understudy goes through the last block again while
the node is asked for the new one, when there is nothing else to do. It has no effect on anything:
its core is its own, it asks nobody, what it writes is kept nowhere, and what it signs is nobody's
transaction, for a chain that there is not, and is thrown away.

What takes milliseconds, because something had to be routed, is not gone through again: that would
keep the node's answer waiting, and gain nothing. It is folded in as it was decided.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TypeVar

from toolkit.chain.signer import LocalSigner
from toolkit.execution.calldata import encode_plan
from toolkit.journal.log import Journal
from toolkit.journal.memory import MemoryBackend
from toolkit.model.decision import Plan
from toolkit.model.tx import FeeQuote, UnsignedTransaction
from toolkit.orchestrator.audit.memory import Memory
from toolkit.orchestrator.block import Decision
from toolkit.orchestrator.core import Core
from toolkit.orchestrator.deciding.arbitration import Candidate, Ruling
from toolkit.orchestrator.hosting.asking import Thought
from toolkit.orchestrator.records import Inputs, Planned, Quarantined
from toolkit.orchestrator.writing import BlockWriter

T = TypeVar("T")

NOBODYS_KEY = "0x" + "01" * 32
NOWHERE = 2**63 - 1
"""A chain id that no chain has."""

SENDING_TURNS = 8
"""Of the event loop, after which what is asked of the node is on its way."""

MOST_DUE = 8
"""Blocks that wait to be rehearsed at most, where looks never wait for anything."""


class Understudy:
    """A core of the same set-up as the one it stands beside, and one block behind it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._nobody = LocalSigner(NOBODYS_KEY)
        self._due: list[tuple[Inputs, Mapping[str, Thought], Decision]] = []

    def resume(self, memory: Memory) -> None:
        """Go on where the core it stands beside goes on."""
        self._core.resume(memory)

    def watch(self, inputs: Inputs, thoughts: Mapping[str, Thought], decision: Decision) -> None:
        """Note a block: what came in, lost answers too, what agents said, and what it led to."""
        self._due.append((inputs, thoughts, decision))

    def rehearse(self) -> Journal:
        """Decide what was watched, and return what was written of it, which is kept nowhere."""
        paper = Journal(MemoryBackend())
        due, self._due = self._due, []
        for inputs, thoughts, decision in due:
            if _is_routed(decision):
                self._recall(inputs, decision)
                continue
            self._core.begin(inputs)
            again = self._core.decide(thoughts)
            BlockWriter(paper).write(inputs, again)
            for plan in again.plans:
                self._sign(plan, inputs.seen.fee)
        return paper

    async def beside(self, looking: Coroutine[object, object, T]) -> T:
        """Wait for a look at the world, and rehearse meanwhile; raises what the look raises.

        A look that need not wait does not, but for once in several blocks.
        """
        task = asyncio.create_task(looking)
        try:
            for _ in range(SENDING_TURNS):
                await asyncio.sleep(0)
            if not task.done() or len(self._due) >= MOST_DUE:
                self.rehearse()
            return await task
        finally:
            if task.cancel():  # this was cancelled; else it has ended
                await asyncio.gather(task, return_exceptions=True)

    def _recall(self, inputs: Inputs, decision: Decision) -> None:
        """Fold a block in without deciding it."""
        of = [record.data for record in decision.records]
        self._core.recall(
            inputs,
            quarantined=[one for one in of if isinstance(one, Quarantined)],
            rulings=[one for one in of if isinstance(one, Ruling)],
            plans=[one for one in of if isinstance(one, Planned)],
        )

    def _sign(self, plan: Plan, fee: FeeQuote) -> None:
        """Go through a plan's calldata and signature."""
        self._nobody.sign_transaction_now(
            UnsignedTransaction(
                type=2,
                chain_id=NOWHERE,
                nonce=0,
                to=self._nobody.address,
                value=0,
                data=encode_plan(plan, self._nobody.address),
                gas=plan.gas_limit,
                max_fee_per_gas=fee.max_fee_per_gas,
                max_priority_fee_per_gas=fee.max_priority_fee_per_gas,
            )
        )


def _is_routed(decision: Decision) -> bool:
    """Whether somebody wished for an exchange, and left its route to us."""
    wished = [one.data.intent for one in decision.records if isinstance(one.data, Candidate)]
    return any(leg.route is None for intent in wished for leg in intent.legs)
