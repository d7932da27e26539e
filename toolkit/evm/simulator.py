"""What running transactions on top of a block gives: the seam, and the choice behind it."""

import importlib.util
import sys
from collections.abc import Sequence
from typing import Protocol

from toolkit.chain.node import Node
from toolkit.evm.call import BlockEnv, Call, CallResult, SimulatedLog
from toolkit.evm.node import NodeSimulator
from toolkit.evm.revm import RevmSimulator
from toolkit.model.chain import Head

__all__ = [
    "BlockEnv",
    "Call",
    "CallResult",
    "SimulatedLog",
    "Simulator",
    "open_simulator",
    "revm_is_installed",
]


class Simulator(Protocol):
    """Runs transactions in order on the state after `parent`; leaves nothing behind."""

    async def simulate(
        self, transactions: Sequence[Call], *, parent: Head, env: BlockEnv
    ) -> tuple[CallResult, ...]:
        """Run calls (not contract creations) and return one result for each.

        Raises:
            ConfigError: a contract creation.
            NodeError: the state cannot be read.
        """
        ...


def open_simulator(node: Node) -> Simulator:
    """Return the fastest simulator for a node: in this process if pyrevm is there, else the node.

    Both give the same results.
    """
    return RevmSimulator(node) if revm_is_installed() else NodeSimulator(node)


def revm_is_installed() -> bool:
    """Return whether pyrevm can be imported, without importing it.

    A name that was hidden by `sys.modules[name] = None` counts as absent.
    """
    if "pyrevm" in sys.modules:
        return sys.modules["pyrevm"] is not None
    return importlib.util.find_spec("pyrevm") is not None
