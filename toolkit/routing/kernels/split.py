"""One order over many pools, compiled: what each should take, and what no split can exceed.

The shares follow from prices. At a price nu of each token, in the token wanted, a pool that takes
a and gives b is filled to where its marginal output, in b per a, has fallen to nu_a / nu_b; the
prices are right when what comes into each token on the way goes out again and the order is spent.
On the virtual reserves of a piece the fill is linear in 1 / sqrt(nu): so are Newton's steps, which
end after few. At any prices at all

    nu_in amount + sum over pools of max(0, nu_b given - nu_a taken - cost)

is no less than what any split of the order leaves after the costs of its pools (weak duality).
"""

import math

import numpy as np

from toolkit.pools.kernels.jit import inlined, jit, part
from toolkit.pools.kernels.u256 import apart
from toolkit.pools.words import Flags
from toolkit.routing.curves import Floats, Ints
from toolkit.routing.kernels.walk import along_edge
from toolkit.routing.swaps.mesh import Mesh

_STEPS = 100  # Newton's, kept within a bracket; a handful is usual
_SWEEPS = 64  # over the tokens between, where those trade with each other
_SHALLOW = 2  # hops, with one token between
_TOGETHER = 64  # tokens on the way whose prices are moved at once
_FIRM = 1e-11
_TINY = 1e-300
_ENOUGH = 1e-4
_HALVES = 24
_NEAR = 1e-13
_STILL = 4e-16
_FURTHER = 8.0
_FURTHEST = 1e40
_EPSILON = 2.0**-50
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_CUTS = 40  # of an interval, by the golden section
_WIDE = 1.5
_LIMB = 2.0**64
_LEAST = 0.5  # of a unit: less is no trade
_AT_ONCE = 16
_COARSE = 4.0  # units out a unit in, beyond which no unit of input can be saved


@inlined
def _filled(mesh: Mesh, edge: int, rate: float) -> tuple[float, float, float, int]:
    """(taken, given, -d taken / d log rate, pieces passed) of an edge filled down to a rate."""
    pieces, keep = mesh.pieces, mesh.keep[edge]
    low = mesh.first[edge]
    high = mesh.stop[edge]
    if not keep * pieces[low, 3] > rate * pieces[low, 2]:
        return 0.0, 0.0, 0.0, 0
    while high - low > 1:
        middle = (low + high) >> 1
        if keep * pieces[middle, 3] > rate * pieces[middle, 2]:
            low = middle
        else:
            high = middle
    passed = low - mesh.first[edge]
    x, y = pieces[low, 2], pieces[low, 3]
    depth = math.sqrt(keep * x * y / rate)
    taken = pieces[low, 0] + (depth - x) / keep
    if low + 1 < mesh.stop[edge] and taken > pieces[low + 1, 0]:
        return pieces[low + 1, 0], pieces[low + 1, 1], 0.0, passed + 1
    room = mesh.room[edge]
    if taken > room:
        return room, y * room * keep / (x + room * keep), 0.0, passed
    return taken, pieces[low, 1] + y * (depth - x) / depth, 0.5 * depth / keep, passed


@inlined
def _rate(mesh: Mesh, edge: int) -> float:
    """What an edge gives for the first of what it takes."""
    first = mesh.first[edge]
    rate: float = mesh.keep[edge] * mesh.pieces[first, 3] / mesh.pieces[first, 2]
    return rate


@inlined
def _between(mesh: Mesh, live: Flags, nu: Floats, token: int) -> tuple[float, float]:
    """(the price from which on a token comes in, the one from which on none goes out)."""
    least, most = math.inf, 0.0
    for place in range(mesh.into_start[token], mesh.into_start[token + 1]):
        edge = mesh.into[place]
        if live[edge]:
            least = min(least, nu[mesh.tail[edge]] / _rate(mesh, edge))
    for edge in range(mesh.start[token], mesh.start[token + 1]):
        if live[edge]:
            most = max(most, nu[mesh.head[edge]] * _rate(mesh, edge))
    return least, most


@inlined
def _passing(mesh: Mesh, live: Flags, nu: Floats, token: int) -> tuple[float, float, float, float]:
    """(what comes in, what goes out, the slope of their difference, token 0's share of it)."""
    come, gone, slope, source = 0.0, 0.0, 0.0, 0.0
    for place in range(mesh.into_start[token], mesh.into_start[token + 1]):
        edge = mesh.into[place]
        if live[edge]:
            rate = nu[mesh.tail[edge]] / nu[token]
            _, given, steep, _ = _filled(mesh, edge, rate)
            come += given
            slope += rate * steep
            source += rate * steep if mesh.tail[edge] == 0 else 0.0
    for edge in range(mesh.start[token], mesh.start[token + 1]):
        if live[edge]:
            taken, _, steep, _ = _filled(mesh, edge, nu[token] / nu[mesh.head[edge]])
            gone += taken
            slope += steep
    return come, gone, slope, source


@part
def _balance(mesh: Mesh, live: Flags, nu: Floats, token: int) -> float:
    """Set a token's price so that as much comes in as goes out.

    Returns:
        d log of its price / d log of the price of token 0.
    """
    least, most = _between(mesh, live, nu, token)
    if not least < most:  # nothing can flow
        if most > 0.0:
            nu[token] = math.sqrt(least * most) if least < math.inf else most
        elif least < math.inf:
            nu[token] = least
        return 0.0
    low, high = 1.0 / math.sqrt(most), 1.0 / math.sqrt(least)
    root = 1.0 / math.sqrt(nu[token])
    if not low < root < high:
        root = math.sqrt(low * high)
    pull = 0.0
    for _ in range(_STEPS):
        nu[token] = 1.0 / (root * root)
        come, gone, slope, source = _passing(mesh, live, nu, token)
        pull = source / slope if slope > 0.0 else 0.0
        excess = come - gone
        if abs(excess) <= _NEAR * (come + gone):
            break
        if excess > 0.0:
            low = root
        else:
            high = root
        following = root * (1.0 + 0.5 * excess / slope) if slope > 0.0 else -1.0
        if not low < following < high:
            following = 0.5 * (low + high)
        if abs(following - root) <= _STILL * root:
            break
        root = following
    return pull


@inlined
def _relax(mesh: Mesh, live: Flags, hops: int, nu: Floats, pull: Floats) -> None:
    """Balance the tokens on the way: one by one, and together where they trade with each other."""
    between = nu.shape[0] - 2
    joint = np.zeros((between, between + 4)) if hops > _SHALLOW else np.zeros((0, 4))
    for _ in range(1 if hops <= _SHALLOW else _SWEEPS):
        moved = 0.0
        for token in range(2, nu.shape[0]):
            before = nu[token]
            pull[token] = _balance(mesh, live, nu, token)
            moved = max(moved, abs(nu[token] / before - 1.0))
        if 1 < joint.shape[0] <= _TOGETHER and hops > _SHALLOW:
            moved = max(moved, _balance_all(mesh, live, nu, pull, joint))
        if moved <= _NEAR:
            break


@part
def _balance_all(mesh: Mesh, live: Flags, nu: Floats, pull: Floats, joint: Floats) -> float:
    """Take one of Newton's steps with all prices between at once, as far as it lowers the sum.

    `joint` (n, n + 4) is room for the equations of n tokens. Returns the greatest relative move.
    """
    apart()
    size = joint.shape[0]
    worth = _equations(mesh, live, nu, joint)
    for row in range(size):
        joint[row, size + 2] = joint[row, size]
        joint[row, size + 3] = nu[row + 2]
    _eliminate(joint)
    gain, most = 0.0, 0.0
    for row in range(size):
        joint[row, size] = min(max(joint[row, size], -1.0), 1.0)
        pull[row + 2] = joint[row, size + 1]
        gain += _ENOUGH * joint[row, size] * joint[row, size + 2]
        most = max(most, abs(joint[row, size]))
    share = 1.0
    for _ in range(_HALVES):
        for row in range(size):
            nu[row + 2] = joint[row, size + 3] * math.exp(share * joint[row, size])
        total = 0.0
        for edge in range(live.shape[0]):
            if live[edge]:
                price, value = nu[mesh.tail[edge]], nu[mesh.head[edge]]
                taken, given, _, _ = _filled(mesh, edge, price / value)
                total += value * given - price * taken
        if total <= worth - share * gain:
            return share * most
        share *= 0.5
    for row in range(size):
        nu[row + 2] = joint[row, size + 3]
    return 0.0


@inlined
def _eliminate(joint: Floats) -> None:
    """Solve for the two columns after the matrix; it is positive definite: no pivots are sought."""
    size = joint.shape[0]
    for row in range(size):
        for below in range(row + 1, size):
            factor = joint[below, row] / joint[row, row]
            if factor != 0.0:
                for column in range(row, size + 2):
                    joint[below, column] -= factor * joint[row, column]
    for step in range(size):
        row = size - 1 - step
        for column in range(size, size + 2):
            for after in range(row + 1, size):
                joint[row, column] -= joint[row, after] * joint[after, column]
            joint[row, column] /= joint[row, row]


@inlined
def _equations(mesh: Mesh, live: Flags, nu: Floats, joint: Floats) -> float:
    """Newton's equations in logarithms of prices, all in value: curvature, excess, token 0's pull.

    Returns:
        what all edges are worth at the prices.
    """
    size = joint.shape[0]
    for row in range(size):
        for column in range(size + 4):
            joint[row, column] = 0.0
    total, flow = 0.0, 0.0
    for edge in range(live.shape[0]):
        if not live[edge]:
            continue
        tail, head = mesh.tail[edge] - 2, mesh.head[edge] - 2
        price, value = nu[mesh.tail[edge]], nu[mesh.head[edge]]
        taken, given, steep, _ = _filled(mesh, edge, price / value)
        weight = price * steep
        total += value * given - price * taken
        flow += value * given
        if tail >= 0:
            joint[tail, tail] += weight
            joint[tail, size] += price * taken
        if head >= 0:
            joint[head, head] += weight
            joint[head, size] -= value * given
        if tail >= 0 and head >= 0:
            joint[tail, head] -= weight
            joint[head, tail] -= weight
        elif head >= 0:
            joint[head, size + 1] += weight
    for row in range(size):
        joint[row, row] = joint[row, row] * (1.0 + _FIRM) + _FIRM * flow + _TINY
    return total


@inlined
def _first_prices(mesh: Mesh, hops: int, nu: Floats) -> None:
    """What the first unit of each token can be sold for within so many hops."""
    nu[1] = 1.0
    for _ in range(hops):
        for edge in range(mesh.tail.shape[0]):
            worth = nu[mesh.head[edge]] * _rate(mesh, edge)
            if mesh.tail[edge] != 1:
                nu[mesh.tail[edge]] = max(nu[mesh.tail[edge]], worth)


@inlined
def _first_guess(mesh: Mesh, live: Flags, amount: float, nu: Floats) -> float:
    """1 / sqrt(price) at which all pools between the two tokens would take the amount together."""
    scale, depth = 0.0, amount
    for edge in range(mesh.start[0], mesh.start[1]):
        if live[edge] and mesh.head[edge] == 1:
            first, keep = mesh.first[edge], mesh.keep[edge]
            scale += math.sqrt(mesh.pieces[first, 2] * mesh.pieces[first, 3] / keep)
            depth += mesh.pieces[first, 2] / keep
    least = (1.0 + 1e-9) / math.sqrt(nu[0])
    return max(least, depth / scale) if scale > 0.0 else least * 1.01


@jit
def solve(
    mesh: Mesh,
    live: Flags,
    amount: float,
    exact_in: bool,
    hops: int,
    nu: Floats,
    flows: Floats,
) -> bool:
    """Find the prices at which the live edges take `amount` of token 0, or give it of token 1.

    `nu` (n_tokens) are the prices to begin with, or zeros; `flows` (3, n_edges) becomes what each
    edge takes and gives and its surplus, nu_b given - nu_a taken, the last also of edges that are
    not live. False: they cannot take or give as much; the flows then are the most they can.
    """
    return _solve(mesh, live, amount, exact_in, hops, nu, flows)


@inlined
def _traded(
    mesh: Mesh, live: Flags, exact_in: bool, nu: Floats, pull: Floats
) -> tuple[float, float]:
    """(what is spent, or bought, at prices; how fast it grows as that of token 0 falls)."""
    done, slope = 0.0, 0.0
    for edge in range(mesh.start[0], mesh.start[1]):
        if live[edge]:
            taken, _, steep, _ = _filled(mesh, edge, nu[0] / nu[mesh.head[edge]])
            done += taken
            slope += steep * (1.0 - pull[mesh.head[edge]])
    if exact_in:
        return done, slope
    done = 0.0
    for place in range(mesh.into_start[1], mesh.into_start[2]):
        edge = mesh.into[place]
        if live[edge]:
            _, given, _, _ = _filled(mesh, edge, nu[mesh.tail[edge]])
            done += given
    return done, slope * nu[0]


@inlined
def _flow(mesh: Mesh, live: Flags, nu: Floats, flows: Floats) -> None:
    for edge in range(mesh.tail.shape[0]):
        price, value = nu[mesh.tail[edge]], nu[mesh.head[edge]]
        taken, given, _, _ = _filled(mesh, edge, price / value)
        flows[0, edge] = taken if live[edge] else 0.0
        flows[1, edge] = given if live[edge] else 0.0
        flows[2, edge] = value * given - price * taken


@part
def _solve(
    mesh: Mesh,
    live: Flags,
    amount: float,
    exact_in: bool,
    hops: int,
    nu: Floats,
    flows: Floats,
) -> bool:
    apart()
    fresh = nu[0] == 0.0
    if fresh:
        _first_prices(mesh, hops, nu)
    root = 1.0 / math.sqrt(nu[0])
    most = _FURTHEST * root
    if fresh:
        root = _first_guess(mesh, live, amount, nu) if exact_in else 1.01 * root
    pull = np.zeros(nu.shape[0])
    low, high, fits, before = 0.0, math.inf, True, math.inf
    for _ in range(_STEPS):
        nu[0] = 1.0 / (root * root)
        _relax(mesh, live, hops, nu, pull)
        done, slope = _traded(mesh, live, exact_in, nu, pull)
        missing = amount - done
        if abs(missing) <= _NEAR * amount:
            break
        if missing > 0.0:
            low = root
        else:
            high = root
        # The slope is a guess where prices on the way pull each other, and nothing at a kink.
        is_good = slope > 0.0 and abs(missing) < 0.5 * before
        following = root * (1.0 + 0.5 * missing / slope) if is_good else -1.0
        before = abs(missing) if is_good else math.inf
        if not low < following < high:
            following = root * _FURTHER if high == math.inf else 0.5 * (low + high)
        following = min(following, root * _FURTHER)
        fits = following <= most
        if not fits or abs(following - root) <= _STILL * root:
            break
        root = following
    _flow(mesh, live, nu, flows)
    return fits


@jit
def thin(
    mesh: Mesh,
    live: Flags,
    amount: float,
    hops: int,
    units: Floats,
    nu: Floats,
    flows: Floats,
    until: Ints,
    values: Floats,
) -> int:
    """Split `amount` over fewer and fewer of the live edges, without what adds least.

    That is by surplus per unit of `units` (n_edges), of an edge beside others, or of a token on
    the way with all of its edges: so the rounds are the same whatever a unit costs. Written:
    `until` (n_edges), the first round that an edge is not in; `values` (n_edges), what comes out
    in each round.

    Returns:
        how many rounds there are.
    """
    count: int = mesh.tail.shape[0]
    size = nu.shape[0]
    live = live.copy()
    for edge in range(count):
        until[edge] = count + 1 if live[edge] else 0
    ends, sums = np.zeros((3, size), np.int64), np.zeros((2, size))
    for turn in range(count):
        if not _solve(mesh, live, amount, True, hops, nu, flows):
            return turn
        ends[:], sums[:] = 0, 0.0
        value, used = 0.0, 0
        for edge in range(count):
            if live[edge] and flows[0, edge] < _LEAST:
                live[edge], until[edge] = False, turn
            if live[edge]:
                tail, head = mesh.tail[edge], mesh.head[edge]
                _count(ends, sums, tail, head, 1, flows[2, edge], units[edge])
                value += flows[1, edge] if head == 1 else 0.0
                used += 1
        values[turn] = value
        for _ in range(1 + used // _AT_ONCE):
            if not _drop(mesh, live, turn, units, flows, until, ends, sums):
                return turn + 1
    return count


@inlined
def _count(
    ends: Ints, sums: Floats, tail: int, head: int, sign: int, surplus: float, units: float
) -> None:
    """Count an edge in or out at its tokens: edges that leave, come, come from token 0; sums."""
    ends[0, tail] += sign
    ends[1, head] += sign
    ends[2, head] += sign if tail == 0 else 0
    for token in (tail, head):
        sums[0, token] += sign * surplus
        sums[1, token] += sign * units


@inlined
def _drop(
    mesh: Mesh,
    live: Flags,
    turn: int,
    units: Floats,
    flows: Floats,
    until: Ints,
    ends: Ints,
    sums: Floats,
) -> bool:
    """Take out the edge or token that adds least for what it costs; False where none can go."""
    least, which, token = math.inf, -1, -1
    for edge in range(live.shape[0]):
        spare = ends[0, mesh.tail[edge]] > 1 and ends[1, mesh.head[edge]] > 1
        if live[edge] and spare and flows[2, edge] < least * units[edge]:
            least, which = flows[2, edge] / units[edge], edge
    for place in range(2, ends.shape[1]):
        spare = ends[0, place] > 0 and ends[0, 0] > ends[2, place]
        if spare and sums[0, place] < least * sums[1, place]:
            least, which, token = sums[0, place] / sums[1, place], -1, place
    for edge in range(live.shape[0]):
        tail, head = mesh.tail[edge], mesh.head[edge]
        if live[edge] and (edge == which or token in (tail, head)):
            live[edge], until[edge] = False, turn + 1
            _count(ends, sums, tail, head, -1, flows[2, edge], units[edge])
    return which >= 0 or token >= 0


@inlined
def _worth(mesh: Mesh, edge: int, price: float, value: float, cost: float) -> float:
    """What an edge can add to any plan at these prices after its cost, rounded up."""
    taken, given, _, passed = _filled(mesh, edge, price / value)
    surplus = value * given - price * taken
    error = value * given + price * taken
    if passed:
        last = min(mesh.first[edge] + passed, mesh.stop[edge] - 1)
        before = last - 1
        error += passed * (
            value * max(mesh.pieces[last, 3], mesh.pieces[before, 3])
            + price * max(mesh.pieces[last, 2], mesh.pieces[before, 2])
        )
    return max(0.0, surplus + _EPSILON * error - cost)


@jit
def ceiling(mesh: Mesh, costs: Floats, amount: float, nu: Floats) -> float:
    """Return what no route leaves more than, as these prices prove; rounded up."""
    total = nu[0] * amount
    for edge in range(mesh.tail.shape[0]):
        total += _worth(mesh, edge, nu[mesh.tail[edge]], nu[mesh.head[edge]], costs[edge])
    rounded: float = total * (1.0 + _EPSILON * (2.0 + mesh.tail.shape[0]))
    return rounded


@inlined
def _around(
    mesh: Mesh, costs: Floats, amount: float, nu: Floats, token: int, price: float
) -> float:
    """The part of the ceiling that a token's price is in."""
    total = price * amount if token == 0 else 0.0
    for place in range(mesh.into_start[token], mesh.into_start[token + 1]):
        edge = mesh.into[place]
        total += _worth(mesh, edge, nu[mesh.tail[edge]], price, costs[edge])
    for edge in range(mesh.start[token], mesh.start[token + 1]):
        total += _worth(mesh, edge, price, nu[mesh.head[edge]], costs[edge])
    return total


@jit
def lower(mesh: Mesh, costs: Floats, amount: float, sweeps: int, nu: Floats) -> None:
    """Move the prices, one after the other, to where the ceiling is lowest."""
    width = _WIDE
    for _ in range(sweeps):
        for token in range(nu.shape[0]):
            if token == 1:
                continue
            low, high = math.log(nu[token] / width), math.log(nu[token] * width)
            for _ in range(_CUTS):
                left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
                if _around(mesh, costs, amount, nu, token, math.exp(left)) < _around(
                    mesh, costs, amount, nu, token, math.exp(right)
                ):
                    high = right
                else:
                    low = left
            found = math.exp(0.5 * (low + high))
            if _around(mesh, costs, amount, nu, token, found) < _around(
                mesh, costs, amount, nu, token, nu[token]
            ):
                nu[token] = found
        width = math.sqrt(width)


@jit
def walk_paths(mesh: Mesh, amount: float, best: Floats, through: Floats) -> None:
    """Send `amount` of token 0 along single paths.

    `best` (hops + 1, n_tokens), zeros: the most of a token after so many hops. `through`
    (hops, n_edges): what an edge gives as the last of so many, for the most before it.
    """
    best[0, 0] = amount
    for hop in range(through.shape[0]):
        for edge in range(mesh.tail.shape[0]):
            sent, head = best[hop, mesh.tail[edge]], mesh.head[edge]
            through[hop, edge] = 0.0
            if sent > 0.0 and mesh.tail[edge] != 1:
                given, _, _ = along_edge(edge, sent, mesh.keep, mesh.first, mesh.stop, mesh.pieces)
                through[hop, edge] = given
                best[hop + 1, head] = max(best[hop + 1, head], given)
