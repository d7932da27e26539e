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


@jit
def arrange(ends: Ints, near: Ints, order: Ints, degrees: Ints) -> int:
    """Order unknowns so that each is eliminated when it has the fewest neighbours left.

    Arrays:
        ends: (m, 2) the pairs.
        near: (n, n // BITS + 1) zeros; written: the neighbours of each unknown when it goes, as
            bits. Eliminating one joins its neighbours to each other.
        order: (n), written: unknowns as they go.
        degrees: (n) scratch.

    Returns:
        How many neighbours all had when they went.
    """
    size = near.shape[0]
    words = near.shape[1]
    for row in range(ends.shape[0]):
        one = ends[row, 0]
        other = ends[row, 1]
        near[one, other // BITS] |= 1 << (other % BITS)
        near[other, one // BITS] |= 1 << (one % BITS)
    for node in range(size):
        order[node] = node
        degrees[node] = 0
        for word in range(words):
            degrees[node] += _count(near[node, word])
    total = 0
    fewest = 1
    for step in range(size):
        least = step
        for at in range(step + 1, size):
            # No unknown can have fewer left than one less than what the last one had.
            if degrees[order[least]] < fewest:
                break
            if degrees[order[at]] < degrees[order[least]]:
                least = at
        node = order[least]
        order[least] = order[step]
        order[step] = node
        fewest = max(degrees[node], 1)
        total += degrees[node]
        bit = 1 << (node % BITS)
        for word in range(words):
            rest = near[node, word]
            while rest:
                low = rest & -rest
                rest ^= low
                other = word * BITS + _count(low - 1)
                near[other, node // BITS] &= ~bit
                degree = 0
                for column in range(words):
                    near[other, column] |= near[node, column]
                own = 1 << (other % BITS)
                near[other, other // BITS] &= ~own
                for column in range(words):
                    degree += _count(near[other, column])
                degrees[other] = degree
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
def lay_out(
    near: Ints, order: Ints, ends: Ints, place: Ints, starts: Ints, below: Ints, spots: Ints
) -> None:
    """Write where the entries of L are, column by column in the order of elimination.

    Arrays:
        near, order: as `arrange` left them.
        ends: (m, 2) the pairs.
        place: (n), written: of each unknown in `order`.
        starts: (n + 1), written: column j is starts[j] .. starts[j + 1] - 1.
        below: (entries), written: rows of the entries, rising in each column.
        spots: (m), written: the entry that each pair is.
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
    for pair in range(ends.shape[0]):
        one = place[ends[pair, 0]]
        other = place[ends[pair, 1]]
        column = min(one, other)
        row = max(one, other)
        low_at = starts[column]
        high_at = starts[column + 1]
        while high_at - low_at > 1:
            middle = (low_at + high_at) >> 1
            if below[middle] <= row:
                low_at = middle
            else:
                high_at = middle
        spots[pair] = low_at


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

    Arrays:
        ends: (m, 2) places in the order of elimination.
        values: (n) scratch.
        found: (m), written.
    """
    size = diagonal.shape[0]
    for pair in range(ends.shape[0]):
        start = min(ends[pair, 0], ends[pair, 1])
        values[start:] = 0.0
        values[ends[pair, 0]] += 1.0
        values[ends[pair, 1]] -= 1.0
        total = 0.0
        for column in range(start, size):
            value = values[column]
            if value == 0.0:
                continue
            total += value * value / diagonal[column]
            for at in range(starts[column], starts[column + 1]):
                values[below[at]] -= lower[at] * value
        found[pair] = total
