"""The public transactions in Anvil's pool, taken out and put back around the sealing of a block."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import RpcError

_KEPT_FIELDS = ("from", "to", "value", "gas", "nonce", "input", "accessList")
_FEE_FIELDS = ("maxFeePerGas", "maxPriorityFeePerGas")


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A pooled public transaction and the call that puts it into Anvil's pool (again)."""

    hash: Hash
    sender: Address
    nonce: int
    gas: int
    fee_cap: int
    tip_cap: int
    method: str
    param: object

    def tip(self, base_fee_wei: int) -> int:
        """What a unit of gas pays the builder, in wei; negative if it cannot be mined."""
        return min(self.tip_cap, self.fee_cap - base_fee_wei)


async def read_pool(rpc: Rpc) -> tuple[Pending, ...]:
    """Everything in the pool, gapped nonces included."""
    content = await rpc.call("txpool_content")
    found = [
        transaction
        for part in ("pending", "queued")
        for by_nonce in content[part].values()
        for transaction in by_nonce.values()
    ]
    raws = await rpc.batch([("eth_getRawTransactionByHash", (each["hash"],)) for each in found])
    return tuple(_pending(each, raw) for each, raw in zip(found, raws, strict=True))


def pack(
    pool: Iterable[Pending],
    *,
    nonces: Mapping[Address, int],
    base_fee_wei: int,
    gas: int,
    taken: frozenset[Hash],
) -> tuple[Pending, ...]:
    """The public part of a block: by falling tip, in nonce order for each account.

    Args:
        pool: candidates.
        nonces: the next nonce of each account after the bundles.
        base_fee_wei: of the block.
        gas: what the bundles left; limits count, not use, as nothing is simulated here.
        taken: hashes that are in the block already, within bundles.
    """
    by_sender: dict[Address, dict[int, Pending]] = {}
    for each in pool:
        if each.hash not in taken:
            by_sender.setdefault(each.sender, {})[each.nonce] = each
    ready: list[tuple[int, Hash, Pending]] = []

    def offer(sender: Address, nonce: int) -> None:
        found = by_sender[sender].get(nonce)
        if found is not None and found.tip(base_fee_wei) >= 0:
            heapq.heappush(ready, (-found.tip(base_fee_wei), found.hash, found))

    for sender in by_sender:
        offer(sender, nonces.get(sender, 0))
    packed = []
    while ready:
        _, _, best = heapq.heappop(ready)
        if best.gas <= gas:
            packed.append(best)
            gas -= best.gas
            offer(best.sender, best.nonce + 1)
    return tuple(packed)


async def put_back(rpc: Rpc, pool: Sequence[Pending]) -> tuple[Hash, ...]:
    """Offer transactions to the pool in nonce order; the hashes of those it no longer takes."""
    ordered = sorted(pool, key=lambda each: (each.sender, each.nonce))
    results = [await _offer(rpc, each) for each in ordered]
    return tuple(
        each.hash
        for each, result in zip(ordered, results, strict=True)
        if isinstance(result, RpcError) and "already" not in result.message.lower()
    )


async def _offer(rpc: Rpc, pending: Pending) -> object:
    try:
        return await rpc.call(pending.method, (pending.param,))
    except RpcError as error:
        return error


def _pending(transaction: Mapping[str, Any], raw: object) -> Pending:
    price = int(transaction.get("gasPrice") or "0x0", 16)
    dynamic = transaction["type"] in {"0x2", "0x3", "0x4"}
    # Anvil marks what an impersonated account sent by an empty signature; its raw bytes have no
    # sender, so it goes back the way it came, which gives the same hash.
    signed = int(transaction["r"], 16) != 0 and isinstance(raw, str)
    fields = {name: transaction[name] for name in _KEPT_FIELDS if transaction.get(name) is not None}
    for name in _FEE_FIELDS if dynamic else ("gasPrice",):
        fields[name] = transaction[name]
    return Pending(
        hash=transaction["hash"],
        sender=transaction["from"].lower(),
        nonce=int(transaction["nonce"], 16),
        gas=int(transaction["gas"], 16),
        fee_cap=int(transaction["maxFeePerGas"], 16) if dynamic else price,
        tip_cap=int(transaction["maxPriorityFeePerGas"], 16) if dynamic else price,
        method="eth_sendRawTransaction" if signed else "eth_sendTransaction",
        param=raw if signed else fields,
    )
