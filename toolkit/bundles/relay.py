"""One relay: an endpoint that takes bundles, spoken to in its dialect and on its own deadline."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson

from toolkit.bundles.auth import HEADER, RelayAuth
from toolkit.bundles.profiles import (
    Profile,
    bundle_params,
    hash_in,
    is_loopback,
    profile_for,
    read_answer,
)
from toolkit.chain.hashing import keccak
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, Hash
from toolkit.model.errors import ConfigError, RelayRejected, RelayUnavailable
from toolkit.model.tx import Attempt, Exposure

DEFAULT_TIMEOUT_S = 2.0
_MAX_ANSWER_BYTES = 1 << 20
_MAX_CONNECTIONS = 256


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A request body and its signature; the repr shows neither, since the body is private."""

    body: bytes
    header: str | None

    def __repr__(self) -> str:
        """Tell the size only."""
        return f"Sealed({len(self.body)} bytes)"


async def seal(method: str, params: Sequence[object], *, auth: RelayAuth | None) -> Sealed:
    """Write a JSON-RPC body once and sign exactly these bytes; usable for many endpoints."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
    return Sealed(body=body, header=await auth.header(body) if auth else None)


class Relay:
    """An endpoint that takes bundles, and a `tx.Destination` for single private transactions.

    Args:
        url: http or https; credentials in it are sent but never shown.
        name: for people, journals and errors.
        auth: the reputation key; required if the profile wants signatures.
        timeout_s: deadline of one request, connection and answer included.
        fee_recipients: coinbases of the builders behind it, where known; they let a missed
            bundle be told from one whose builder did not win the block.

    Raises:
        ConfigError: no http(s) URL, or no key for a relay that wants signatures.
    """

    exposure = Exposure.PRIVATE

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        auth: RelayAuth | None = None,
        profile: Profile | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        fee_recipients: frozenset[Address] = frozenset(),
    ) -> None:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:  # its text may hold what was meant as a password
            raise ConfigError("relay address is no URL: its host or port cannot be read") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(
                f"relay {name or parts.hostname or '?'} has no http(s) URL: give its full address"
            )
        self.profile = profile or profile_for(url)
        self.name = name or self.profile.name
        if self.profile.signed and auth is None:
            raise ConfigError(f"relay {self.name} wants signed requests: give it a reputation key")
        self.auth = auth if self.profile.signed else None
        self.timeout_s = timeout_s
        self.fee_recipients = fee_recipients
        self.is_loopback = is_loopback(url)
        self._url = url
        self._http: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        """Name the relay without the credentials its URL may carry."""
        return f"Relay({self.name})"

    async def seal_bundle(self, bundle: Bundle) -> Sealed:
        """Write and sign a bundle in this relay's dialect.

        Raises:
            RelayRejected: the dialect cannot express the bundle.
        """
        return await seal("eth_sendBundle", [bundle_params(bundle, self.profile)], auth=self.auth)

    async def send_bundle(self, bundle: Bundle, *, sealed: Sealed | None = None) -> Hash | None:
        """Submit a bundle; None where the relay takes it without telling a hash.

        Raises:
            RelayRejected: the relay said no.
            RelayUnavailable: no understandable answer in time; it may have the bundle.
        """
        return hash_in(await self._post(sealed or await self.seal_bundle(bundle)))

    async def call_bundle(
        self, bundle: Bundle, *, state_block: int | str = "latest", timestamp: int | None = None
    ) -> dict[str, object]:
        """Let the relay simulate a bundle on top of `state_block`; its answer, unchanged.

        Raises:
            RelayRejected: it does not simulate, or the bundle is invalid there.
            RelayUnavailable: no understandable answer in time.
        """
        state = hex(state_block) if isinstance(state_block, int) else state_block
        params: dict[str, object] = {
            "txs": list(bundle.transactions),
            "blockNumber": hex(bundle.target_block),
            "stateBlockNumber": state,
        }
        if timestamp is not None:
            params["timestamp"] = timestamp
        method = self._offered(self.profile.dialect.simulate_method, "simulate bundles")
        result = await self._ask(method, params)
        if not isinstance(result, dict):
            raise RelayUnavailable(
                f"{self.name} simulated without telling the result", relay=self.name
            )
        return result

    async def cancel_bundle(self, uuid: str) -> None:
        """Withdraw the bundle that was sent with this replacement uuid, if it is not too late.

        Raises:
            RelayRejected: it knows no such bundle, or no cancellation.
            RelayUnavailable: no understandable answer in time.
        """
        method = self._offered(self.profile.dialect.cancel_method, "cancel bundles")
        await self._ask(method, {self.profile.dialect.uuid_field: uuid})

    async def send_private_transaction(self, raw: str, *, max_block: int) -> Hash:
        """Hand over one signed transaction for inclusion up to `max_block`; its hash.

        Raises:
            RelayRejected: it said no, or takes no single transactions.
            RelayUnavailable: no understandable answer in time; it may have the transaction.
        """
        method = self._offered(self.profile.dialect.private_method, "take single transactions")
        result = await self._ask(method, {"tx": raw, "maxBlockNumber": hex(max_block)})
        known = hash_in(result, field="txHash")
        return known or Hash("0x" + keccak(bytes.fromhex(raw[2:])).hex())

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take a lane's attempt privately, up to `target_block`; errors as for the above."""
        await self.send_private_transaction(attempt.signed.raw, max_block=target_block)

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _offered(self, method: str | None, what: str) -> str:
        if method is None:
            raise RelayRejected(f"{self.name} does not {what}", relay=self.name)
        return method

    async def _ask(self, method: str, params: dict[str, object]) -> object:
        return await self._post(await seal(method, [params], auth=self.auth))

    async def _post(self, sealed: Sealed) -> object:
        headers = {"Content-Type": "application/json"}
        if sealed.header is not None:
            headers[HEADER] = sealed.header
        try:
            async with asyncio.timeout(self.timeout_s):
                status, body = await self._exchange(sealed.body, headers)
        except TimeoutError:
            raise RelayUnavailable(
                f"{self.name} gave no answer within {self.timeout_s:g} s", relay=self.name
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            # The cause stays out: its text may carry the URL with credentials.
            raise RelayUnavailable(
                f"{self.name} cannot be reached: {type(error).__name__}", relay=self.name
            ) from None
        return read_answer(status, body, relay=self.name)

    async def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS)
            )
        # A redirect would carry private transactions to a host that nobody configured.
        async with self._http.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            answer = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                answer += chunk
                if len(answer) > _MAX_ANSWER_BYTES:
                    raise RelayUnavailable(
                        f"{self.name} answered more than {_MAX_ANSWER_BYTES} bytes",
                        relay=self.name,
                    )
            return response.status, bytes(answer)
