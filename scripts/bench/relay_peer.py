"""The official flashbots client, unmodified, as the relay benchmark's peer.

Runs in the environment of its own that `make conformance` makes, so it imports nothing of ours. Its
first line of input is a JSON job; each further line is one bundle to be sent, and is answered with
the seconds that took.
"""

import json
import sys
import time
from typing import Any

from eth_account import Account
from flashbots import flashbot
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3


def main() -> None:
    """Send the job's bundle as often as asked."""
    job = json.loads(sys.stdin.readline())
    # Nothing is asked of a node: the transactions are signed already.
    w3: Any = Web3(HTTPProvider(job["relay"]))
    client = flashbot(w3, Account.from_key(job["key"]), job["relay"]).flashbots
    bundle = [{"signed_transaction": HexBytes(raw)} for raw in job["transactions"]]
    for _ in sys.stdin:
        start = time.perf_counter()
        client.send_bundle(bundle, target_block_number=job["block"])
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
