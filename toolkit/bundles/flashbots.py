"""The official `flashbots` client's calls on a session, so that old scripts need little change."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.bundles.desk import Desk, Entry, bundle_of, hex_of
from toolkit.bundles.draft import DryBundle
from toolkit.bundles.relay import Relay
from toolkit.bundles.responses import (
    Connection,
    FlashbotsBundleResponse,
    FlashbotsPrivateTransactionResponse,
)
from toolkit.bundles.submitter import BundleHandle
from toolkit.chain.modes import NodeIdentity, check_signers, identify
from toolkit.model.chain import Address, Hash, Mode, hash32
from toolkit.model.checks import require_flag, require_integer
from toolkit.model.errors import ConfigError, RelayError, RelayRejected, RelayUnavailable
from toolkit.model.tx import SignedTransaction
from toolkit.model.units import ether

SECONDS_PER_BLOCK = 12
PRIVATE_BLOCKS = 25
"""How long a private transaction is tried where nothing is said, as Flashbots' relay does."""

_REMEMBERED = 4096


class Flashbots:
    """`w3.flashbots` of the official client on a session: its names, its arguments, its answers.

    Every call is awaited. Bundles go to all relays of the session, are journalled, held against
    the guards and followed to their end as those of `session.submit`. Scripts sign with keys of
    their own here and choose nonces themselves; the session's signers are refused, because their
    nonces belong to lanes.

    Args:
        session: with relays; in a dry run everything is signed and nothing is sent.
        guards_waived: accept bundles of several own transactions without an on-chain guard.
        allow_real_key: as for `connect`, which does not see these keys.
        max_cost_wei: worst-case cost of what is signed for one bundle, gas limits x fee caps.
    """

    def __init__(
        self,
        session: Connection,
        *,
        guards_waived: bool = False,
        allow_real_key: bool = False,
        max_cost_wei: int = ether("0.05"),
    ) -> None:
        require_flag("guards_waived", guards_waived)
        require_flag("allow_real_key", allow_real_key)
        require_integer("max_cost_wei", max_cost_wei, least=1, most=ether(1_000))
        self._session = session
        self._guards_waived = guards_waived
        self._allow_real_key = allow_real_key
        self._lanes = frozenset(signer.address for signer in session.signers)
        self._identity: NodeIdentity | None = None
        self._sent: list[tuple[str, BundleHandle]] = []
        self._private: dict[Hash, tuple[Relay, ...]] = {}
        self._desk = Desk(
            session.node,
            chain_id=session.chain_id,
            check=self._check_key,
            max_cost_wei=max_cost_wei,
        )

    async def sign_bundle(self, bundled_transactions: Sequence[Entry]) -> list[bytes]:
        """Sign what is not signed yet; the bytes of all, in order.

        Raises:
            ConfigError: no such entry, fees that are not named, a key that must not sign here.
            FeeLimitReached: above `max_cost_wei`.
            CallReverted, InsufficientFunds: gas that is not named cannot be estimated.
        """
        signed = await self._desk.sign(bundled_transactions)
        return [bytes.fromhex(one.raw[2:]) for one in signed]

    async def send_bundle(
        self,
        bundled_transactions: Sequence[Entry],
        target_block_number: int,
        opts: Mapping[str, Any] | None = None,
    ) -> FlashbotsBundleResponse:
        """Sign a bundle and send it to every relay.

        Raises:
            BundleRefused: no guard, own transactions around a foreign one, a live bundle that it
                contradicts, a nonce of a lane, a block that is past.
            RelayError: no relay took it.
            ConfigError, FeeLimitReached, CallReverted, InsufficientFunds: as `sign_bundle`, or an
                option that does not exist.
        """
        signed = await self._desk.sign(bundled_transactions)
        return await self._send(signed, target_block_number, opts)

    async def send_raw_bundle(
        self,
        signed_bundled_transactions: Sequence[bytes | str],
        target_block_number: int,
        opts: Mapping[str, Any] | None = None,
    ) -> dict[str, str]:
        """Send what `sign_bundle` gave; errors as for `send_bundle`."""
        signed = await self._desk.sign(_entries(signed_bundled_transactions))
        sent = await self._send(signed, target_block_number, opts)
        return {"bundleHash": sent.handle.bundle_hash}

    async def cancel_bundles(self, replacement_uuid: str) -> dict[str, list[str]]:
        """Withdraw what was sent with this uuid; it may land all the same.

        Raises:
            RelayError: no relay confirmed.
        """
        live = [handle for uuid, handle in self._still_live() if uuid == replacement_uuid]
        if live:
            for handle in live:
                await handle.cancel()
            return {"bundleHashes": list(dict.fromkeys(one.bundle_hash for one in live))}
        answers = await asyncio.gather(
            *(relay.cancel_bundle(replacement_uuid) for relay in self._session.relays),
            return_exceptions=True,
        )
        self._raise_if_nobody(answers)
        named = [known for one in answers if isinstance(one, tuple) for known in one]
        return {"bundleHashes": [*dict.fromkeys(named)]}

    async def simulate(
        self,
        bundled_transactions: Sequence[Entry],
        block_tag: int | str | None = None,
        state_block_tag: int | None = None,
        block_timestamp: int | None = None,
    ) -> dict[str, Any]:
        """Let a relay run a bundle in a block on top of the one before, or of another state.

        Unlike the official client, the block is by default the next one, not the newest: that one's
        transactions would be run a second time.

        Raises:
            ConfigError: no relay of the session simulates, or as `sign_bundle`.
            RelayError: it did not.
        """
        signed = await self._desk.sign(bundled_transactions)
        head = await self._session.node.head()
        number = block_tag if isinstance(block_tag, int) else head.number + 1
        state = number - 1 if state_block_tag is None else state_block_tag
        if block_timestamp is None:
            block_timestamp = head.timestamp + (number - head.number) * SECONDS_PER_BLOCK
        raws = [bytes.fromhex(one.raw[2:]) for one in signed]
        said = await self.call_bundle(raws, number, state, block_timestamp)
        results = said.get("results")
        rows = results if isinstance(results, list) else []
        used = [row.get("gasUsed") if isinstance(row, dict) else None for row in rows]
        if not all(isinstance(gas, int) for gas in used):
            raise RelayUnavailable(
                f"the relay simulated {len(rows)} transactions, and not their gas"
            )
        return {
            "bundleHash": said.get("bundleHash"),
            "coinbaseDiff": said.get("coinbaseDiff"),
            "results": rows,
            "signedBundledTransactions": raws,
            "totalGasUsed": sum(used),
        }

    async def call_bundle(
        self,
        signed_bundled_transactions: Sequence[bytes | str],
        evm_block_number: int | str,
        evm_block_state_number: int | str,
        evm_timestamp: int | None,
    ) -> dict[str, Any]:
        """Ask the session's first relay that simulates; its answer, unchanged.

        Raises:
            ConfigError: there is none; none is asked in a dry run.
            RelayError: it did not.
        """
        able = (one for one in self._session.relays if one.profile.dialect.simulate_method)
        relay = next(able, None)
        if relay is None:
            raise ConfigError(
                f"no relay simulates for this {self._session.mode.value} session: give connect one"
                f" that does, as Flashbots' and the devnet's do"
            )
        signed = await self._desk.sign(_entries(signed_bundled_transactions))
        bundle = bundle_of(signed, _number(evm_block_number), {})
        state = evm_block_state_number
        if isinstance(state, str) and state.startswith("0x"):
            state = _number(state)
        return await relay.call_bundle(bundle, state_block=state, timestamp=evm_timestamp)

    async def send_private_transaction(
        self, transaction: Entry, max_block_number: int | None = None
    ) -> FlashbotsPrivateTransactionResponse:
        """Hand one transaction to every relay, to be mined up to a block.

        It is not journalled; `session.send(..., visibility=PRIVATE)` survives a restart.

        Raises:
            RelayError: no relay took it.
            ConfigError, FeeLimitReached, CallReverted, InsufficientFunds: as `sign_bundle`.
        """
        (signed,) = await self._desk.sign([transaction])
        if signed.sender in self._lanes:
            raise _lane_owns(signed.sender)
        if max_block_number is None:
            max_block_number = (await self._session.node.head()).number + PRIVATE_BLOCKS
        require_integer("max_block_number", max_block_number)
        answers = await asyncio.gather(
            *(
                one.send_private_transaction(signed.raw, max_block=max_block_number)
                for one in self._session.relays
            ),
            return_exceptions=True,
        )
        self._raise_if_nobody(answers)
        holders = [
            relay
            for relay, answer in zip(self._session.relays, answers, strict=True)
            if not isinstance(answer, RelayRejected)
        ]
        self._private[signed.hash] = tuple(holders)
        if len(self._private) > _REMEMBERED:
            del self._private[next(iter(self._private))]
        return FlashbotsPrivateTransactionResponse(
            self._session, signed, max_block_number=max_block_number
        )

    async def cancel_private_transaction(self, tx_hash: bytes | str) -> bool:
        """Take a private transaction back; False if a relay may still have it."""
        wanted = hash32(hex_of(tx_hash))
        answers = await asyncio.gather(
            *(
                relay.cancel_private_transaction(wanted)
                for relay in self._private.get(wanted, self._session.relays)
            ),
            return_exceptions=True,
        )
        _raise_foreign(answers)
        return bool(answers) and all(answer is True for answer in answers)

    async def _send(
        self,
        signed: Sequence[SignedTransaction],
        target_block_number: int,
        opts: Mapping[str, Any] | None,
    ) -> FlashbotsBundleResponse:
        bundle = bundle_of(signed, target_block_number, opts or {})
        submitter = self._session.submitter
        own = sum(one.sender in submitter.own for one in signed)
        # With one own transaction, every part of it is what that one would be on its own.
        waived = self._guards_waived or own == 1
        if self._session.mode is Mode.DRY:
            submitter.checked(bundle, guards_waived=waived)
            return FlashbotsBundleResponse(self._session, signed, DryBundle(bundle))
        handle = await submitter.submit(bundle, guards_waived=waived)
        self._session.follow()
        if bundle.replacement_uuid is not None:
            self._sent = [*self._still_live(), (bundle.replacement_uuid, handle)]
        answers = handle.answers
        if answers and not any(one.accepted or one.unsure for one in answers):
            raise RelayRejected("no relay took it: " + "; ".join(one.why for one in answers))
        return FlashbotsBundleResponse(self._session, signed, handle)

    def _still_live(self) -> list[tuple[str, BundleHandle]]:
        return [(uuid, handle) for uuid, handle in self._sent if not handle.done]

    def _raise_if_nobody(self, answers: Sequence[object]) -> None:
        """Raise unless one relay, at least, did what it was asked, or none was to be asked."""
        _raise_foreign(answers)
        errors = [one for one in answers if isinstance(one, RelayError)]
        if errors and len(errors) == len(answers):
            why = "; ".join(str(one) for one in errors)
            refused = all(isinstance(one, RelayRejected) for one in errors)
            kind = RelayRejected if refused else RelayUnavailable
            raise kind(f"no relay did it: {why}")
        if not answers and self._session.mode is not Mode.DRY:
            raise ConfigError("no relays are configured: give connect at least one")

    async def _check_key(self, account: Address) -> None:
        """Hold a script's key to what `connect` holds its signers to; it is ours from then on."""
        session = self._session
        if account in self._lanes:
            raise _lane_owns(account)
        if self._identity is None:
            self._identity = await identify(session.node)
        check_signers(
            [account], self._identity, mode=session.mode, allow_real_key=self._allow_real_key
        )
        session.submitter.add_own([account])


def _lane_owns(account: Address) -> ConfigError:
    return ConfigError(
        f"{account} is a signer of this session, whose lane owns its nonces: leave it out of"
        f" connect, or use session.bundle() and session.send"
    )


def _entries(raws: Sequence[bytes | str]) -> list[Entry]:
    return [{"signed_transaction": raw} for raw in raws]


def _number(given: int | str) -> int:
    try:
        number = int(given, 16) if isinstance(given, str) else given
    except ValueError:
        number = -1
    require_integer("block number", number)
    return number


def _raise_foreign(answers: Sequence[object]) -> None:
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, RelayError):
            raise answer
