"""Single arguments that cannot be meant: one line each, before anything is opened or asked."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.tx.desk import PAYMENT, Desk
from toolkit.chain.quorum import QuorumRpc
from toolkit.chain.remote_signer import RemoteSigner
from toolkit.devnet.devnet import DevnetConfig
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


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("tx-99", "after names 'tx-99', which no request here is called; give what send returned"),
        ("y" * 999, r"after names 'yy.+… \(1001 characters\), which no"),
        (5, "after is 5; give what send returned, or a request id"),
        ("", "after is ''; give what send returned"),
    ],
)
async def test_a_predecessor_that_nobody_knows_is_refused(after: Any, said: str) -> None:
    """With what would be one, and before anything is accepted."""
    desk = Desk(World(random.Random(7)))
    scheduler = await desk.open()

    with pytest.raises(ConfigError, match=said) as refused:
        await scheduler.send(PAYMENT, after=after)
    assert "\n" not in str(refused.value)
    assert 0 == scheduler.statistics().accepted
    await desk.close()


async def test_what_is_no_request_is_refused() -> None:
    """Neither to be sent, nor to be found."""
    desk = Desk(World(random.Random(7)))
    scheduler = await desk.open()

    with pytest.raises(ConfigError, match=r"request is {'to': .+; give a TransactionReq"):
        await scheduler.send({"to": FRIEND})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"called 'z+… \(1001 characters\); give the request_id"):
        scheduler.request("z" * 999)
    await desk.close()


@pytest.mark.parametrize("mempool", ["typo", "GETH", ""])
def test_a_mempool_that_is_none_is_named_with_those_there_are(mempool: str) -> None:
    """A devnet has one more than there are clients: none at all."""
    with pytest.raises(
        ConfigError, match=f"'{mempool}' is not known: use one of geth, .+, or none"
    ):
        DevnetConfig(mempool=mempool)


def test_a_dialect_is_one_of_two() -> None:
    """A remote signer asked in no known words answers nothing."""
    with pytest.raises(ConfigError, match="dialect is 'clef'; give ETH or CLEF"):
        RemoteSigner("http://x", OWNER.address, dialect="clef")  # type: ignore[arg-type]
