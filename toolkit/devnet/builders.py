import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from toolkit.chain.rpc import Rpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.building.dialects import PROFILES, Answer, BuilderProfile, Operation
from toolkit.devnet.building.failures import FailureMode, Failures
from toolkit.devnet.building.fields import Known, named_fields, read_uuid
from toolkit.devnet.building.identities import hash_with_block
from toolkit.devnet.building.orders import (
    MAX_ORDERS,
    Order,
    read_bundle,
    read_private_transaction,
)
from toolkit.devnet.building.pricing import price, read_call
from toolkit.devnet.building.replacements import Replacements
from toolkit.devnet.building.wire import (
    CUSTOM,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    OrderError,
    is_hash,
    one_object,
)
from toolkit.model.chain import Address, Hash, Head
from toolkit.model.checks import shown
from toolkit.model.tx import SignedTransaction

_OK = 200


@dataclass(slots=True, kw_only=True)
class Builder:
    """A block builder: takes orders by its profile's rules and gives its orders for a slot.

    `head` is the market's word for the newest block; orders whose last block has passed go away.
    `failures` are its relay's; requests that come without it (`handle`) meet none of them.

    Args:
        fee_recipient: whom its blocks pay; `signer` is that account's key, for what it pays back.
        partners: the builders to which it passes on a bundle that names them.
        known: finds a public transaction by its hash.
        chain_id: of the transactions it takes; None takes any.
    """

    name: str
    fee_recipient: Address
    rpc: Rpc = field(repr=False)
    head: Head
    share: float = 1.0  # of the slots, relative to the other builders'
    profile: BuilderProfile = PROFILES["flashbots"]
    signer: LocalSigner | None = None
    chain_id: int | None = None
    partners: tuple["Builder", ...] = field(default=(), repr=False)
    known: Known = field(default=lambda _: None, repr=False)
    failures: Failures = field(default_factory=Failures, repr=False)
    _orders: OrderedDict[int, Order] = field(default_factory=OrderedDict, repr=False)
    _cancelled: list[Order] = field(default_factory=list, repr=False)
    _forgotten: list[Order] = field(default_factory=list, repr=False)
    _late: list[Order] = field(default_factory=list, repr=False)
    _deferred: list[Callable[[], None]] = field(default_factory=list, repr=False)
    _replacements: Replacements = field(default_factory=Replacements, repr=False)
    _count: int = 0
    _closed: int = 0  # the block for which orders come too late, though it is not there yet

    def close(self, number: int) -> None:
        """Let nothing more into a block, since its builder is at work; a new head ends that."""
        self._closed = number

    def reopen(self) -> None:
        """Let orders in again: the block was not built."""
        self._closed = 0

    def advance(self, head: Head) -> None:
        """Take note of a new head and forget what can no longer land."""
        self.head = head
        self.reopen()
        for noted in (self._cancelled, self._forgotten, self._late):
            noted.clear()
        deferred, self._deferred = self._deferred, []
        for each in deferred:
            each()
        self._orders = OrderedDict(
            (key, order) for key, order in self._orders.items() if order.last_block > head.number
        )
        self._replacements.advance(head.number)

    def orders(self) -> tuple[Order, ...]:
        """All live orders in order of arrival."""
        return tuple(self._orders.values())

    def cancelled(self) -> tuple[Order, ...]:
        """Orders withdrawn, replaced or superseded since the last head, in that order."""
        return tuple(self._cancelled)

    def late(self) -> tuple[Order, ...]:
        """Orders that arrived too late for the next block."""
        return tuple(self._late)

    def forgotten(self) -> tuple[Order, ...]:
        """Orders that were answered as if taken since the last head, and were not."""
        return tuple(self._forgotten)

    def offer(self, order: Order) -> None:
        """Take an order that does not come over the wire, whatever this builder's dialect.

        Raises:
            OrderError: too many are waiting.
        """
        self._admit(order)

    def retract(self, uuid: str, owner: Address) -> None:
        """Let go of what came with this uuid from this owner."""
        self._drop_all(self._keys(uuid, owner))

    async def handle(
        self,
        method: str,
        params: object,
        owner: Address,
        *,
        failure: FailureMode = FailureMode.NONE,
    ) -> object:
        """Answer one authenticated relay request.

        Raises:
            OrderError: refused; carries the JSON-RPC code.
        """
        operation = self.profile.methods.get(method)
        if operation is None:
            raise OrderError(METHOD_NOT_FOUND, f"method {shown(method)} is not offered here")
        if operation is Operation.CALL_BUNDLE:
            call = read_call(
                params, profile=self.profile, head=self.head, fee_recipient=self.fee_recipient
            )
            self._check_chain(call.transactions)
            return await price(self.rpc, call, head=self.head.number)
        if operation is Operation.SEND_BUNDLE:
            return self._send_bundle(params, owner, failure)
        if operation is Operation.CANCEL_BUNDLE:
            return self._cancel_bundle(params, owner, failure)
        if operation is Operation.CANCEL_PRIVATE:
            return self._cancel_private(params, owner, failure)
        return self._send_private(params, owner, failure)

    def _send_bundle(self, params: object, owner: Address, failure: FailureMode) -> object:
        order = read_bundle(
            params, owner=owner, head=self.head.number, profile=self.profile, known=self.known
        )
        self._check_chain(order.transactions)
        self._take(order, failure, self._admit)
        self._do(lambda: self._pass_on(order), failure)
        named = order.bundle_hash
        if self.profile.hash_covers_block:
            named = hash_with_block(named, order.first_block)
        if failure is FailureMode.WRONG_HASH:
            named = hash_with_block(named, 0)
        return _answer(self.profile.answer, named, has_uuid=order.replacement_uuid is not None)

    def _send_private(self, params: object, owner: Address, failure: FailureMode) -> object:
        order = read_private_transaction(
            params, owner=owner, head=self.head.number, profile=self.profile
        )
        self._check_chain(order.transactions)
        self._take(order, failure, self._add)
        named = order.transactions[0].hash
        return hash_with_block(named, 0) if failure is FailureMode.WRONG_HASH else named

    def _cancel_bundle(self, params: object, owner: Address, failure: FailureMode) -> object:
        uuid = read_uuid(named_fields(params, self.profile), self.profile)
        if uuid is None:
            raise OrderError(INVALID_PARAMS, "replacementUuid is missing")
        hashes = [self._orders[key].bundle_hash for key in self._keys(uuid, owner)]
        self._do(lambda: self._withdraw_everywhere(uuid, owner), failure)
        return hashes if self.profile.cancel_answer is Answer.HASHES else self._done()

    def _cancel_private(self, params: object, owner: Address, failure: FailureMode) -> object:
        wanted = one_object(params).get("txHash")
        if not is_hash(wanted):
            raise OrderError(INVALID_PARAMS, f"txHash {shown(wanted)} is not a hash")
        found = self._private_keys(wanted.lower(), owner)
        self._do(lambda: self._drop_all(found), failure)
        return bool(found)

    def _done(self) -> object:
        return None if self.profile.cancel_answer is Answer.NULL else _OK

    def _take(self, order: Order, failure: FailureMode, admit: Callable[[Order], None]) -> None:
        """Let an order in, now or later or never; only one that is let in now can be too many."""
        if failure is FailureMode.FORGET:
            self._forgotten.append(order)
        elif failure is FailureMode.LATE:
            self._late.append(order)
            self._deferred.append(lambda: self._admit_late(order, admit))
        else:
            admit(order)

    def _admit_late(self, order: Order, admit: Callable[[Order], None]) -> None:
        if len(self._orders) < MAX_ORDERS:  # its sender was told long ago that it is taken
            admit(order)

    def _pass_on(self, order: Order) -> None:
        """Let the partners know: those that are named take it, the others have it no more."""
        uuid = order.replacement_uuid
        if uuid is not None:
            uuid = self._abroad(uuid)
            order = msgspec.structs.replace(order, replacement_uuid=uuid)
        for partner in self.partners:
            if partner.name.lower() in order.builders and order.transactions:
                with contextlib.suppress(OrderError):  # safe because nobody was promised its room
                    partner.offer(order)
            elif uuid is not None:
                partner.retract(uuid, order.owner)

    def _withdraw_everywhere(self, uuid: str, owner: Address) -> None:
        self._withdraw(uuid, owner)
        for partner in self.partners:
            partner.retract(self._abroad(uuid), owner)

    def _abroad(self, uuid: str) -> str:
        """A uuid at the partners: another one than that of what they were sent directly."""
        return f"{self.name}/{uuid}"

    def _do(self, action: Callable[[], None], failure: FailureMode) -> None:
        if failure is FailureMode.LATE:
            self._deferred.append(action)
        elif failure is not FailureMode.FORGET:
            action()

    def _admit(self, order: Order) -> None:
        uuid, owner = order.replacement_uuid, order.owner
        if self._has(order):
            return  # the same request again
        if order.last_block <= self._closed and order.transactions:
            self._late.append(order)
            return
        if uuid is not None:
            nonce = order.replacement_nonce
            if not self._replacements.admits(owner, uuid, nonce, head=self.head.number):
                self._cancelled.append(order)
                return
            if not order.transactions:
                self._withdraw(uuid, owner)
                return
            self.retract(uuid, owner)
        self._add(order)

    def _add(self, order: Order) -> None:
        if order.is_private_transaction:
            for key in self._private_keys(order.transactions[0].hash, order.owner):
                del self._orders[key]  # the same with another last block
        if len(self._orders) >= MAX_ORDERS:
            raise OrderError(CUSTOM, f"too many orders: {MAX_ORDERS} are waiting already")
        self._count += 1
        self._orders[self._count] = order

    def _withdraw(self, uuid: str, owner: Address) -> None:
        self.retract(uuid, owner)
        if self.profile.cancel_is_final:
            self._replacements.close(owner, uuid, head=self.head.number)

    def _keys(self, uuid: str, owner: Address) -> list[int]:
        return [
            key
            for key, order in self._orders.items()
            if order.replacement_uuid == uuid and order.owner == owner
        ]

    def _private_keys(self, tx_hash: str, owner: Address) -> list[int]:
        return [
            key
            for key, order in self._orders.items()
            if order.is_private_transaction
            and order.owner == owner
            and order.transactions[0].hash == tx_hash
        ]

    def _has(self, order: Order) -> bool:
        return any(
            each.unique_key == order.unique_key and each.owner == order.owner
            for each in self._orders.values()
        )

    def _drop_all(self, keys: Sequence[int]) -> None:
        dropped = [self._orders.pop(key, None) for key in keys]
        self._cancelled.extend(order for order in dropped if order is not None)

    def _check_chain(self, transactions: Sequence[SignedTransaction]) -> None:
        for signed in transactions:
            if self.chain_id is not None and signed.unsigned.chain_id not in {self.chain_id, 0}:
                raise OrderError(
                    CUSTOM,
                    f"err: invalid chain id for signer: {signed.hash} is for chain"
                    f" {signed.unsigned.chain_id}, this is {self.chain_id}",
                )


def _answer(form: Answer, named: Hash, *, has_uuid: bool) -> object:
    if form is Answer.NULL or (form is Answer.OBJECT_OR_NULL and has_uuid):
        return None
    if form is Answer.STRING:
        return named
    return _OK if form is Answer.OK else {"bundleHash": named}
