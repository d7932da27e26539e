"""Single arguments that cannot be meant: one line each, before anything is opened or asked."""

import random
from pathlib import Path
from typing import Any

import pytest

from toolkit.chain.quorum import QuorumRpc
from toolkit.model.errors import ConfigError, GasLimitTooHigh
from toolkit.model.tx import TransactionRequest
from toolkit.testing.fakes import FRIEND, OWNER, World
from toolkit.tx.key_pool import KeyPool
from toolkit.tx.leases import Leases
from toolkit.tx.preflight import with_gas

NODES = ["http://a.example", "http://b.example"]


@pytest.mark.parametrize(
    ("nodes", "given", "message"),
    [
        ("http://a.example", {}, "nodes is 'http://a.example'; give a list, also of one"),
        (7, {}, "nodes is 7; give a list"),
        (NODES, {"send_only": "http://c.example"}, "send_only is 'http://c.example'; give a list"),
        (NODES, {"quorum": "2"}, "quorum is '2'"),
        (NODES, {"quorum": 2.0}, "quorum is 2.0"),
        (NODES, {"timeout_s": 0}, "timeout_s is 0"),
        (NODES, {"patience_s": -1}, "patience_s is -1"),
        ([*NODES, object()], {}, "a node is <object"),
    ],
)
def test_a_quorum_of_nonsense_is_refused(nodes: Any, given: dict[str, Any], message: str) -> None:
    """Which argument, its value, and what to give instead."""
    with pytest.raises(ConfigError, match=message):
        QuorumRpc(nodes, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"takeover": "no"}, "takeover is 'no'"),
        ({"takeover": 1}, "takeover is 1"),
        ({"stale_s": -1.0}, "stale_s is -1.0"),
        ({"stale_s": float("nan")}, "stale_s is nan"),
    ],
)
def test_leases_of_nonsense_are_refused(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A word that is no yes would take keys over; nothing is written before it is refused."""
    with pytest.raises(ConfigError, match=message):
        Leases(tmp_path / "new", **given)

    assert not (tmp_path / "new").exists()


def test_a_pool_of_one_signer_is_a_list() -> None:
    """A single signer is no pool."""
    with pytest.raises(ConfigError, match="a key pool takes a list of signers"):
        KeyPool(OWNER)  # type: ignore[arg-type]


async def test_too_much_gas_is_said_before_a_node_is_asked() -> None:
    """Nodes refuse such a call in words of too little gas; ours name the bound."""

    class Refusing(World):
        async def call(self, **_: Any) -> str:
            raise AssertionError("asked")

    request = TransactionRequest(to=FRIEND, gas=30_000)
    with pytest.raises(GasLimitTooHigh, match="gas limit 30000 is above 29999"):
        await with_gas(
            Refusing(random.Random(1)),
            request,
            sender=OWNER.address,
            simulate=True,
            max_gas=29_999,
        )
