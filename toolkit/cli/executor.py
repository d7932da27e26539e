"""`toolkit executor deploy|status|withdraw`: the on-chain executor from the shell."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from toolkit.cli.account import (
    add_account_options,
    add_node_options,
    node_mode,
    open_node,
    open_session,
    open_signer,
)
from toolkit.cli.ending import add_patience_option, end_of, exit_code, facts, show

if TYPE_CHECKING:
    from toolkit.model.chain import Address
    from toolkit.model.tx import Outcome
    from toolkit.session import Session

NATIVE = "native"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command group; nothing else is imported until it runs."""
    parser = subparsers.add_parser("executor", help="the on-chain executor of plans")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    deploy = actions.add_parser("deploy", help="put one on the chain; its sender owns it")
    deploy.add_argument("--weth", metavar="ADDRESS", help="wrapped native token (mainnet: known)")
    look = actions.add_parser("status", help="its owner, balances and allowances")
    look.add_argument(
        "--token", action="append", default=[], metavar="ADDRESS", help="look at it (repeatable)"
    )
    empty = actions.add_parser("withdraw", help="send what strangers left there to its owner")
    empty.add_argument(
        "--token", required=True, metavar="ADDRESS", help=f"or {NATIVE}, for the native token"
    )
    for action in (look, empty):
        action.add_argument("executor", metavar="EXECUTOR", help="its address")
    for action in (deploy, empty):
        add_account_options(action)
        add_patience_option(action)
    for action, handler in ((deploy, _deploy), (look, _status), (empty, _withdraw)):
        add_node_options(action)
        action.set_defaults(handler=handler)


def _status(args: argparse.Namespace) -> int:
    import asyncio

    from toolkit.execution.executor import status
    from toolkit.model.chain import address

    async def read() -> int:
        executor, tokens = address(args.executor), tuple(map(address, args.token))
        mode = await node_mode(args)
        async with open_node(args) as node:
            seen = await status(node, executor, tokens=tokens)
        document: dict[str, object] = {name: getattr(seen, name) for name in seen.__struct_fields__}
        for name in ("balances", "allowances"):
            amounts: Mapping[Address, int] = getattr(seen, name)
            document[name] = {token: str(amount) for token, amount in amounts.items()}
        show(args, {"mode": mode.value, **document})
        return 0 if seen.genuine else 1

    return asyncio.run(read())


def _deploy(args: argparse.Namespace) -> int:
    import asyncio

    from toolkit.execution.executor import WRAPPED_NATIVE, deploy_executor
    from toolkit.model.chain import address
    from toolkit.model.errors import ConfigError
    from toolkit.model.tx import Confirmed

    async def send() -> int:
        weth = address(args.weth) if args.weth else None
        signer = open_signer(args)
        async with open_session(args, signer) as session:
            weth = weth or WRAPPED_NATIVE.get(session.chain_id)
            if weth is None:
                raise ConfigError(
                    f"no wrapped native token is known for chain {session.chain_id}: give --weth"
                )
            deployment = await deploy_executor(session, weth=weth, signer=signer.address)
            outcome = await end_of(args, deployment.outcome())
            landed = isinstance(outcome, Confirmed)
            executor = await deployment.address() if landed else None
            _tell(args, session, outcome, executor=executor, owner=signer.address, weth=weth)
            return exit_code(outcome)

    return asyncio.run(send())


def _withdraw(args: argparse.Namespace) -> int:
    import asyncio

    from toolkit.execution.executor import withdraw
    from toolkit.model.chain import ZERO_ADDRESS, address

    async def send() -> int:
        executor = address(args.executor)
        token = ZERO_ADDRESS if args.token == NATIVE else address(args.token)
        signer = open_signer(args)
        async with open_session(args, signer) as session:
            sent = await withdraw(session, executor, token=token, signer=signer.address)
            outcome = await end_of(args, sent.wait())
            _tell(args, session, outcome, executor=executor, owner=signer.address, token=token)
            return exit_code(outcome)

    return asyncio.run(send())


def _tell(
    args: argparse.Namespace, session: "Session", outcome: "Outcome", **about: "Address | None"
) -> None:
    ended = {"mode": session.mode.value, "outcome": type(outcome).__name__}
    show(args, {**ended, **about, **facts(outcome)})
