"""The guards that keep pool states equal to the chain's, and what each is without."""

from scripts.soak.mutants import Mutant

CHAINS = "chains"
EVENTS = "pools/events.py"
HISTORY = "pools/history.py"
OF_EVENTS = "tests/pools/test_events.py"
OF_HISTORY = "tests/pools/test_history.py"
OF_WINDOWS = "tests/pools/test_windows.py"
APART = "pools/apart.py"
MISFITS = "pools/misfits.py"
RECORDED = "pools/recorded.py"
SYNC = "pools/sync.py"
OF_APART = "tests/pools/test_apart.py"
OF_MISFITS = "tests/pools/test_misfits.py"
OF_RECORDED = "tests/pools/test_recorded.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a reorg is undone",
        HISTORY,
        "                pools |= self.undos[left].pools\n",
        "                pass\n",
        CHAINS,
    ),
    Mutant(
        "a tick of net 0 stays while a position ends there",
        EVENTS,
        "    if known and before + delta == 0:\n",
        "    if net == 0:\n",
        CHAINS,
    ),
    Mutant(
        "a tick without positions goes",
        EVENTS,
        "    if known and before + delta == 0:\n",
        "    if known and before + delta < 0:\n",
        CHAINS,
    ),
    Mutant(
        "logs are applied in the order of the chain",
        HISTORY,
        "    ordered = sorted(logs, key=lambda log: log.log_index)\n",
        "    ordered = list(logs)\n",
        CHAINS,
    ),
    Mutant(
        "a range begins at its lower tick",
        EVENTS,
        "lower <= pool.tick < upper else 0",
        "lower < pool.tick < upper else 0",
        CHAINS,
    ),
    Mutant(
        "a range ends before its upper tick",
        EVENTS,
        "lower <= pool.tick < upper else 0",
        "lower <= pool.tick <= upper else 0",
        CHAINS,
    ),
    Mutant(
        "what lies outside the known ticks is not told",
        EVENTS,
        "        if pool.known[0] <= tick <= pool.known[1]:\n",
        "        if MIN_TICK <= tick <= MAX_TICK:\n",
        CHAINS,
    ),
    Mutant(
        "the upper tick takes away what the lower one adds",
        EVENTS,
        "((lower, delta), (upper, -delta))",
        "((lower, delta), (upper, delta))",
        CHAINS,
    ),
    Mutant(
        "a protocol fee is for one direction",
        EVENTS,
        "(fee & 0xFFF, fee >> 12)",
        "(fee >> 12, fee & 0xFFF)",
        CHAINS,
    ),
    Mutant(
        "a log counts for its manager's pool alone",
        EVENTS,
        "        return log.address == pool.manager and log.topics[1:2] == (pool.id,)\n",
        "        return log.topics[1:2] == (pool.id,)\n",
        CHAINS,
    ),
    Mutant(
        "no more blocks are kept than asked for",
        HISTORY,
        "(*self.undos, undo)[-self.depth :] if self.depth else ()",
        "(*self.undos, undo)",
        CHAINS,
    ),
    Mutant(
        "several logs of a pool add up",
        HISTORY,
        "events.apply(changed.get(pool.id, pool), log)",
        "events.apply(pool, log)",
        CHAINS,
    ),
    Mutant(
        "only the child of the head follows it",
        HISTORY,
        "        if block.parent_hash != head.hash or block.number != head.number + 1:\n",
        "        if block.number != head.number + 1:\n",
        OF_HISTORY,
    ),
    Mutant(
        "a log of another block is refused",
        HISTORY,
        "        if log.block_hash != block.hash:\n",
        "        if log.block_number != log.block_number:\n",
        OF_HISTORY,
    ),
    Mutant(
        "a log given twice is refused",
        HISTORY,
        "        if log.log_index == before:\n",
        "        if log.log_index < before:\n",
        OF_HISTORY,
    ),
    Mutant(
        "blocks that a correction does not tell are not gone back to",
        HISTORY,
        "            merged = (*merged, Undo(block=self.undos[start].block, pools=before))\n",
        "            merged = self.undos\n",
        OF_HISTORY,
    ),
    Mutant(
        "without gross a tick is not taken for gone",
        EVENTS,
        "    if not known and delta < 0 and (net == 0 or not here):\n",
        "    if not known and delta < 0 and not here:\n",
        OF_EVENTS,
    ),
    Mutant(
        "more than is there cannot be burned",
        EVENTS,
        "    if known and before + delta < abs(net):\n",
        "    if known and before + delta < -MAX_TICK:\n",
        OF_EVENTS,
    ),
    Mutant(
        "a value fits its type",
        EVENTS,
        "        if word >> field.bits:\n",
        "        if word >> _WORD_BITS:\n",
        OF_EVENTS,
    ),
    Mutant(
        "a pool is initialised once",
        EVENTS,
        "    if pool.sqrt_price_x96:\n",
        "    if pool.sqrt_price_x96 < 0:\n",
        OF_EVENTS,
    ),
    Mutant(
        "ticks outside a moved window are dropped",
        "pools/windows.py",
        "            if known[0] <= tick <= known[1] and ",
        "            if MIN_TICK <= tick <= MAX_TICK and ",
        OF_WINDOWS,
    ),
    Mutant(
        "a word that was known in part is read anew",
        "pools/windows.py",
        "(low < pool.known[0])",
        "0",
        OF_WINDOWS,
    ),
    Mutant(
        "a bitmap that contradicts the ticks is refused",
        "pools/windows.py",
        "        if not gross:\n",
        "        if gross < 0:\n",
        OF_WINDOWS,
    ),
    Mutant(
        "no swap leaves a price of 0",
        EVENTS,
        '    if not told["sqrt_price_x96"]:',
        '    if told["sqrt_price_x96"] < 0:',
        OF_EVENTS,
    ),
    Mutant(
        "what cannot be read is set aside",
        SYNC,
        "    after = after.without(_aside(after.snapshot, failed, head))\n",
        "",
        OF_APART,
    ),
    Mutant(
        "what is set aside does not come back with a reorg",
        HISTORY,
        "_less(undo.pools, gone)",
        "undo.pools",
        OF_APART,
    ),
    Mutant(
        "what was read anew is not gone back behind",
        HISTORY,
        "snapshot=states, undos=(), again",
        "snapshot=states, again",
        OF_APART,
    ),
    Mutant(
        "a node without the state is no pool's fault",
        APART,
        "        await node.call(to=ZERO_ADDRESS, block=head.hash)\n",
        "",
        OF_APART,
    ),
    Mutant(
        "a pool is tried again ever more rarely",
        SYNC,
        "again[name] = head + min(max(since, 1), MAX_GAP_BLOCKS)",
        "again[name] = head + 1",
        OF_APART,
    ),
    Mutant(
        "a swap is held against the reserves before it",
        MISFITS,
        "            before, now = now, (told[0], told[1])\n",
        "            before, now = before, (told[0], told[1])\n",
        OF_MISFITS,
    ),
    Mutant(
        "a swap of other reserves proves nothing",
        MISFITS,
        "        if (balance != kept + went_in) if went_in else (balance > kept):\n",
        "        if balance < 0:\n",
        OF_MISFITS,
    ),
    Mutant(
        "the other Sync is another family's",
        MISFITS,
        "        if topic == (_SYNC_WIDE,):\n",
        "        if not topic:\n",
        OF_MISFITS,
    ),
    Mutant(
        "a tick that was only seen ends what is known",
        RECORDED,
        "            if packed is None and not self._replayed:\n",
        "            if packed is None and self._replayed is None:\n",
        OF_RECORDED,
    ),
    Mutant(
        "words behind a gap are not known",
        RECORDED,
        "                if bits is None:\n                    break\n",
        "                if bits is None:\n                    continue\n",
        OF_RECORDED,
    ),
)
