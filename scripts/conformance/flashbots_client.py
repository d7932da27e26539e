"""The official flashbots client, unmodified, told what to do by a JSON job on stdin.

Runs in an environment of its own (flashbots 2.0.0 pins web3 6), so it cannot import the toolkit.
`play` uses each method against a devnet; `record` makes the given calls and nothing else.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from eth_account import Account
from flashbots import flashbot
from hexbytes import HexBytes
from requests import HTTPError
from web3 import HTTPProvider, Web3
from web3.exceptions import TransactionNotFound

WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
WITHDRAW_TOO_MUCH = "0x2e1a7d4d" + "ff" * 32
PAYEE = "0x" + "42" * 20
GWEI = 10**9


class Desk:
    """One account of the devnet and a client of its relay."""

    def __init__(self, job: dict[str, Any], key: str) -> None:
        self.w3: Any = Web3(HTTPProvider(job["rpc"]))
        reputation = Account.from_key(job["key"])
        self.client: Any = flashbot(self.w3, reputation, job["relay"]).flashbots
        self.account = Account.from_key(key)
        self.target = self.w3.eth.block_number + 1

    def own(self, nonce: int, **fields: Any) -> dict[str, Any]:
        """A transaction that the client is to sign."""
        return {"signer": self.account, "transaction": self.fields(nonce, **fields)}

    def raw(self, nonce: int, **fields: Any) -> dict[str, Any]:
        """A transaction that is signed already."""
        signed = self.account.sign_transaction(self.fields(nonce, **fields))
        return {"signed_transaction": signed.rawTransaction}

    def fields(self, nonce: int, **fields: Any) -> dict[str, Any]:
        """A transfer of one wei, or of what is said."""
        fees = {"maxFeePerGas": 50 * GWEI, "maxPriorityFeePerGas": GWEI}
        return (
            {"to": PAYEE, "value": 1, "gas": 21_000, "nonce": nonce, "chainId": 1} | fees | fields
        )

    def mine(self) -> None:
        """Let the devnet seal the next slot."""
        self.w3.provider.make_request("evm_mine", [])

    def is_known(self, tx_hash: bytes) -> bool:
        """Whether the chain has this transaction."""
        try:
            self.w3.eth.get_transaction_receipt(tx_hash)
        except TransactionNotFound:
            return False
        return True


def equal(expected: object, found: object) -> None:
    """Fail with both values unless they are equal."""
    if expected != found:
        raise AssertionError(f"expected {expected!r}, found {found!r}")


def simulate(desk: Desk) -> str:
    """The relay simulates on the newest block, and by default on the one before, as asked."""
    head = desk.w3.eth.block_number
    bundle = [desk.own(0), desk.raw(1, value=2)]
    answer = desk.client.simulate(bundle, block_tag=head + 1, state_block_tag=head)
    equal([21_000, 21_000], [row["gasUsed"] for row in answer["results"]])
    equal([False, False], ["error" in row for row in answer["results"]])
    equal(2 * 21_000 * GWEI, int(answer["coinbaseDiff"]))
    equal(42_000, desk.client.simulate(bundle)["totalGasUsed"])
    hashes = b"".join(desk.w3.keccak(raw) for raw in answer["signedBundledTransactions"])
    equal(desk.w3.keccak(hashes).hex(), answer["bundleHash"])
    return "2 transactions, exact builder revenue, the client's own bundle hash"


def send_bundle(desk: Desk) -> str:
    """A bundle lands whole and in order; wait and receipts tell."""
    sent = desk.client.send_bundle(
        [desk.own(0), desk.raw(1), desk.own(2)], target_block_number=desk.target
    )
    desk.mine()
    sent.wait()
    receipts = sent.receipts()
    first = receipts[0]["transactionIndex"]
    equal([1, 1, 1], [one["status"] for one in receipts])
    equal({desk.target}, {one["blockNumber"] for one in receipts})
    equal([first, first + 1, first + 2], [one["transactionIndex"] for one in receipts])
    return f"wait, receipts: 3 in order in block {desk.target}"


def reverting_hashes(desk: Desk) -> str:
    """A transaction that may revert does, and lands with its bundle."""
    failing = desk.raw(0, to=WETH, value=0, data=WITHDRAW_TOO_MUCH, gas=60_000)
    allowed = desk.w3.keccak(failing["signed_transaction"]).hex()
    options = {"revertingTxHashes": [allowed]}
    sent = desk.client.send_bundle([failing, desk.raw(1)], desk.target, opts=options)
    desk.mine()
    equal([0, 1], [one["status"] for one in sent.receipts()])
    return "status 0 and 1"


def replace_bundle(desk: Desk) -> str:
    """A second bundle with the same uuid takes the place of the first, which pays more."""
    options = {"replacementUuid": "6f1f4a9e-5d54-4d8c-8f1e-0c6b4a5d2e11"}
    better = desk.own(0, maxPriorityFeePerGas=2 * GWEI)
    first = desk.client.send_bundle([better], desk.target, opts=options)
    second = desk.client.send_bundle([desk.own(0)], desk.target, opts=options)
    desk.mine()
    equal(1, second.receipts()[0]["status"])
    equal(False, desk.is_known(first.bundle[0]["hash"]))
    return "only the second landed"


def cancel_bundles(desk: Desk) -> str:
    """A cancelled bundle is named, and does not land."""
    uuid = "0b5b1d66-9d0c-4c53-9a35-3a1f3d4f7c22"
    sent = desk.client.send_bundle([desk.own(0)], desk.target, opts={"replacementUuid": uuid})
    answer = desk.client.cancel_bundles(uuid)
    desk.mine()
    sent.wait()
    equal([sent.bundle_hash().hex()], list(answer["bundleHashes"]))
    equal(False, desk.is_known(sent.bundle[0]["hash"]))
    return "named and not mined"


def send_private_transaction(desk: Desk) -> str:
    """A private transaction is mined; its receipt comes."""
    sent = desk.client.send_private_transaction(desk.own(0), max_block_number=desk.target + 3)
    desk.mine()
    equal(True, sent.wait())
    equal(1, sent.receipt()["status"])
    return "wait, receipt: mined"


def cancel_private_transaction(desk: Desk) -> str:
    """A cancelled private transaction is not mined."""
    sent = desk.client.send_private_transaction(desk.own(0))
    tx_hash = sent.tx["hash"]
    equal(True, desk.client.cancel_private_transaction(tx_hash.hex()))
    desk.mine()
    equal(False, desk.is_known(tx_hash))
    return "not mined"


def refusals(desk: Desk) -> str:
    """What the relay refuses, and statistics that are gone, are the client's own errors."""
    equal(-32000, code_of(lambda: desk.client.send_bundle([desk.own(0)], desk.target - 1)))
    late = desk.raw(7)["signed_transaction"]
    head = hex(desk.target - 1)
    equal(-32000, code_of(lambda: desk.client.call_bundle([late], hex(desk.target), head, 0)))
    try:
        desk.client.get_user_stats_v2()
    except HTTPError as error:
        equal(True, str(error).startswith("403 "))
        return "a past block, a nonce too high, statistics that are gone"
    raise AssertionError("statistics were answered")


def code_of(call: Callable[[], object]) -> object:
    """The code of the relay's error, as the client raises it."""
    try:
        call()
    except ValueError as error:
        return error.args[0]["code"]
    return None


METHODS: tuple[Callable[[Desk], str], ...] = (
    simulate,
    send_bundle,
    reverting_hashes,
    replace_bundle,
    cancel_bundles,
    send_private_transaction,
    cancel_private_transaction,
    refusals,
)


def play(job: dict[str, Any]) -> int:
    """Use every method with an account of its own; one line each, the number of failures."""
    failures = 0
    for method, key in zip(METHODS, job["accounts"], strict=True):
        try:
            print(f"ok    flashbots {method.__name__}: {method(Desk(job, key))}", flush=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this method's failure
            failures += 1
            print(f"FAIL  flashbots {method.__name__}: {error!r}", flush=True)
    return failures


def record(job: dict[str, Any]) -> int:
    """Make each given call with a fresh client, so that every request has the same id."""
    for case in job["cases"]:
        given = case["inputs"]
        client = Desk(job, job["accounts"][0]).client
        raws = [HexBytes(raw) for raw in given.get("transactions", [])]
        signed = [{"signed_transaction": raw} for raw in raws]
        if case["method"] == "eth_sendBundle":
            client.send_bundle(signed, given["block"], opts=given["options"])
        elif case["method"] == "eth_callBundle":
            block, state = hex(given["block"]), hex(given["state_block"])
            client.call_bundle(raws, block, state, given["timestamp"])
        elif case["method"] == "eth_cancelBundle":
            client.cancel_bundles(given["uuid"])
        elif case["method"] == "eth_cancelPrivateTransaction":
            client.cancel_private_transaction(given["tx_hash"])
        else:
            client.send_private_transaction(signed[0], max_block_number=given["max_block"])
    return 0


if __name__ == "__main__":
    task = json.load(sys.stdin)
    sys.exit({"play": play, "record": record}[task["task"]](task))
