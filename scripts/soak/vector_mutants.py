"""The guards that keep quotes equal to the contracts' integers, and what each is without.

A detector is the family whose vectors must notice, or a file of tests where a corner is too rare
to be drawn.
"""

from scripts.soak.mutants import Mutant

V4 = "pools/concentrated_v4.py"
V3 = "pools/concentrated.py"
V2 = "pools/constant_product.py"
WALK = "pools/tick_walk.py"
SWAPS = "pools/swaps.py"
STEP = "pools/swap_step.py"
OF_V4 = "tests/pools/test_concentrated_v4.py"
OF_V3 = "tests/pools/test_concentrated.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "the whole fee of V4 is rounded up",
        V4,
        "- protocol * self.fee_ppm // PPM",
        "- -(-protocol * self.fee_ppm // PPM)",
        "v4",
    ),
    Mutant(
        "a protocol fee is its direction's",
        V4,
        "self.protocol_fee_ppm[0 if zero_for_one else 1]",
        "self.protocol_fee_ppm[1 if zero_for_one else 0]",
        "v4",
    ),
    Mutant(
        "a whole fee of 100 % buys no output, whatever the lp fee is",
        V4,
        "if fee_ppm == PPM and not is_input:",
        "if self.fee_ppm == PPM and not is_input:",
        "v4",
    ),
    Mutant(
        "what is taken may be 2^127",
        V4,
        "walked.taken > _INT128 or",
        "walked.taken >= _INT128 or",
        OF_V4,
    ),
    Mutant(
        "what is taken fits int128",
        V4,
        "walked.taken > _INT128 or walked.given",
        "walked.given",
        "v4",
    ),
    Mutant(
        "what is given is below 2^127",
        V4,
        "walked.given >= _INT128",
        "walked.given > _INT128",
        OF_V4,
    ),
    Mutant(
        "a limit leaves room",
        V4,
        "if limit >= price if zero_for_one else limit <= price:",
        "if limit > price if zero_for_one else limit < price:",
        "v4",
    ),
    Mutant(
        "a limit is above the lowest price",
        V4,
        "if not least <= limit <= most:",
        "if not least - 1 <= limit <= most:",
        "v4",
    ),
    Mutant(
        "a limit is below the highest price",
        V4,
        "if not least <= limit <= most:",
        "if not least <= limit <= most + 1:",
        "v4",
    ),
    Mutant(
        "2^255 is an input of V4",
        V4,
        "(_MAX_IN if is_input else _MAX_OUT)",
        "_MAX_OUT",
        "v4",
    ),
    Mutant(
        "a limit may leave an output short",
        SWAPS,
        "if not limit and walked.given != amount_out:",
        "if walked.given != amount_out:",
        "v4",
    ),
    Mutant(
        "an output without a limit is whole",
        SWAPS,
        "if not limit and walked.given != amount_out:",
        "if walked.given > amount_out:",
        "v4",
    ),
    Mutant(
        "a hook that sees swaps is not guessed",
        V4,
        "        if self.is_hooked:\n",
        "        if not self.hooks:\n",
        OF_V4,
    ),
    Mutant(
        "a dynamic fee needs a hook",
        V4,
        "            if self.dynamic_fee:\n",
        "            if not bits == 0:\n",
        OF_V4,
    ),
    Mutant(
        "the tick below a crossed one is stored",
        WALK,
        "            tick = stop - 1 if zero_for_one else stop\n",
        "            tick = stop - 2 if zero_for_one else stop\n",
        "v3",
    ),
    Mutant(
        "net liquidity is signed by the direction",
        WALK,
        "-net if zero_for_one else net",
        "net",
        "v3",
    ),
    Mutant(
        "only without liquidity words are passed at once",
        WALK,
        "reach = tick if liquidity else tick_at_sqrt_price(limit)",
        "reach = tick_at_sqrt_price(limit)",
        "v3",
    ),
    Mutant(
        "liquidity fits uint128",
        WALK,
        '    if not 0 <= after <= MAX_LIQUIDITY:\n        refuse(pool, "ticks"',
        '    if not 0 <= after:\n        refuse(pool, "ticks"',
        "v3",
    ),
    Mutant(
        "liquidity does not fall below zero",
        WALK,
        '    if not 0 <= after <= MAX_LIQUIDITY:\n        refuse(pool, "ticks"',
        '    if not after <= MAX_LIQUIDITY:\n        refuse(pool, "ticks"',
        OF_V3,
    ),
    Mutant(
        "a price between ticks has its own",
        WALK,
        "        elif price != start:\n",
        "        else:\n",
        "v3",
    ),
    Mutant(
        "a step that is just paid for is whole",
        STEP,
        "usable >= amount_in",
        "usable > amount_in",
        "v3",
    ),
    Mutant(
        "no more than the wanted output comes out",
        STEP,
        "        amount_out = min(amount_out, -remaining)\n",
        "        pass\n",
        "v3",
    ),
    Mutant(
        "a product that wraps takes the other formula",
        STEP,
        "if product < _UINT256 and numerator + product < _UINT256:",
        "if product:",
        OF_V3,
    ),
    Mutant(
        "a fee of 100 % of nothing is nothing",
        STEP,
        "    if not amount_in:\n        return after, 0, amount_out, 0",
        "    if False:\n        return after, 0, amount_out, 0",
        "v4",
    ),
    Mutant(
        "a fee is rounded up",
        STEP,
        "div_ceil(amount_in * fee_ppm, PPM - fee_ppm)",
        "amount_in * fee_ppm // (PPM - fee_ppm)",
        "v3",
    ),
    Mutant(
        "token0 in is rounded up",
        STEP,
        "return div_ceil(div_ceil((liquidity << 96) * (upper - lower), upper), lower)",
        "return (liquidity << 96) * (upper - lower) // upper // lower",
        "v3",
    ),
    Mutant(
        "V3's periphery moves something or reverts",
        V3,
        "        if not walked.taken:",
        "        if False:",
        "v3",
    ),
    Mutant(
        "V3's limits are open ends",
        V3,
        "if not low < limit < high:",
        "if not low < limit <= high:",
        "v3",
    ),
    Mutant(
        "an input of V3 fits int256",
        V3,
        "0 < amount <= _MAX_AMOUNT",
        "0 < amount <= 2 * _MAX_AMOUNT",
        "v3",
    ),
    Mutant(
        "a reserve fits uint112",
        V2,
        "if amount_in <= 0 or reserve_in + amount_in > MAX_RESERVE:",
        "if amount_in <= 0:",
        "v2",
    ),
    Mutant("an output costs one unit more", V2, "// owed + 1", "// owed", "v2"),
    Mutant(
        "a reserve cannot be bought out",
        V2,
        "amount_out >= reserve_out",
        "amount_out > reserve_out",
        "v2",
    ),
    Mutant("a pair sends something", V2, "if amount_out == 0:", "if False:", "v2"),
)
