"""A bundle while it is written: foreign transactions and calls of our own, in order."""

from collections.abc import Sequence

import msgspec

from toolkit.bundles.hashes import bundle_hash, replacement_uuid
from toolkit.chain.signer import authority_of, decode_transaction
from toolkit.evm.simulator import BlockEnv, CallResult, Simulator
from toolkit.model.bundle import Bundle, GuardKind, MissCause, Missed
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash, Head
from toolkit.model.errors import BundleRefused, CallReverted, ConfigError
from toolkit.model.tx import FeeQuote, SignedTransaction, TransactionRequest, UnsignedTransaction
from toolkit.model.units import div_ceil

# EIP-7825: no transaction may ask for more, so none is rehearsed with more.
_REHEARSAL_GAS = 2**24
_SLOT_S = 12
MAX_BLOCKS = 100
"""A cap that survives more full blocks than this is no cap any more: it grows by 1/8 in each."""


class BundleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An unsent bundle; `include` and `call` return a longer one.

    `guards` are on-chain conditions that the author's own calldata enforces. A draft with at most
    one own call needs none: its parts, mined alone, are what a single transaction would be.
    """

    chain_id: int
    items: tuple[SignedTransaction | TransactionRequest, ...] = ()
    guards: tuple[GuardKind, ...] = ()

    def __repr__(self) -> str:
        """Count the transactions; their contents may be private."""
        return f"BundleDraft({len(self.items)} transactions, {len(self.own)} of them own)"

    @property
    def own(self) -> tuple[TransactionRequest, ...]:
        """The calls that are still to be signed, in order."""
        return tuple(item for item in self.items if isinstance(item, TransactionRequest))

    @property
    def sender(self) -> Address | None:
        """The account of the own calls, if one is named.

        Raises:
            ConfigError: they name more than one.
        """
        senders = {request.sender for request in self.own if request.sender is not None}
        if len(senders) > 1:
            raise ConfigError(f"bundle has own calls of {len(senders)} senders; give them one")
        return next(iter(senders), None)

    @property
    def is_indivisible(self) -> bool:
        """Whether no part of it exposes us to less than the whole of what we sign."""
        return len(self.own) <= 1

    def include(self, raw: str) -> "BundleDraft":
        """Append a transaction that somebody signed, as 0x hex.

        Raises:
            ConfigError: not a signed transaction, or one of another chain.
        """
        signed = decode_transaction(raw)
        if signed.unsigned.chain_id not in {0, self.chain_id}:
            raise ConfigError(
                f"transaction {signed.hash} is signed for chain {signed.unsigned.chain_id}, not"
                f" for chain {self.chain_id}"
            )
        return msgspec.structs.replace(self, items=(*self.items, signed))

    def call(
        self, request: TransactionRequest, *, guards: Sequence[GuardKind] = ()
    ) -> "BundleDraft":
        """Append a call of our own; it is signed when the bundle is submitted.

        Raises:
            ConfigError: not a TransactionRequest.
        """
        if not isinstance(request, TransactionRequest):
            raise ConfigError(f"a bundle calls TransactionRequests, not {type(request).__name__}")
        merged = tuple(dict.fromkeys((*self.guards, *guards)))
        return msgspec.structs.replace(self, items=(*self.items, request), guards=merged)

    def sealed(
        self, signed: Sequence[SignedTransaction], *, target_block: int, replaceable: bool = False
    ) -> Bundle:
        """The bundle with its own calls signed, given in order; a uuid makes it replaceable."""
        rest = iter(signed)
        whole = [item if isinstance(item, SignedTransaction) else next(rest) for item in self.items]
        hashes = tuple(one.hash for one in whole)
        return Bundle(
            transactions=tuple(one.raw for one in whole),
            hashes=hashes,
            target_block=target_block,
            replacement_uuid=replacement_uuid(hashes) if replaceable else None,
            guards=self.guards,
        )


class DryBundle:
    """What a dry run leaves of a bundle: signed and rehearsed, known to nobody."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle_hash: Hash = bundle_hash(bundle.hashes)
        self.target_block = bundle.target_block

    def __repr__(self) -> str:
        """Name the bundle by its hash and target."""
        return f"DryBundle({self.bundle_hash}, block={self.target_block})"

    async def wait(self) -> Missed:
        """It never lands."""
        return Missed(
            bundle_hash=self.bundle_hash,
            target_block=self.target_block,
            cause=MissCause.CANCELLED,
            evidence="dry run: signed and simulated, not sent",
        )


async def simulate(
    draft: BundleDraft, simulator: Simulator, *, sender: Address, nonce: int, head: Head
) -> tuple[CallResult, ...]:
    """Run a draft on top of `head`; what each transaction does there, in order.

    Fees are left at zero, so that this needs no more funds than the calls' values.

    Raises:
        ConfigError: the draft is empty.
    """
    if not draft.items:
        raise ConfigError("bundle is empty: include or call something first")
    calls: list[tuple[Address, UnsignedTransaction]] = []
    following = nonce
    for item in draft.items:
        if isinstance(item, SignedTransaction):
            calls.append((item.sender, item.unsigned))
            continue
        limit = item.gas or min(_REHEARSAL_GAS, head.gas_limit)
        unsigned = UnsignedTransaction(
            type=2,
            chain_id=draft.chain_id,
            nonce=following,
            to=item.to,
            value=item.value,
            data=item.data,
            gas=limit,
            access_list=item.access_list,
        )
        calls.append((sender, unsigned))
        following += 1
    env = BlockEnv(
        number=head.number + 1,
        timestamp=head.timestamp + _SLOT_S,
        base_fee_per_gas=0,
        coinbase=ZERO_ADDRESS,
        gas_limit=head.gas_limit,
    )
    return await simulator.simulate(calls, parent=head, env=env)


async def rehearse(
    draft: BundleDraft, simulator: Simulator, *, sender: Address, nonce: int, head: Head
) -> tuple[int, ...]:
    """Run a draft on top of `head`; the gas that each own call uses there.

    Raises:
        ConfigError: the draft is empty, or goes on behind a delegation of its own account.
        CallReverted: an own call fails at its place.
        BundleRefused: a foreign transaction fails, so that the whole could never land.
    """
    _require_consecutive(draft, sender=sender)
    results = await simulate(draft, simulator, sender=sender, nonce=nonce, head=head)
    used: list[int] = []
    for place, (item, result) in enumerate(zip(draft.items, results, strict=True)):
        where = f"transaction {place} of {len(results)} in the bundle"
        if isinstance(item, TransactionRequest):
            if not result.succeeded:
                raise CallReverted(f"{where}: {result.reason}", data=result.output)
            used.append(result.gas_used)
        elif not result.succeeded:
            raise BundleRefused(
                f"{where}, {item.hash}, fails on block {head.number}: {result.reason}"
            )
    return tuple(used)


def _require_consecutive(draft: BundleDraft, *, sender: Address) -> None:
    """Own calls get consecutive nonces, and a delegation (EIP-7702) takes the one behind it."""
    for request in draft.own[:-1]:
        if any(authority_of(grant) == sender for grant in request.authorization_list):
            raise ConfigError(
                f"a call that delegates {sender} itself spends the nonce of the next one: make it"
                f" the last own call of its bundle"
            )


def priced_requests(
    draft: BundleDraft, gas_used: Sequence[int], *, sender: Address
) -> tuple[TransactionRequest, ...]:
    """The own calls with sender and gas limit: what they used and a fifth, where not stated."""
    return tuple(
        msgspec.structs.replace(request, sender=sender, gas=request.gas or used * 6 // 5)
        for request, used in zip(draft.own, gas_used, strict=True)
    )


def fee_for(quote: FeeQuote, *, tip_wei: int, gas_used: int, blocks: int) -> FeeQuote:
    """Fees that stay valid for `blocks` blocks and pay at least `tip_wei` over `gas_used`.

    A base fee rises by at most an eighth a block (EIP-1559).

    Raises:
        ConfigError: a negative tip, a tip without own calls to pay it, or no or too many blocks.
    """
    if type(blocks) is not int or not 1 <= blocks <= MAX_BLOCKS:
        raise ConfigError(f"bundle for {blocks!r} blocks: give an integer from 1 to {MAX_BLOCKS}")
    if type(tip_wei) is not int or tip_wei < 0:
        raise ConfigError(f"bundle with a tip of {tip_wei!r} wei: give an integer, at least 0")
    if tip_wei and not gas_used:
        raise ConfigError(f"bundle has no own call that could pay a tip of {tip_wei} wei")
    base = quote.base_fee_per_gas
    for _ in range(blocks - 1):
        base += base // 8 + 1
    priority = div_ceil(tip_wei, gas_used) if gas_used else 0
    return msgspec.structs.replace(
        quote, max_fee_per_gas=base + priority, max_priority_fee_per_gas=priority
    )
