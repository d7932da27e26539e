"""Guards that one process on one chain never leans on: each has a test of its own that notices.

The simulation kills and restarts, but it has no second process, no second chain, no disk and one
honest node; what guards against those is taken out before the tests that are named here.
"""

from scripts.soak.mutants import Mutant

LOG = "journal/log.py"
CHAIN = "journal/chain.py"
SQLITE = "journal/sqlite.py"
LEASES = "tx/leases.py"
OPENING = "tx/opening.py"
ACCEPTANCE = "tx/acceptance.py"
PREFLIGHT = "tx/preflight.py"
POOL = "tx/key_pool.py"
QUORUM = "chain/quorum.py"
POLL = "chain/quorum_poll.py"

TESTED: tuple[Mutant, ...] = (
    Mutant(
        "an entry follows from the one before it",
        CHAIN,
        "        if entry.previous != previous:\n",
        "        if False:\n",
        "tests/journal/test_verification.py",
    ),
    Mutant(
        "no entry is missing from the chain",
        CHAIN,
        "        if entry.seq != seq:\n",
        "        if False:\n",
        "tests/journal/test_log.py",
    ),
    Mutant(
        "an entry's content fits its hash",
        CHAIN,
        "    if entry.hash != expected.hash:\n",
        "    if False:\n",
        "tests/journal/test_log.py",
    ),
    Mutant(
        "a key is bound by the hash",
        CHAIN,
        "_encode_head(bound if key is None else (*bound, key))",
        "_encode_head(bound)",
        "tests/journal/test_backends.py",
    ),
    Mutant(
        "a journal ends where its last write did",
        CHAIN,
        "    if reached.seq < head.seq:\n",
        "    if reached.seq <= head.seq:\n        return\n    if False:\n",
        "tests/journal/test_log.py",
    ),
    Mutant(
        "an overtaken holder of the journal cannot write",
        SQLITE,
        "AND (SELECT token FROM holder) = ?",
        "AND (SELECT token FROM holder) >= ?",
        "tests/journal/test_fencing.py",
    ),
    Mutant(
        "who takes the journal over has a token of his own",
        SQLITE,
        '        database.execute("UPDATE holder SET token = token + 1")\n',
        "",
        "tests/journal/test_fencing.py",
    ),
    Mutant(
        "rows that were not written are noticed",
        SQLITE,
        "        if written != len(entries):\n",
        "        if False:\n",
        "tests/journal/test_fencing.py",
    ),
    Mutant(
        "a write is on the disk before it counts",
        SQLITE,
        '        database.execute("PRAGMA synchronous=FULL")\n',
        '        database.execute("PRAGMA synchronous=OFF")\n',
        "tests/journal/test_fsync.py",
    ),
    Mutant(
        "a commit waits for its write",
        LOG,
        "            self._waiting.append((wanted, waiter))\n            await waiter\n",
        "            self._waiting.append((wanted, waiter))\n            return\n",
        "tests/journal/test_log.py",
    ),
    Mutant(
        "the first failed write ends the journal",
        LOG,
        "            self._failure = error\n        else:",
        "            pass\n        else:",
        "tests/journal/test_durability.py",
    ),
    Mutant(
        "a journal asks its guard before it writes",
        LOG,
        "            self._guard()\n",
        "            pass\n",
        "tests/journal/test_durability.py",
    ),
    Mutant(
        "a lease that somebody holds is not given away",
        LEASES,
        "                self._require_free(row, ",
        "                (lambda *_: None)(row, ",
        "tests/tx/test_leases.py",
    ),
    Mutant(
        "a lease whose token is old is lost",
        LEASES,
        "row is None or row.token != lease.token or row.holder != self._holder",
        "row is None",
        "tests/tx/test_leases.py",
    ),
    Mutant(
        "whoever takes a lease gets a higher token",
        LEASES,
        "token = 1 if row is None else row.token + 1",
        "token = 1 if row is None else row.token",
        "tests/tx/test_leases.py",
    ),
    Mutant(
        "a holder that lives and beats is left alone",
        LEASES,
        "if holder is not None and lives and (elsewhere or (beats and not self._takeover)):",
        "if False:",
        "tests/tx/test_leases.py",
    ),
    Mutant(
        "a lease goes with its journal",
        LEASES,
        "if elsewhere and not self._takeover:",
        "if False:",
        "tests/tx/test_leases.py",
    ),
    Mutant(
        "a process id that is used again is another holder",
        LEASES,
        "return started_at(holder.pid) == holder.started",
        "return started_at(holder.pid) is not None",
        "tests/tx/test_leases.py",
    ),
    Mutant(
        "a journal of another chain is refused",
        OPENING,
        "    if not same:\n",
        "    if False:\n",
        "tests/tx/test_recovery.py",
    ),
    Mutant(
        "open requests of a missing signer stop the start",
        OPENING,
        "if unfinished and lane not in signers:",
        "if False:",
        "tests/tx/test_recovery.py",
    ),
    Mutant(
        "open requests for a missing destination stop the start",
        OPENING,
        "            if name not in destinations:\n",
        "            if False:\n",
        "tests/tx/test_recovery.py",
    ),
    Mutant(
        "an idempotency key with another payload is a conflict",
        ACCEPTANCE,
        "if before != fingerprint(request, sender, wish.destinations):",
        "if False:",
        "tests/tx/test_scheduler.py",
    ),
    Mutant(
        "a key's answer waits until its request is durable",
        ACCEPTANCE,
        "            await self._journal.commit()  # whoever was first",
        "            pass  # whoever was first",
        "tests/tx/test_scheduler_order.py",
    ),
    Mutant(
        "of several signers one is named",
        ACCEPTANCE,
        "            if len(self._accounts) != 1:\n",
        "            if False:\n",
        "tests/tx/test_scheduler.py",
    ),
    Mutant(
        "the queue is bounded",
        ACCEPTANCE,
        "if waiting >= self._config.max_queued:",
        "if False:",
        "tests/tx/test_scheduler.py",
    ),
    Mutant(
        "worst-case cost is capped before a nonce is used",
        PREFLIGHT,
        "    if cost > max_cost_wei:\n",
        "    if False:\n",
        "tests/tx/test_scheduler.py",
    ),
    Mutant(
        "gas is capped before a nonce is used",
        PREFLIGHT,
        "    if unsigned.gas > max_gas:\n",
        "    if False:\n",
        "tests/tx/test_scheduler.py",
    ),
    Mutant(
        "funds are checked before a nonce is used",
        PREFLIGHT,
        "    if needed_wei > available_wei:\n",
        "    if False:\n",
        "tests/tx/test_preflight.py",
    ),
    Mutant(
        "blobs are refused",
        PREFLIGHT,
        "    if request.type == _BLOB:\n",
        "    if False:\n",
        "tests/tx/test_preflight.py",
    ),
    Mutant(
        "a key that cannot pay is not chosen",
        POOL,
        "load.free_balance_wei >= cost_wei]",
        "True]",
        "tests/tx/test_key_pool.py",
    ),
    Mutant(
        "a halted key is not chosen",
        POOL,
        "running = [load for load in loads if not load.halted]",
        "running = list(loads)",
        "tests/tx/test_key_pool.py",
    ),
    Mutant(
        "choices at the same moment see each other",
        POOL,
        "        self._busy[sender] += 1\n",
        "        self._busy[sender] += 0\n",
        "tests/tx/test_key_pool.py",
    ),
    Mutant(
        "a minority of nodes is not believed",
        POLL,
        "return best if len(best) >= self.quorum else []",
        "return best",
        "tests/chain/test_quorum.py",
    ),
    Mutant(
        "a quorum is more than half",
        QUORUM,
        "if not nodes or not least <= self.quorum <= len(nodes):",
        "if not nodes:",
        "tests/chain/test_quorum.py",
    ),
    Mutant(
        "a node has one vote",
        QUORUM,
        "        if len(set(self.urls)) < len(self.urls):\n",
        "        if False:\n",
        "tests/chain/test_quorum.py",
    ),
    Mutant(
        "a number that one node claims is not reached",
        QUORUM,
        "sorted(numbers, reverse=True)[self.quorum - 1]",
        "sorted(numbers, reverse=True)[0]",
        "tests/chain/test_quorum.py",
    ),
    Mutant(
        "a head that one node claims is not followed",
        QUORUM,
        "        top = heights[self.quorum - 1]\n",
        "        top = heights[0]\n",
        "tests/chain/test_quorum.py",
    ),
    Mutant(
        "too few answers are none",
        QUORUM,
        "        if len(poll.votes) + len(poll.errors) < self.quorum and",
        "        if False and",
        "tests/chain/test_quorum.py",
    ),
)
