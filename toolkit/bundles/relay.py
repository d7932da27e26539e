"""One relay: an endpoint that takes bundles, spoken to in its dialect and on its own deadline."""

import asyncio
import io
from collections import OrderedDict
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson

from toolkit.bundles.answers import HTTP_TOO_MANY, hash_in, read_answer
from toolkit.bundles.auth import HEADER, RelayAuth
from toolkit.bundles.limits import Budgets, Purpose, Rates
from toolkit.bundles.profiles import Profile, Signature, is_loopback, profile_for
from toolkit.bundles.requests import (
    Request,
    bundle_request,
    cancel_private_request,
    cancel_request,
    private_request,
    simulation_request,
)
from toolkit.bundles.tally import RelayStatistics, Tally
from toolkit.chain.hashing import keccak
from toolkit.chain.wire import retry_after
from toolkit.model.bundle import Bundle
from toolkit.model.chain import Address, Hash
from toolkit.model.checks import require_seconds
from toolkit.model.errors import (
    ConfigError,
    RelayError,
    RelayRejected,
    RelayUnavailable,
    SignerError,
)
from toolkit.model.tx import Attempt, Exposure

DEFAULT_TIMEOUT_S = 2.0
_MAX_ANSWER_BYTES = 1 << 20
_MOST_AT_ONCE_BYTES = 1 << 20
_MAX_CONNECTIONS = 256
_REMEMBERED_UUIDS = 4096
_PAUSE_S = 1.0  # after HTTP 429 without a word for how long
_MOST_PAUSE_S = 3600.0  # then a relay is asked again, whatever it said


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A request body and its signature; the repr shows neither, since the body is private."""

    body: bytes
    header: str | None

    def __repr__(self) -> str:
        """Tell the size only."""
        return f"Sealed({len(self.body)} bytes)"


async def seal(request: Request, *, auth: RelayAuth | None) -> Sealed:
    """Write a JSON-RPC body once and sign exactly these bytes; usable for many endpoints.

    Raises:
        SignerError: the reputation key's signer cannot sign.
    """
    body = orjson.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": request.method, "params": request.params}
    )
    return Sealed(body=body, header=await auth.header(body) if auth else None)


class Relay:
    """An endpoint that takes bundles, and a `tx.Destination` for single private transactions.

    Args:
        url: http or https; credentials in it are sent but never shown.
        name: for people, journals and errors.
        auth: the reputation key; required if the profile wants signatures.
        authorization: value of the `Authorization` header, for those that have accounts; never
            shown.
        timeout_s: deadline of one request: waiting for its turn, connection and answer included.
        rates: how often it may be asked, where that is not as its profile says.
        fee_recipients: coinbases of the builders behind it, where known; they let a missed
            bundle be told from one whose builder did not win the block.

    Raises:
        ConfigError: no http(s) URL, no deadline, or no key or account where one is wanted.
    """

    exposure = Exposure.PRIVATE

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        auth: RelayAuth | None = None,
        authorization: str | None = None,
        profile: Profile | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        rates: Rates | None = None,
        fee_recipients: frozenset[Address] = frozenset(),
    ) -> None:
        _check_url(url, name)
        require_seconds("timeout_s", timeout_s)
        known = profile or profile_for(url, name=name)
        self.name = name or known.name
        self.profile = msgspec.structs.replace(known, name=self.name)  # refusals say this name
        if self.profile.signature is Signature.REQUIRED and auth is None:
            raise ConfigError(f"relay {self.name} wants signed requests: give it a reputation key")
        if self.profile.authorized and not authorization:
            raise ConfigError(f"relay {self.name} wants an account: give it authorization=")
        if authorization is not None and not (
            authorization.isascii() and authorization.isprintable()
        ):
            raise ConfigError(
                f"authorization of relay {self.name} is no header: give printable text"
            )
        self.auth = None if self.profile.signature is Signature.NONE else auth
        self.timeout_s = timeout_s
        self.fee_recipients = fee_recipients
        self.is_loopback = is_loopback(url)
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._budgets = Budgets(rates or self.profile.rates)
        self._tally = Tally()
        self._newest: OrderedDict[str, tuple[int, int | None]] = OrderedDict()
        self._http: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        """Name the relay without the credentials its URL may carry."""
        return f"Relay({self.name})"

    async def seal_bundle(self, bundle: Bundle) -> Sealed:
        """Write and sign a bundle in this relay's dialect.

        Raises:
            RelayRejected: the dialect cannot express the bundle, or it cannot be signed for.
        """
        return await self._seal(bundle_request(bundle, self.profile))

    async def send_bundle(self, bundle: Bundle, *, sealed: Sealed | None = None) -> Hash | None:
        """Submit a bundle; the hash that the relay tells, None where it tells none.

        Raises:
            RelayRejected: the relay said no, or was asked too often and got nothing.
            RelayUnavailable: no understandable answer in time; it may have the bundle.
        """
        sealed = sealed or await self.seal_bundle(bundle)
        self._remember(bundle)
        return hash_in(await self._post(sealed, Purpose.BUNDLE))

    async def call_bundle(
        self, bundle: Bundle, *, state_block: int | str = "latest", timestamp: int | None = None
    ) -> dict[str, object]:
        """Let the relay simulate a bundle on top of `state_block`; its answer, unchanged.

        Raises:
            RelayRejected: it does not simulate, or the bundle is invalid there.
            RelayUnavailable: no understandable answer in time.
        """
        request = simulation_request(
            bundle, self.profile, state_block=state_block, timestamp=timestamp
        )
        result = await self._ask(request)
        if not isinstance(result, dict):
            raise RelayUnavailable(
                f"{self.name} simulated without telling the result", relay=self.name
            )
        return result

    async def cancel_bundle(
        self, uuid: str, *, target_block: int | None = None, replacement_nonce: int | None = None
    ) -> tuple[Hash, ...] | None:
        """Withdraw the bundle that was sent with this replacement uuid, if it is not too late.

        Cancellations have a budget of their own, so that a flood of bundles cannot delay them.

        Args:
            uuid: the replacement uuid.
            target_block: of its newest bundle; not needed for what this relay object sent.
            replacement_nonce: above those of its bundles, where they have one; likewise.

        Returns:
            The bundles it withdrew: none where it says no in whatever form; None where it says
            yes without telling which.

        Raises:
            RelayRejected: it knows no such bundle, or no cancellation.
            RelayUnavailable: no understandable answer in time.
        """
        block, nonce = self._newest.get(uuid, (None, None))
        if replacement_nonce is None and nonce is not None:
            replacement_nonce = nonce + 1
        request = cancel_request(
            uuid,
            self.profile,
            target_block=block if target_block is None else target_block,
            replacement_nonce=replacement_nonce,
        )
        result = await self._ask(request)
        if isinstance(result, list):
            return tuple(known for known in map(hash_in, result) if known is not None)
        refused = result is False or (isinstance(result, dict) and bool(result.get("error")))
        return () if refused else None

    async def send_private_transaction(self, raw: str, *, max_block: int) -> Hash:
        """Hand over one signed transaction for inclusion up to `max_block`; its own hash.

        A relay whose dialect knows no such bound may include it later.

        Raises:
            ConfigError: not 0x hex; nothing was sent.
            RelayRejected: it said no, or takes no single transactions.
            RelayUnavailable: no understandable answer in time; it may have the transaction.
        """
        own = _hash_of(raw)
        await self._ask(private_request(raw, self.profile, max_block=max_block))
        return own

    async def cancel_private_transaction(self, tx_hash: Hash) -> bool:
        """Take back a transaction that was handed over with the same key; whether it did.

        Raises:
            RelayRejected: it takes none back.
            RelayUnavailable: no understandable answer in time.
        """
        return await self._ask(cancel_private_request(tx_hash, self.profile)) is True

    async def send(self, attempt: Attempt, *, target_block: int) -> None:
        """Take a lane's attempt privately, up to `target_block`; errors as for the above."""
        await self.send_private_transaction(attempt.signed.raw, max_block=target_block)

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    def statistics(self) -> RelayStatistics:
        """Count the answers so far, and tell how long the newest of them took."""
        return self._tally.told()

    def _remember(self, bundle: Bundle) -> None:
        """Note what a cancellation will have to say: block and highest number of a uuid."""
        uuid, nonce = bundle.replacement_uuid, bundle.replacement_nonce
        if uuid is None:
            return
        _, former = self._newest.pop(uuid, (0, None))
        highest = max((one for one in (former, nonce) if one is not None), default=None)
        self._newest[uuid] = (bundle.target_block, highest)
        if len(self._newest) > _REMEMBERED_UUIDS:
            self._newest.popitem(last=False)

    async def _seal(self, request: Request) -> Sealed:
        try:
            return await seal(request, auth=self.auth)
        except SignerError as error:
            raise RelayRejected(
                f"{self.name} was sent nothing, its reputation key did not sign: {error}",
                relay=self.name,
            ) from None

    async def _ask(self, request: Request) -> object:
        return await self._post(await self._seal(request), request.purpose)

    async def _post(self, sealed: Sealed, purpose: Purpose) -> object:
        headers = self._headers
        if sealed.header is not None:
            headers = {**headers, HEADER: sealed.header}
        try:
            status, body = await self._within_deadline(sealed.body, headers, purpose)
            result = read_answer(status, body, relay=self.name)
        except RelayError as error:
            self._tally.ended(error)
            raise
        self._tally.ended(None)
        return result

    async def _within_deadline(
        self, body: bytes, headers: dict[str, str], purpose: Purpose
    ) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._turn(purpose)
                started_s = asyncio.get_running_loop().time()
                answer = await self._exchange(body, headers, purpose)
                self._tally.answered(asyncio.get_running_loop().time() - started_s)
                return answer
        except TimeoutError:
            raise RelayUnavailable(
                f"{self.name} gave no answer within {self.timeout_s:g} s", relay=self.name
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            # The cause stays out: its text may carry the URL with credentials.
            raise RelayUnavailable(
                f"{self.name} cannot be reached: {type(error).__name__}", relay=self.name
            ) from None

    async def _turn(self, purpose: Purpose) -> None:
        """Wait until the relay may be asked again, unless too little would be left for asking."""
        patience_s = self.timeout_s / 2
        now_s = asyncio.get_running_loop().time()
        wait_s = self._budgets.reserve(purpose, now_s, patience_s=patience_s)
        if wait_s > patience_s:
            raise RelayRejected(
                f"{self.name} takes no more {purpose.value} for {wait_s:.1f} s, nothing was sent:"
                f" send less often",
                relay=self.name,
            )
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _exchange(
        self, body: bytes, headers: dict[str, str], purpose: Purpose
    ) -> tuple[int, bytes]:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS)
            )
        # aiohttp writes bytes in one go and warns of long ones, but a stream in pieces.
        data = io.BytesIO(body) if len(body) > _MOST_AT_ONCE_BYTES else body
        # A redirect would carry private transactions to a host that nobody configured.
        async with self._http.post(
            self._url, data=data, headers=headers, allow_redirects=False
        ) as response:
            if response.status == HTTP_TOO_MANY:
                pause_s = retry_after(response.headers.get("Retry-After")) or _PAUSE_S
                now_s = asyncio.get_running_loop().time()
                self._budgets.hold(purpose, now_s, seconds=min(pause_s, _MOST_PAUSE_S))
            answer = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                answer += chunk
                if len(answer) > _MAX_ANSWER_BYTES:
                    raise RelayUnavailable(
                        f"{self.name} answered more than {_MAX_ANSWER_BYTES} bytes",
                        relay=self.name,
                    )
            return response.status, bytes(answer)


def _hash_of(raw: str) -> Hash:
    digits = raw[2:] if isinstance(raw, str) and raw.startswith("0x") else "none"
    try:
        return Hash("0x" + keccak(bytes.fromhex(digits)).hex())
    except ValueError:
        raise ConfigError("raw transaction is not 0x hex: give signed bytes") from None


def _check_url(url: str, name: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
        (parts.hostname or "").encode("idna")  # what connecting will do with it
    except ValueError:  # its text may hold what was meant as a password
        raise ConfigError("relay address is no URL: its host or port cannot be read") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"relay {name or parts.hostname or '?'} has no http(s) URL: give its full address"
        )
