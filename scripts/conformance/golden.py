"""What the official client sends for given inputs, and what our relay client does for the same."""

from pathlib import Path
from typing import Any

import msgspec

from toolkit.bundles.auth import RelayAuth
from toolkit.bundles.relay import Relay
from toolkit.chain.signer import LocalSigner, decode_transaction
from toolkit.model.bundle import Bundle

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "bundles" / "golden"
CLIENTS = ("flashbots", "ethers")
"""Whose recordings there are."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One call: its inputs, and the request that the official client made of them.

    Where `exact`, ours is the very same body, but for its id and the order of its keys. The Python
    client writes options that are not set as 0, [] and null, and both write block numbers of
    private transactions as JSON numbers, against the relay's own documentation; there, ours only
    means the same.
    """

    name: str
    method: str
    exact: bool
    inputs: dict[str, Any]
    body: str = ""
    header: str = ""


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """All cases, the client they were recorded from, and the key that signed the requests."""

    client: str
    key: str
    cases: tuple[Case, ...]

    @property
    def auth(self) -> RelayAuth:
        """The reputation key, worth nothing anywhere."""
        return RelayAuth(LocalSigner(self.key))


def load(client: str) -> Golden:
    """Read the committed recordings of a client."""
    return msgspec.json.decode((FOLDER / f"{client}.json").read_bytes(), type=Golden)


def store(client: str, golden: Golden) -> None:
    """Write recordings to be committed."""
    text = msgspec.json.format(msgspec.json.encode(golden), indent=1)
    (FOLDER / f"{client}.json").write_bytes(text + b"\n")


async def send_ours(case: Case, *, url: str, auth: RelayAuth) -> None:
    """Make the case's call with our relay client; what the relay answers is not looked at."""
    relay, given = Relay(url, auth=auth), case.inputs
    try:
        if case.method == "eth_cancelBundle":
            await relay.cancel_bundle(given["uuid"])
        elif case.method == "eth_cancelPrivateTransaction":
            await relay.cancel_private_transaction(given["tx_hash"])
        elif case.method == "eth_sendPrivateTransaction":
            raw = given["transactions"][0]
            await relay.send_private_transaction(raw, max_block=given["max_block"])
        elif case.method == "eth_callBundle":
            state, at = given["state_block"], given["timestamp"]
            await relay.call_bundle(_bundle(given), state_block=state, timestamp=at)
        else:
            await relay.send_bundle(_bundle(given))
    finally:
        await relay.close()


def _bundle(given: dict[str, Any]) -> Bundle:
    options = given.get("options", {})
    return Bundle(
        transactions=tuple(given["transactions"]),
        hashes=tuple(decode_transaction(raw).hash for raw in given["transactions"]),
        target_block=given["block"],
        min_timestamp=options.get("minTimestamp"),
        max_timestamp=options.get("maxTimestamp"),
        reverting_hashes=tuple(options.get("revertingTxHashes", ())),
        replacement_uuid=options.get("replacementUuid"),
    )


def meaning(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters without options that say nothing, and block numbers in hex."""
    said = {name: value for name, value in params.items() if value not in (0, [], None)}
    if isinstance(number := said.get("maxBlockNumber"), int):
        said["maxBlockNumber"] = hex(number)
    return said


def agrees(case: Case, *, ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether our body is theirs, or means the same where that is all that can be.

    Ids only tell one request of a client from its next.
    """
    if not case.exact:
        (params,) = theirs["params"]
        theirs = theirs | {"params": [meaning(params)]}
    return ours | {"id": None} == theirs | {"id": None}
