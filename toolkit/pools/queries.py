"""Questions to the pools of a snapshot as people and programs write them, and their answers.

A query is one JSON object: `{"pool", "in", "out", "amount", "exact": "in" | "out",
"sqrt_price_limit_x96"}`, the last two if they are not "in" and none. Tokens are named by address
or, within the pool, by symbol.
"""

import msgspec

from toolkit.model.chain import Address
from toolkit.model.checks import shown
from toolkit.model.errors import DataError, PoolError
from toolkit.model.market import PoolId
from toolkit.pools.fields import Fields, checked
from toolkit.pools.snapshot import Pool, Snapshot

EXACT_IN, EXACT_OUT = "in", "out"
_ID_LENGTHS = (42, 66)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool gives for `amount` in, or takes for `amount` out; a limit of 0 is none."""

    pool: PoolId
    token_in: Address
    token_out: Address
    amount: int
    exact_out: bool = False
    sqrt_price_limit_x96: int = 0


def answer(snapshot: Snapshot, query: Query) -> int:
    """Return the amount of the other token, in its smallest units.

    Raises:
        PoolError: the contract would revert; names pool and field.
    """
    quote, token = (
        (snapshot.quote_out, query.token_out)
        if query.exact_out
        else (snapshot.quote_in, query.token_in)
    )
    limit = query.sqrt_price_limit_x96
    return quote(query.pool, token, query.amount, sqrt_price_limit_x96=limit)


def alone(snapshot: Snapshot, query: Query) -> int | PoolError:
    """Return the answer, or why the contract would revert."""
    try:
        return answer(snapshot, query)
    except PoolError as error:
        return error


def read_query(snapshot: Snapshot, line: bytes, *, where: str) -> tuple[Query, tuple[str, ...]]:
    """Read one query, and which of its fields are unknown.

    Raises:
        DataError: no query, or none of this snapshot's pools and tokens; begins with `where`.
    """
    fields = Fields(where, checked(line.strip(), where=where))
    pool, token_in, token_out = (fields.text(name) for name in ("pool", "in", "out"))
    amount = fields.integer("amount")
    exact = fields.text("exact") if fields.has("exact") else EXACT_IN
    if exact not in (EXACT_IN, EXACT_OUT):
        fields.refuse("exact", f'is {shown(exact)}; give "in" or "out"')
    limit = "sqrt_price_limit_x96"
    limited = fields.integer(limit) if fields.has(limit) else 0
    try:
        query = ask(
            snapshot,
            pool,
            token_in,
            token_out,
            amount,
            exact_out=exact == EXACT_OUT,
            sqrt_price_limit_x96=limited,
        )
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    return query, fields.unknown


def ask(
    snapshot: Snapshot,
    pool: str,
    token_in: str,
    token_out: str,
    amount: int,
    *,
    exact_out: bool = False,
    sqrt_price_limit_x96: int = 0,
) -> Query:
    """Make a query of names: a pool's id in any case, a token's address or symbol.

    Raises:
        DataError: there is no such pool, or it does not have these two tokens.
    """
    state = _pool_of(snapshot, pool)
    one = _token_of(snapshot, state, "in", token_in)
    other = _token_of(snapshot, state, "out", token_out)
    if one == other:
        raise DataError(f"pool {state.id}: out: {shown(token_out)} is what goes in already")
    return Query(
        pool=state.id,
        token_in=one,
        token_out=other,
        amount=amount,
        exact_out=exact_out,
        sqrt_price_limit_x96=sqrt_price_limit_x96,
    )


def token_named(snapshot: Snapshot, field: str, name: str) -> Address:
    """Return the token that an address or a symbol stands for, among those of a snapshot.

    Raises:
        DataError: none of its pools has such a token, or several do; begins with `field`.
    """
    traded = {token for pool in snapshot.pools.values() for token in (pool.token0, pool.token1)}
    if name.lower() in traded:
        return Address(name.lower())
    found = sorted(
        token for token, of in snapshot.tokens.items() if of.symbol == name and token in traded
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{field}: {shown(name)} is the symbol of {' and '.join(found)}")
    raise DataError(f"{field}: no pool has a token {_shown(name)}; give its address or symbol")


def _pool_of(snapshot: Snapshot, name: str) -> Pool:
    pool = snapshot.pools.get(Address(name.lower()))
    if pool is None:
        raise DataError(
            f"pool: {_shown(name)} is not the id of one of the {len(snapshot.pools)} pools"
        )
    return pool


def _token_of(snapshot: Snapshot, pool: Pool, field: str, name: str) -> Address:
    symbols = {
        token: snapshot.tokens[token].symbol if token in snapshot.tokens else ""
        for token in (pool.token0, pool.token1)
    }
    if name.lower() in symbols:
        return Address(name.lower())
    found = [token for token, symbol in symbols.items() if symbol == name]
    if len(found) != 1:
        what = "is the symbol of both" if found else "is neither"
        tokens = " and ".join(f"{token} ({symbol})" for token, symbol in symbols.items())
        raise DataError(f"pool {pool.id}: {field}: {_shown(name)} {what} of its tokens, {tokens}")
    return found[0]


def _shown(name: str) -> str:
    """A name as it is where it may be an id, however long."""
    return name if len(name) in _ID_LENGTHS and name.isalnum() else shown(name)
