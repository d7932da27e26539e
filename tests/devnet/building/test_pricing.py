import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from tests.devnet.building.conftest import Client
from tests.devnet.conftest import ACCOUNTS, GWEI, Wallet
from toolkit.devnet.building.relay_server import serve_relay
from toolkit.devnet.building.sealing import Market


@pytest.fixture
async def relay(market: Market) -> AsyncIterator[Client]:
    server = await serve_relay(market.builders[0])
    async with aiohttp.ClientSession() as session:
        yield Client(server.url, session)
    await server.close()


def bundle(market: Market, wallet: Wallet, **fields: object) -> dict[str, object]:
    return {
        "txs": [wallet.sign().raw],
        "blockNumber": hex(market.head.number + 1),
        **fields,
    }


async def test_call_bundle_prices_without_sending(
    relay: Client, market: Market, wallets: list[Wallet]
) -> None:
    """The simulation's sums obey their identities, and nothing is kept or mined."""
    payer = wallets[1].sign(market.builders[0].fee_recipient, value=777, tip=2 * GWEI)
    request = {
        "txs": [payer.raw, wallets[2].sign(tip=GWEI).raw],
        "blockNumber": hex(market.head.number + 1),
        "stateBlockNumber": "latest",
    }

    result = (await relay.ask("eth_callBundle", request))["result"]

    fees = 21_000 * 3 * GWEI
    assert (str(fees), "777", str(fees + 777)) == (
        result["gasFees"],
        result["ethSentToCoinbase"],
        result["coinbaseDiff"],
    )
    assert str((fees + 777) // 42_000) == result["bundleGasPrice"]
    assert result["totalGasUsed"] == 42_000
    assert market.builders[0].orders() == ()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"nonce": 3}, "err: nonce too low"),
        ({"nonce": 30}, "err: nonce too high"),
        ({"cap": 1000, "tip": 1}, "err: max fee per gas less than block base fee"),
        ({"value": 10**30}, "err: "),
    ],
)
async def test_call_bundle_says_what_would_be_refused(
    relay: Client,
    market: Market,
    wallets: list[Wallet],
    field: dict[str, Any],
    words: str,
) -> None:
    """What Anvil's simulation does not check is checked here, in the relays' words."""
    request = {"txs": [wallets[1].sign(**field).raw], "blockNumber": hex(market.head.number + 1)}

    answer = await relay.ask("eth_callBundle", request)

    assert answer["error"]["code"] == -32000
    assert answer["error"]["message"].startswith(words)


@pytest.mark.parametrize("state", ["pending", "0xzz", {"a": 1}, True])
async def test_a_state_that_is_no_block_is_refused(
    relay: Client, market: Market, wallets: list[Wallet], state: object
) -> None:
    """A tag other than latest, or no number at all, is a wrong parameter."""
    request = bundle(market, wallets[0], stateBlockNumber=state)

    assert -32602 == (await relay.ask("eth_callBundle", request))["error"]["code"]


@pytest.mark.realdata
async def test_the_answer_has_the_documented_form(
    relay: Client, market: Market, wallets: list[Wallet], data_dir: Path
) -> None:
    """The fields of Flashbots' own example, each of its kind, and its identities."""
    path = data_dir / "bundles/eth_callBundle_response_sample.json"
    sample = json.loads(path.read_text())["response"]["result"]

    result = (await relay.ask("eth_callBundle", bundle(market, wallets[1])))["result"]

    assert kinds(sample) == kinds(result)
    assert kinds(sample["results"][0]) == kinds(result["results"][0])
    assert int(result["coinbaseDiff"]) == int(result["ethSentToCoinbase"]) + int(result["gasFees"])


def kinds(fields: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in fields.items()}


async def test_a_delegation_spends_its_own_nonce(
    relay: Client, market: Market, wallets: list[Wallet]
) -> None:
    """Behind a type 4 transaction the account that delegates goes on one nonce later."""
    payer, delegating = wallets[1], wallets[2]
    grant = delegating.account.signer.sign_authorization(
        chain_id=1, address=ACCOUNTS[3].address, nonce=10
    )
    unsigned = replace(payer.sign().unsigned, type=4, authorization_list=(grant,))
    first = payer.account.signer.sign_transaction_now(unsigned)
    asked = bundle(market, wallets[3])
    answers = []
    for nonce in (11, 10):
        asked["txs"] = [first.raw, delegating.sign(nonce=nonce).raw]
        answers.append(await relay.ask("eth_callBundle", asked))

    assert len(answers[0]["result"]["results"]) == 2
    assert "nonce too low" in answers[1]["error"]["message"]


async def test_a_transaction_that_comes_twice_is_too_low(
    relay: Client, market: Market, wallets: list[Wallet]
) -> None:
    """Behind itself its nonce is spent, and that is what is said."""
    asked = bundle(market, wallets[1])
    asked["txs"] = [wallets[1].sign(nonce=10).raw] * 2

    answer = await relay.ask("eth_callBundle", asked)

    assert "nonce too low" in answer["error"]["message"]
    assert "tx: 10 state: 11" in answer["error"]["message"]
