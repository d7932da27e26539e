"""From estimated flows to swaps that run one after the other, in exact integers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np

from toolkit.routing.curves import Floats
from toolkit.routing.swaps.mesh import SOURCE, TARGET, Mesh
from toolkit.routing.swaps.shares import Filled, Spender

_LEAST = 0.5  # of a unit: less is no trade
_SCALE = 1 << 60
# By how much less of a token is bought whose pools turned out to be full: first, and from then on.
_LESS, _STEP = 1e-12, 16.0
_RETRIES = 16

Groups = dict[tuple[int, int], list[int]]
"""Used edges of a mesh by the tokens that they take and give."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Swaps in an order that runs; all of `amount_in` is spent."""

    fills: tuple[Filled, ...]
    amount_in: int
    amount_out: int


class Settler:
    """Flows along a mesh that go in no circle, ready to send any amount after them.

    `flows` (3, n_edges) as kernels/split.py has them.
    """

    def __init__(self, spender: Spender, mesh: Mesh, flows: Floats) -> None:
        self._spender = spender
        self._mesh = mesh
        self._flows: list[float] = flows[0].tolist()
        self._groups = groups_of(mesh, flows)
        self._order = order_of(self._groups)
        self.amount = float(flows[0, mesh.tail == SOURCE].sum())

    def send(self, amount: int) -> Plan | None:
        """Spend exactly `amount`, in the proportions of the flows; None if pools cannot take it.

        Estimates may miss by a little what a pool can take. Then others that take the same token
        get more, and where there are none less of it is bought.
        """
        less: dict[int, float] = {}
        for _ in range(_RETRIES):
            fills, held, token, left = self._sent(amount, less)
            if not left:
                out = held.get(TARGET, 0)
                return Plan(tuple(fills), amount, out) if out else None
            if token == SOURCE:
                return None
            lack = max(_LESS, 2 * left / held[token], _STEP * (1 - less.get(token, 1.0)))
            less[token] = max(1 - lack, 0.0)
        return None

    def _sent(
        self, amount: int, less: dict[int, float]
    ) -> tuple[list[Filled], dict[int, int], int, int]:
        """(swaps, what was held of each token, one that could not all be sold, what was left)."""
        held = {SOURCE: amount}
        fills: list[Filled] = []
        for token in self._order:
            if token == TARGET or not held.get(token):
                continue
            done: dict[int, list[Filled]] = {}
            parts = list(self._parts(token, held[token], less))
            left = 0 if parts else held[token]
            for head, part in [*parts, *((head, 0) for head, _ in reversed(parts))]:
                if not (part or left):
                    continue
                more = sum(taken for _, taken, _ in done.get(head, ())) + part + left
                done[head] = self._spend(self._groups[token, head], more)
                left = more - sum(taken for _, taken, _ in done[head])
            if left:
                return fills, held, token, left
            for head, some in done.items():
                fills += some
                held[head] = held.get(head, 0) + sum(given for *_, given in some)
        return fills, held, TARGET, 0

    def _parts(self, token: int, amount: int, less: dict[int, float]) -> Iterator[tuple[int, int]]:
        """Divide what is held of a token among those it is sold for; the last has the rest."""
        sizes = {
            head: sum(self._flows[edge] for edge in edges)
            for (tail, head), edges in self._groups.items()
            if tail == token
        }
        whole = sum(sizes.values())
        heads = sorted(sizes, key=lambda head: (head not in less, sizes[head]))
        rest = amount
        for head in heads:
            share = int(sizes[head] * less.get(head, 1.0) / whole * _SCALE)
            part = rest if head == heads[-1] else amount * share // _SCALE
            rest -= part
            yield head, part

    def _spend(self, edges: Sequence[int], amount: int) -> list[Filled]:
        flows = [self._flows[edge] for edge in edges]
        scale = amount / sum(flows)
        ids = [int(self._mesh.edge[edge]) for edge in edges]
        return self._spender.spend(ids, amount, [flow * scale for flow in flows])


def groups_of(mesh: Mesh, flows: Floats) -> Groups:
    """Return the edges that take something, by their tokens."""
    found: Groups = {}
    for edge in np.flatnonzero(flows[0] >= _LEAST).tolist():
        found.setdefault((int(mesh.tail[edge]), int(mesh.head[edge])), []).append(edge)
    return found


def order_of(groups: Groups) -> list[int]:
    """Return the tokens, each after all that it is bought with.

    Raises:
        CycleError: some are bought with each other in a circle.
    """
    if all(tail == SOURCE or head == TARGET for tail, head in groups):
        between = sorted({head for _, head in groups if head != TARGET})
        return [SOURCE, *between, TARGET]
    before: dict[int, set[int]] = {}
    for tail, head in groups:
        before.setdefault(head, set()).add(tail)
    return list(TopologicalSorter(before).static_order())


def circle(groups: Groups) -> list[int]:
    """Return the edges between the tokens of a circle, none where there is no circle."""
    try:
        order_of(groups)
    except CycleError as error:
        around = set(error.args[1])
        return [edge for ends, edges in groups.items() if around >= set(ends) for edge in edges]
    return []
