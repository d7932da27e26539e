"""Recorded mainnet blocks run again on Anvil, from the state they found, as they were signed."""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.devnet.anvil import start_anvil
from toolkit.model.chain import Address, Hash, LogEntry
from toolkit.pools.abi import words
from toolkit.pools.recorded import Recording, read_recording

# The first block of each fork of which blocks are recorded.
FORKS = ((15537394, "paris"), (17034870, "shanghai"), (19426587, "cancun"), (22431084, "prague"))
FLAGS = (
    *("--chain-id", "1", "--order", "fifo", "--no-mining", "--disable-code-size-limit"),
    *("--auto-impersonate", "--accounts", "1", "--disable-min-priority-fee"),
    "--disable-pool-balance-checks",  # accounts that are funded inside the block
)
SWAPS = {"0x022c0d9f": "V2", "0x128acb08": "V3", "0xf3cd914c": "V4"}
SWAP_TOPICS = {
    "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822": "V2",
    "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67": "V3",
    "0x19b47279256b2a23a1665c810c8d55a1758940ee09377d4f8d26497a3577dc83": "V3",
    "0x40e9cecb9f5f1f1c5b9c97dec2917b7ee92e57ba5563708daca94dd84ad7112f": "V4",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call of a pool's swap that went through: by whom, and the words of its calldata."""

    family: str
    caller: Address
    words: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A block as it ran again: `same` says with the header's gas used and logs bloom.

    `asked` are the swaps behind the Swap logs, by their index; `constants` are tokens, fee and
    spacing of the V3 pools. A block that ran differently has no logs.
    """

    number: int
    same: bool
    recording: Recording
    logs: tuple[LogEntry, ...]
    asked: dict[int, Asked]
    constants: dict[Address, tuple[Address, Address, int, int]]


async def replay(folder: Path, number: int) -> Replay:
    """Run a recorded block again, and trace its swaps."""
    path = folder / f"block_{number}.json.gz"
    data = json.loads(gzip.decompress(path.read_bytes()))
    anvil = await start_anvil(_arguments(data))
    try:
        async with HttpRpc(anvil.url, timeout_s=120) as rpc:
            return await _replayed(Node(rpc), data, read_recording(path))
    finally:
        await anvil.stop()


def _arguments(data: dict[str, Any]) -> list[str]:
    header, number = data["header"], data["number"]
    fork = [name for first, name in FORKS if number >= first][-1]
    fields = {
        "--hardfork": fork,
        "--number": str(number - 1),
        "--timestamp": str(int(header["timestamp"], 16) - 12),
        "--gas-limit": str(int(header["gasLimit"], 16)),
        "--base-fee": str(int(header["baseFeePerGas"], 16)),
    }
    return [*FLAGS, *(part for pair in fields.items() for part in pair)]


async def _replayed(node: Node, data: dict[str, Any], recording: Recording) -> Replay:
    header, number = data["header"], data["number"]
    await _all(node, list(_state(data)))
    await _all(
        node,
        [
            ("anvil_setCoinbase", (header["miner"],)),
            ("evm_setNextBlockTimestamp", (int(header["timestamp"], 16),)),
            ("anvil_setNextBlockBaseFeePerGas", (header["baseFeePerGas"],)),
        ],
    )
    for raw in data["rawTransactions"]:
        await node.rpc.call("eth_sendRawTransaction", (raw,))
    await node.rpc.call("evm_mine", ())
    block, receipts = await node.block(number), await node.receipts(number)
    same_gas = int(block["gasUsed"], 16) == int(header["gasUsed"], 16)
    same = same_gas and block["logsBloom"] == header["logsBloom"]
    logs = tuple(log for receipt in receipts for log in receipt.logs) if same else ()
    return Replay(
        number=number,
        same=same,
        recording=recording,
        logs=logs,
        asked=await _asked(node, logs),
        constants=await _constants(node, logs),
    )


def _state(data: dict[str, Any]) -> Iterator[tuple[str, tuple[object, ...]]]:
    for account, held in data["pre"].items():
        nonce = held.get("nonce", 0)
        yield "anvil_setBalance", (account, held["balance"])
        yield "anvil_setNonce", (account, hex(nonce) if isinstance(nonce, int) else nonce)
        if "codeHash" in held:
            yield "anvil_setCode", (account, data["codes"][held["codeHash"]])
        for slot, value in held.get("storage", {}).items():
            padded = (f"0x{int(word, 16):064x}" for word in (slot, value))
            yield "anvil_setStorageAt", (account, *padded)


async def _all(node: Node, calls: Sequence[tuple[str, tuple[object, ...]]]) -> None:
    failed = [item for item in await node.rpc.batch(calls) if isinstance(item, Exception)]
    assert not failed, failed[0]


async def _asked(node: Node, logs: Sequence[LogEntry]) -> dict[int, Asked]:
    """Find the call behind each Swap log: calls end in the order in which they log."""
    swaps: dict[Hash, list[LogEntry]] = {}
    for log in logs:
        if log.topics and log.topics[0] in SWAP_TOPICS:
            swaps.setdefault(log.transaction_hash, []).append(log)
    found: dict[int, Asked] = {}
    for transaction, own in swaps.items():
        trace = await node.rpc.call(
            "debug_traceTransaction", (transaction, {"tracer": "callTracer"})
        )
        waiting = list(_calls(trace))
        for log in own:
            family = SWAP_TOPICS[log.topics[0]]
            for at, (contract, asked) in enumerate(waiting):
                if (contract, asked.family) == (log.address, family):
                    found[log.log_index] = asked
                    del waiting[at]
                    break
    return found


def _calls(frame: dict[str, Any]) -> Iterator[tuple[Address, Asked]]:
    """Swaps of a trace that were not reverted, in the order in which they ended."""
    if frame.get("error"):
        return
    for inner in frame.get("calls", ()):
        yield from _calls(inner)
    selector = frame.get("input", "")[:10]
    if frame["type"] == "CALL" and selector in SWAPS:
        asked = Asked(
            family=SWAPS[selector],
            caller=Address(frame["from"].lower()),
            words=words(f"0x{frame['input'][10:]}"),
        )
        yield Address(frame["to"].lower()), asked


async def _constants(
    node: Node, logs: Sequence[LogEntry]
) -> dict[Address, tuple[Address, Address, int, int]]:
    """Ask the V3 pools for what is in their code: tokens, fee, spacing."""
    found = {}
    for pool in sorted({log.address for log in logs if _is_v3(log)}):
        told = [
            int(str(await node.call(to=pool, data="0x" + keccak(text=name)[:4].hex())), 16)
            for name in ("token0()", "token1()", "fee()", "tickSpacing()")
        ]
        tokens = (Address(f"0x{word:040x}") for word in told[:2])
        found[pool] = (*tokens, *told[2:])
    return found  # type: ignore[return-value]  # two addresses and two integers


def _is_v3(log: LogEntry) -> bool:
    return bool(log.topics) and SWAP_TOPICS.get(log.topics[0]) == "V3"
