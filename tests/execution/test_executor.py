"""Executors put on a real chain through a session, looked at, and emptied."""

import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest

from toolkit.chain.node import Node
from toolkit.chain.rpc import HttpRpc
from toolkit.chain.signer import LocalSigner
from toolkit.devnet.anvil import start_anvil
from toolkit.execution.calldata import (
    BALANCE_OF,
    SET_UNLIMITED_ALLOWANCE,
    encode_address_call,
    encode_approve,
)
from toolkit.execution.executor import Deployment, deploy_executor, status, withdraw
from toolkit.model.chain import ZERO_ADDRESS, Address, Hash
from toolkit.model.errors import CallReverted, ConfigError, NodeError
from toolkit.model.tx import Confirmed, DryRun, TransactionRequest, Visibility
from toolkit.session import Session, connect

OWNER = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
OTHER = LocalSigner("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
WETH = Address("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
TOKEN = Address("0x6b175474e89094c44da98b954eedeac495271d0f")
NOTHING = Address("0x" + "77" * 20)
PUBLIC = Visibility.PUBLIC


def runtime(contract: str) -> str:
    document = files("toolkit.devnet").joinpath("artifacts", f"{contract}.json").read_text()
    return str(json.loads(document)["runtime"])


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    """Two public keys on a fresh Anvil with a wrapped native token and another token."""
    async with await start_anvil(["--chain-id", "1", "--hardfork", "cancun"]) as anvil:
        async with HttpRpc(anvil.url) as rpc:
            await rpc.call("anvil_setCode", [WETH, runtime("StandInWeth")])
            await rpc.call("anvil_setCode", [TOKEN, runtime("StandInToken")])
        async with connect(anvil.url, signer=[OWNER, OTHER]) as opened:
            yield opened


async def deployed(session: Session) -> Address:
    return await (await deploy_executor(session, weth=WETH)).address()


async def deal(session: Session, account: Address, amount: int) -> None:
    await session.node.rpc.call("anvil_dealERC20", [account, TOKEN, hex(amount)])


async def test_a_deployment_gives_a_genuine_executor_of_its_sender(session: Session) -> None:
    """What is deployed has the shipped code, belongs to its sender, and holds nothing."""
    deployment = await deploy_executor(session, weth=WETH, signer=OTHER.address)
    executor = await deployment.address()

    seen = await status(session.node, executor, tokens=(WETH, TOKEN))

    assert isinstance(await deployment.outcome(), Confirmed)
    assert seen.genuine
    assert (OTHER.address, WETH) == (seen.owner, seen.weth)
    assert not seen.unlimited_allowance
    assert {ZERO_ADDRESS: 0, WETH: 0, TOKEN: 0} == seen.balances
    assert {WETH: 0, TOKEN: 0} == seen.allowances


async def test_the_first_signer_owns_it_unless_another_is_named(session: Session) -> None:
    """Without a signer the session's first one sends, and owns."""
    seen = await status(session.node, await deployed(session))

    assert OWNER.address == seen.owner


async def test_nothing_is_deployed_over_a_token_that_is_not_there(session: Session) -> None:
    """A wrapped native token without code is an error before anything is sent."""
    with pytest.raises(ConfigError, match=f"no contract at {NOTHING} for the wrapped native"):
        await deploy_executor(session, weth=NOTHING)

    assert 0 == await session.node.nonce(OWNER.address)


async def test_status_shows_balances_and_allowances(session: Session) -> None:
    """What strangers left, what the owner allows, and the owner's choice are all shown."""
    executor = await deployed(session)
    await deal(session, executor, 5)
    await session.node.rpc.call("anvil_setBalance", [executor, hex(9)])
    choose = TransactionRequest(to=executor, data=SET_UNLIMITED_ALLOWANCE + f"{1:064x}")
    allow = TransactionRequest(to=TOKEN, data=encode_approve(TOKEN, executor, 7))
    for request in (choose, allow):
        await (await session.send(request, visibility=PUBLIC)).wait()

    seen = await status(session.node, executor, tokens=(TOKEN,))

    assert {ZERO_ADDRESS: 9, TOKEN: 5} == seen.balances
    assert {TOKEN: 7} == seen.allowances
    assert seen.unlimited_allowance


async def test_another_contract_is_not_taken_for_an_executor(session: Session) -> None:
    """Code that is not ours is reported as such, and never called or withdrawn from."""
    seen = await status(session.node, WETH)

    assert not seen.genuine
    assert seen.owner is None
    with pytest.raises(ConfigError, match="is not an executor of this toolkit"):
        await withdraw(session, WETH, token=ZERO_ADDRESS)


async def test_an_account_without_code_is_refused(session: Session) -> None:
    """An address without a contract is one clear error."""
    with pytest.raises(ConfigError, match=f"no contract at {NOTHING} on this chain at block"):
        await status(session.node, NOTHING)


@pytest.mark.parametrize("token", [NOTHING, OWNER.address])
async def test_what_is_no_token_is_named(session: Session, token: Address) -> None:
    """A token that does not answer like one is one clear error."""
    executor = await deployed(session)

    with pytest.raises(ConfigError, match=f"{token} does not answer as a token does"):
        await status(session.node, executor, tokens=(token,))


async def test_withdraw_sends_a_token_to_the_owner(session: Session) -> None:
    """The executor's whole balance of a token ends up with its owner."""
    executor = await deployed(session)
    await deal(session, executor, 5)

    outcome = await (await withdraw(session, executor, token=TOKEN)).wait()

    owned = encode_address_call(BALANCE_OF, OWNER.address)
    assert isinstance(outcome, Confirmed)
    assert 5 == int(await session.node.call(to=TOKEN, data=owned), 16)
    assert 0 == (await status(session.node, executor, tokens=(TOKEN,))).balances[TOKEN]


async def test_withdraw_sends_native_to_the_owner(session: Session) -> None:
    """Native token that was forced upon the executor goes to its owner, less the fee."""
    executor = await deployed(session)
    await session.node.rpc.call("anvil_setBalance", [executor, hex(10**18)])
    before = await session.node.balance(OWNER.address)

    outcome = await (await withdraw(session, executor, token=ZERO_ADDRESS)).wait()

    assert isinstance(outcome, Confirmed)
    assert before + 10**18 - outcome.fee_wei == await session.node.balance(OWNER.address)


async def test_nothing_is_sent_where_nothing_is_to_be_withdrawn(session: Session) -> None:
    """An empty executor costs no gas."""
    executor = await deployed(session)
    for token, name in ((TOKEN, f"token {TOKEN}"), (ZERO_ADDRESS, "native token")):
        with pytest.raises(ConfigError, match=f"holds nothing of {name}: nothing to withdraw"):
            await withdraw(session, executor, token=token)


async def test_only_the_owner_withdraws(session: Session) -> None:
    """Another signer is told whose executor it is, before anything is sent."""
    executor = await deployed(session)
    await deal(session, executor, 5)

    with pytest.raises(CallReverted, match=f"belongs to {OWNER.address}, not to {OTHER.address}"):
        await withdraw(session, executor, token=TOKEN, signer=OTHER.address)

    assert 0 == await session.node.nonce(OTHER.address)


class Ended:
    """A send that has ended, as a session hands it out."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome

    async def wait(self) -> Any:
        return self.outcome


async def test_a_dry_run_has_no_address(session: Session) -> None:
    """A deployment that did not land says how it ended instead of giving an address."""
    ended: Any = Ended(DryRun(would_be_hash=Hash("0x" + "12" * 32), max_cost_wei=1))
    deployment = Deployment(node=session.node, sent=ended)

    with pytest.raises(NodeError, match="the executor was not deployed: DryRun"):
        await deployment.address()


async def test_a_receipt_without_a_contract_is_refused(session: Session) -> None:
    """A confirmed transaction that created nothing is not taken for a deployment."""
    request = TransactionRequest(to=OTHER.address, value=1)
    sent = await session.send(request, visibility=PUBLIC)

    with pytest.raises(NodeError, match="no receipt of the deployment"):
        await Deployment(node=Node(session.node.rpc), sent=sent).address()
