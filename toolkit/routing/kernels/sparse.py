"""Sparse symmetric systems, solved by L D L' in an order of little fill; compiled floats.

A system of n unknowns has a diagonal and m off-diagonal entries, each of a pair of unknowns; pairs
may repeat, and their entries then add up.
"""

from toolkit.pools.kernels.jit import jit, part
from toolkit.routing.curves import Floats, Ints

BITS = 62
"""Of a word in `arrange`'s table: few enough that words stay positive."""


@part
def _count(word: int) -> int:
    word -= (word >> 1) & 0x5555555555555555
    word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F
    word += word >> 8
    word += word >> 16
    word += word >> 32
    return word & 0x7F


@part
def _put(node: int, degree: int, rows: Ints) -> None:
    """Make an unknown the first of those with its number of neighbours."""
    then = rows[0, degree]
    rows[0, degree] = node
    rows[1, node] = then
    rows[2, node] = -1
    if then >= 0:
        rows[2, then] = node


@part
def _take(node: int, degree: int, rows: Ints) -> None:
    then = rows[1, node]
    before = rows[2, node]
    if before >= 0:
        rows[1, before] = then
    else:
        rows[0, degree] = then
    if then >= 0:
        rows[2, then] = before


@part
def _gather(ends: Ints, near: Ints, degrees: Ints, rows: Ints) -> None:
    """Note who is next to whom, and group unknowns by how many that are."""
    for row in range(ends.shape[0]):
        one = ends[row, 0]
        other = ends[row, 1]
        near[one, other // BITS] |= 1 << (other % BITS)
        near[other, one // BITS] |= 1 << (one % BITS)
    rows[0] = -1
    for node in range(near.shape[0] - 1, -1, -1):
        degree = 0
        for word in range(near.shape[1]):
            if near[node, word]:
                degree += _count(near[node, word])
        degrees[node] = degree
        _put(node, degree, rows)


@jit
def arrange(ends: Ints, near: Ints, order: Ints, degrees: Ints, rows: Ints) -> int:
    """Order unknowns so that each is eliminated when it has the fewest neighbours left.

    Arrays:
        ends: (m, 2) the pairs.
        near: (n, n // BITS + 1) zeros; written: the neighbours of each unknown when it goes, as
            bits. Eliminating one joins its neighbours to each other.
        order: (n), written: unknowns as they go.
        degrees: (n) scratch.
        rows: (4, n) scratch: by degree, the first unknown that has it; by unknown, the next one
            and the one before of as many neighbours; words of a row that are not 0.

    Returns:
        How many neighbours all had when they went.
    """
    size = near.shape[0]
    words = near.shape[1]
    _gather(ends, near, degrees, rows)
    total = 0
    fewest = 0
    for step in range(size):
        # No unknown can have fewer left than one less than what the last one had.
        fewest = max(fewest - 1, 0)
        while rows[0, fewest] < 0:
            fewest += 1
        node = rows[0, fewest]
        _take(node, fewest, rows)
        order[step] = node
        total += fewest
        filled = 0
        for word in range(words):
            if near[node, word]:
                rows[3, filled] = word
                filled += 1
        bit = 1 << (node % BITS)
        for place in range(filled):
            rest = near[node, rows[3, place]]
            while rest:
                low = rest & -rest
                rest ^= low
                other = rows[3, place] * BITS + _count(low - 1)
                degree = degrees[other]
                _take(other, degree, rows)
                near[other, node // BITS] &= ~bit
                degree -= 1
                for index in range(filled):
                    column = rows[3, index]
                    before = near[other, column]
                    joined = before | near[node, column]
                    if column == other // BITS:
                        joined &= ~(1 << (other % BITS))
                    if joined != before:
                        near[other, column] = joined
                        degree += _count(joined) - _count(before)
                degrees[other] = degree
                _put(other, degree, rows)
    return total


@part
def _turn(starts: Ints, inner: Ints, turned_starts: Ints, turned: Ints) -> None:
    """Write the rows of a pattern given by columns, or the reverse; what it writes rises."""
    size = starts.shape[0] - 1
    turned_starts[:] = 0
    for at in range(starts[size]):
        turned_starts[inner[at] + 1] += 1
    for line in range(size):
        turned_starts[line + 1] += turned_starts[line]
    cursor = turned_starts.copy()
    for line in range(size):
        for at in range(starts[line], starts[line + 1]):
            turned[cursor[inner[at]]] = line
            cursor[inner[at]] += 1


@jit
def lay_out(near: Ints, order: Ints, place: Ints, starts: Ints, below: Ints) -> None:
    """Write where the entries of L are, column by column in the order of elimination.

    Arrays:
        near, order: as `arrange` left them.
        place: (n), written: of each unknown in `order`.
        starts: (n + 1), written: column j is starts[j] .. starts[j + 1] - 1.
        below: (entries), written: rows of the entries, rising in each column.
    """
    size = order.shape[0]
    for step in range(size):
        place[order[step]] = step
    count = 0
    for step in range(size):
        starts[step] = count
        for word in range(near.shape[1]):
            rest = near[order[step], word]
            while rest:
                low = rest & -rest
                rest ^= low
                below[count] = place[word * BITS + _count(low - 1)]
                count += 1
    starts[size] = count
    # Turned round twice, what was in no order within the columns rises.
    rows = starts.copy()
    columns = below.copy()
    _turn(starts, below, rows, columns)
    _turn(rows, columns, starts, below)


@jit
def find(starts: Ints, below: Ints, ends: Ints, spots: Ints) -> None:
    """Write which entry of L each pair is; -1 where it is none.

    Arrays:
        starts, below: as `lay_out` has them.
        ends: (m, 2) places in the order of elimination, -1 of what is not in the pattern.
        spots: (m), written.
    """
    for pair in range(ends.shape[0]):
        column = min(ends[pair, 0], ends[pair, 1])
        row = max(ends[pair, 0], ends[pair, 1])
        spots[pair] = -1
        if column < 0:
            continue
        low_at = starts[column]
        high_at = starts[column + 1]
        while high_at - low_at > 1:
            middle = (low_at + high_at) >> 1
            if below[middle] <= row:
                low_at = middle
            else:
                high_at = middle
        if low_at < high_at and below[low_at] == row:
            spots[pair] = low_at


@jit
def assemble(
    pools: Ints,
    edges: Ints,
    blocks: Floats,
    edge_in: Ints,
    spots: Ints,
    weak: float,
    diagonal: Floats,
    lower: Floats,
) -> bool:
    """Add the second derivatives of pools up, and say whether the pattern has room for them.

    What is weak beside both tokens' own stiffness, and has no room, is left out: as if the other
    token did not move.

    Arrays:
        pools, edges: (n) places of pools, and the edge of each.
        blocks: (n, 3) their second derivatives (in, in), (in, out), (out, out); 0 if not used.
        edge_in: (n_edges) tokens.
        spots: (n_pools) which entry of L each pool is, or -1.
        diagonal: (n_tokens), added to.
        lower: (entries), written.
    """
    lower[:] = 0.0
    for row in range(pools.shape[0]):
        if blocks[row, 0] > 0.0:
            diagonal[edge_in[edges[row]]] += blocks[row, 0]
            diagonal[edge_in[edges[row] ^ 1]] += blocks[row, 2]
    for row in range(pools.shape[0]):
        if blocks[row, 0] > 0.0:
            spot = spots[pools[row]]
            if spot >= 0:
                lower[spot] += blocks[row, 1]
                continue
            edge = edges[row]
            least = min(diagonal[edge_in[edge]], diagonal[edge_in[edge ^ 1]])
            if -blocks[row, 1] > weak * least:
                return False
    return True


@jit
def factorise(
    starts: Ints, below: Ints, lower: Floats, diagonal: Floats, first: Ints, heads: Ints
) -> None:
    """Turn a matrix into its factors in place.

    Arrays:
        starts, below: as `lay_out` has them.
        lower: (entries) of the matrix below its diagonal; L afterwards.
        diagonal: (n) of the matrix, in the order of elimination; D afterwards. Where it comes out
            as not positive, the unknown is taken out of the system (by an infinite D).
        first, heads: (n) scratch.
    """
    size = diagonal.shape[0]
    work = diagonal.copy()
    work[:] = 0.0
    follows = first.copy()
    heads[:] = -1
    for column in range(size):
        start = starts[column]
        stop = starts[column + 1]
        pivot = diagonal[column]
        kept = pivot
        for at in range(start, stop):
            work[below[at]] = lower[at]
        earlier = heads[column]
        while earlier >= 0:
            then = follows[earlier]
            at = first[earlier]
            end = starts[earlier + 1]
            scaled = lower[at] * diagonal[earlier]
            pivot -= lower[at] * scaled
            for entry in range(at + 1, end):
                work[below[entry]] -= lower[entry] * scaled
            if at + 1 < end:
                first[earlier] = at + 1
                row = below[at + 1]
                follows[earlier] = heads[row]
                heads[row] = earlier
            earlier = then
        if not pivot > 1e-13 * kept:
            pivot = 1e300
        diagonal[column] = pivot
        for at in range(start, stop):
            lower[at] = work[below[at]] / pivot
            work[below[at]] = 0.0
        if start < stop:
            first[column] = start
            follows[column] = heads[below[start]]
            heads[below[start]] = column


@jit
def substitute(starts: Ints, below: Ints, lower: Floats, diagonal: Floats, values: Floats) -> None:
    """Solve with factors for `values` (n), in the order of elimination, in place."""
    size = diagonal.shape[0]
    for column in range(size):
        value = values[column]
        for at in range(starts[column], starts[column + 1]):
            values[below[at]] -= lower[at] * value
    for column in range(size - 1, -1, -1):
        value = values[column] / diagonal[column]
        for at in range(starts[column], starts[column + 1]):
            value -= lower[at] * values[below[at]]
        values[column] = value


@jit
def resist(
    starts: Ints,
    below: Ints,
    lower: Floats,
    diagonal: Floats,
    ends: Ints,
    values: Floats,
    found: Floats,
) -> None:
    """Write b' A^-1 b of each pair's b = e_one - e_other, A the matrix of the factors.

    What an unknown is passed on to, when it goes, is all among those that the first of them is
    passed on to: so only two ways to the last unknown are walked, until they meet.

    Arrays:
        ends: (m, 2) places in the order of elimination.
        values: (n) scratch, all 0; left so.
        found: (m), written.
    """
    size = diagonal.shape[0]
    for pair in range(ends.shape[0]):
        one = ends[pair, 0]
        other = ends[pair, 1]
        values[one] += 1.0
        values[other] -= 1.0
        total = 0.0
        while min(one, other) < size:
            column = min(one, other)
            value = values[column]
            values[column] = 0.0
            total += value * value / diagonal[column]
            start = starts[column]
            stop = starts[column + 1]
            for at in range(start, stop):
                values[below[at]] -= lower[at] * value
            then = below[start] if start < stop else size
            if one == column:
                one = then
            if other == column:
                other = then
        found[pair] = total
