"""A process that wants a lease, tells whether it got it, and does as it is told.

Run as `python lease_holder.py DIRECTORY JOURNAL [takeover]`. It answers one line to each line
given on its standard input: `check`, `release`; it ends with its input.
"""

import sys

from toolkit.model.chain import Address
from toolkit.model.errors import ToolkitError
from toolkit.tx.leases import Leases

CHAIN_ID = 31337
SENDER = Address("0x" + "ab" * 20)


def main() -> None:
    """Take the lease, then obey."""
    directory, journal, *words = sys.argv[1:]
    leases = Leases(directory, takeover="takeover" in words)
    try:
        lease = leases.acquire(CHAIN_ID, SENDER, journal)
        print(f"token {lease.token}", flush=True)
        for line in sys.stdin:
            if line.strip() == "release":
                lease.release()
            else:
                lease.check()
            print("done", flush=True)
    except ToolkitError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    finally:
        leases.close()


if __name__ == "__main__":
    main()
