"""Guards of what is sent together: what may merge, what it holds, and whose it was."""

from scripts.soak.mutants import Mutant

F07 = "property:f07_collision"
MERGED = "tests/execution/test_merging.py"
GATEWAY = "tests/execution/test_gateway_merging.py"
SENT = "tests/orchestrator/sending/test_outbox.py"
RANKED = "tests/orchestrator/sending/test_merging.py"
MERGING = "execution/merging.py"
CARRIER = "execution/gateway.py"
OUTBOX = "orchestrator/sending/outbox.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "after a restart the last blocks are searched again",
        OUTBOX,
        "        self._earlier, self._again = list(plans), list(told)\n",
        "        self._earlier, self._again = list(plans), []\n",
        SENT,
    ),
    Mutant(
        "the block that replaced another is searched for its trades",
        OUTBOX,
        "        undone = {head.number for head in change.reverted}\n",
        "        undone = set[int]()\n",
        SENT,
    ),
    Mutant(
        "what was interrupted while it was sent is searched for",
        OUTBOX,
        "            self._earlier += plans  # they may",
        "            # they may",
        SENT,
    ),
    Mutant(
        "parts of one transaction are told at once or not yet",
        OUTBOX,
        "                return ()  # safe because it is asked again",
        "                continue  # safe because it is asked again",
        F07,
    ),
    Mutant(
        "a group that was not sent has an end for each of its plans",
        OUTBOX,
        "            return tuple(_not_sent(plan, error) for plan in plans)\n",
        "            return tuple(_not_sent(plan, error) for plan in plans[:1])\n",
        F07,
    ),
    Mutant(
        "what an earlier process sent together is looked for together",
        "execution/lookup.py",
        "    if not data.startswith(EXECUTE_BATCH):\n",
        "    if data:\n",
        F07,
    ),
    Mutant(
        "a plan stands on its own wallet's plans only",
        CARRIER,
        "            if one.sender == sender\n",
        "            if one.sender\n",
        F07,
    ),
    Mutant(
        "each part has its own fill",
        "execution/outcome.py",
        "attributed(plans, found)[plans.index(plan)]",
        "attributed(plans, found)[0]",
        F07,
    ),
    Mutant(
        "gas of a shared transaction is paid once",
        MERGING,
        "    gas = split(whole.gas_fee_wei, weights)\n",
        "    gas = [whole.gas_fee_wei for _ in plans]\n",
        F07,
    ),
    Mutant(
        "each part is told its own amounts",
        MERGING,
        "    return {route.token_in: -route.amount_in, route.token_out: route.amount_out}\n",
        "    return {route.token_in: -route.amount_in}\n",
        F07,
    ),
    Mutant(
        "one trades at a time on an account's nonces",
        CARRIER,
        "            and one.plan.target_block == target_block\n",
        "            and one.plan.target_block != target_block\n",
        "tests/execution/test_gateway.py",
    ),
    Mutant(
        "what may be lost in an auction stays apart",
        MERGING,
        "    return plan.funding.kind is FundingKind.OWN and not plan.route.is_cycle\n",
        "    return plan.funding.kind is FundingKind.OWN\n",
        MERGED,
    ),
    Mutant(
        "borrowed capital stays apart",
        MERGING,
        "    return plan.funding.kind is FundingKind.OWN and not plan.route.is_cycle\n",
        "    return not plan.route.is_cycle\n",
        MERGED,
    ),
    Mutant(
        "one pool is traded in once",
        MERGING,
        "    if len(set(pools)) < len(pools):\n",
        "    if False:\n",
        MERGED,
    ),
    Mutant(
        "all are for one block on one parent",
        MERGING,
        "    if len({(plan.target_block, plan.parent_hash) for plan in plans}) > 1:\n",
        "    if False:\n",
        MERGED,
    ),
    Mutant(
        "a transaction is bounded in gas",
        MERGING,
        "    return merged_gas_limit(whole) <= max_gas\n",
        "    return True\n",
        MERGED,
    ),
    Mutant(
        "a group is bounded in number",
        MERGING,
        "        open_to = (group for group in groups if len(group) < most)\n",
        "        open_to = iter(groups)\n",
        MERGED,
    ),
    Mutant(
        "a later part cannot pay for an earlier one",
        MERGING,
        "            pulled[hop.token_in] = pulled.get(hop.token_in, 0) + max(-left, 0)\n"
        "            held[hop.token_in] = max(left, 0)\n",
        "            pulled[hop.token_in] = pulled.get(hop.token_in, 0)\n"
        "            held[hop.token_in] = left\n",
        MERGED,
    ),
    Mutant(
        "every token's simulated result is held to all plans",
        CARRIER,
        "            if realised < wanted:\n",
        "            if realised < wanted and len(plans) == 1:\n",
        GATEWAY,
    ),
    Mutant(
        "a merged form that simulation refuses is tried apart",
        CARRIER,
        '            return _Refusal(f"{VetoCause.SIMULATION.value}: {refusal}", apart=True)\n',
        '            return _Refusal(f"{VetoCause.SIMULATION.value}: {refusal}")\n',
        GATEWAY,
    ),
    Mutant(
        "a merged form above a limit is tried apart",
        CARRIER,
        '            return _Refusal(f"{VetoCause.LIMIT.value}: {error}", apart=True)\n',
        '            return _Refusal(f"{VetoCause.LIMIT.value}: {error}")\n',
        GATEWAY,
    ),
    Mutant(
        "a further bundle repeats a shared transaction once",
        CARRIER,
        "        self._flying.append(in_flight)\n",
        "        self._flying += [in_flight for _ in plans]\n",
        GATEWAY,
    ),
    Mutant(
        "what may be taken away takes nobody with it",
        "orchestrator/sending/merging.py",
        "any(hop.pool in pools for hop in plan.route.hops)",
        "not plan",
        RANKED,
    ),
    Mutant(
        "each of those apart is first at its turn",
        "orchestrator/sending/merging.py",
        "    first = turn % len(apart) if apart else 0\n",
        "    first = 0\n",
        RANKED,
    ),
    Mutant(
        "only an own swap that missed tells of its pools",
        "orchestrator/sending/merging.py",
        "        if planned is not None and not fill.landed and swaps_own_capital(planned.plan)\n",
        "        if planned is not None and not fill.landed\n",
        RANKED,
    ),
    Mutant(
        "who has priority comes first",
        "orchestrator/deciding/drafts.py",
        "        return self.cause is not None, -first, self.rank\n",
        "        return self.cause is not None, 0, self.rank\n",
        RANKED,
    ),
    Mutant(
        "a veto takes no place, whoever it is of",
        "orchestrator/deciding/drafts.py",
        "        return self.cause is not None, -first, self.rank\n",
        "        return False, -first, self.rank\n",
        RANKED,
    ),
    Mutant(
        "what is mined of a bundle that has ended is told",
        "orchestrator/sending/outbox.py",
        "            strays = await self._gateway.strays(change) if change.added else ()\n",
        "            strays: tuple[Fill, ...] = ()\n",
        F07,
    ),
    Mutant(
        "a part of a bundle is not told while a receipt may be missing",
        "execution/strays.py",
        "    if any(newest < since + SURE_BLOCKS for since in one.silent.values()):\n",
        "    if any(newest < since for since in one.silent.values()):\n",
        "tests/execution/test_strays.py",
    ),
    Mutant(
        "a receipt that was seen stands until a reorg",
        "execution/strays.py",
        "    one.seen |= {r.transaction_hash",
        "    one.seen = {r.transaction_hash",
        "tests/execution/test_strays.py",
    ),
)
