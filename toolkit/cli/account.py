"""The options that name a node and an account, alike for every command that has them."""

import argparse
import os
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.chain.node import Node
    from toolkit.chain.signer import Signer
    from toolkit.journal.sqlite import SqliteBackend
    from toolkit.model.chain import Mode
    from toolkit.session import Session

KEYSTORES = Path("~/.foundry/keystores")
TIMEOUT_S = 10.0
_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")


def add_node_options(parser: argparse.ArgumentParser) -> None:
    """Add --rpc-url and --json."""
    parser.add_argument(
        "--rpc-url",
        "--rpc",
        action="append",
        metavar="URL",
        help="the node, http(s) or ws(s) (default: ETH_RPC_URL); repeatable: a quorum of them",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def add_account_options(parser: argparse.ArgumentParser) -> None:
    """Add who signs, and the words without which nothing is sent on a real node."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--account", metavar="NAME", help=f"a keystore in {KEYSTORES}")
    who.add_argument("--keystore", type=Path, metavar="FILE", help="a version 3 keyfile")
    who.add_argument("--private-key", metavar="KEY", help="on a DEV node only")
    who.add_argument("--remote-signer", metavar="URL", help="one that answers eth_signTransaction")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="whose key is meant")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="of the keystore")
    parser.add_argument("--live", action="store_true", help="really send on a real node")
    parser.add_argument("--chain-id", type=int, metavar="N", help="the chain meant, with --live")
    parser.add_argument(
        "--allow-real-key", action="store_true", help="let any key sign on a development node"
    )
    parser.add_argument(
        "--max-cost", default="0.05", metavar="ETHER", help="of one attempt (%(default)s)"
    )
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="append-only log; goes on where it stopped"
    )
    parser.add_argument(
        "--takeover",
        action="store_true",
        help="take journal and key from a process that is stopped or hangs",
    )


def node_urls(args: argparse.Namespace) -> str | list[str]:
    """The node's address, or those of several that are asked together.

    Raises:
        ConfigError: none was given.
    """
    from toolkit.model.errors import ConfigError

    urls = args.rpc_url or [url for url in [os.environ.get("ETH_RPC_URL")] if url]
    if not urls:
        raise ConfigError("no node: give --rpc-url or set ETH_RPC_URL")
    return str(urls[0]) if len(urls) == 1 else list(urls)


@asynccontextmanager
async def open_node(args: argparse.Namespace) -> AsyncGenerator["Node", None]:
    """The node, or the quorum of several, only to ask."""
    from toolkit.chain.node import Node
    from toolkit.chain.web3_bridge import rpc_of

    rpc = rpc_of(node_urls(args), timeout_s=TIMEOUT_S)
    try:
        yield Node(rpc)
    finally:
        await rpc.close()


def open_signer(args: argparse.Namespace) -> "Signer":
    """Open the account that was named; a keystore takes about a second.

    Raises:
        ConfigError: no account was named, a keystore without a password, what was named is no key
            or cannot be opened, or it is another account than --from says.
    """
    from toolkit.model.chain import address
    from toolkit.model.errors import ConfigError, SignerError

    meant = None if args.sender is None else address(args.sender)
    try:
        signer = _signer(args, meant)
    except SignerError as error:  # what was typed is wrong, not what it was for
        raise ConfigError(str(error)) from None
    if meant not in {None, signer.address}:
        raise ConfigError(f"--from is {meant}, but the key given is that of {signer.address}")
    return signer


def _signer(args: argparse.Namespace, meant: str | None) -> "Signer":
    from toolkit.chain.keystore import KeystoreSigner
    from toolkit.chain.remote_signer import RemoteSigner
    from toolkit.chain.signer import LocalSigner
    from toolkit.model.errors import ConfigError

    if args.private_key is not None:
        return LocalSigner(args.private_key)
    if args.remote_signer is None:
        return KeystoreSigner(_keystore(args), _password(args))
    if meant is None:
        raise ConfigError("--remote-signer needs --from ADDRESS: it may hold several keys")
    return RemoteSigner(args.remote_signer, meant)


def _keystore(args: argparse.Namespace) -> Path:
    from toolkit.model.errors import ConfigError

    if args.account is None and args.keystore is None:
        raise ConfigError("no account: give --account NAME or --keystore FILE")
    path: Path = args.keystore or (KEYSTORES / args.account)
    if _KEY.fullmatch(path.name):  # before it is shown as a file that is not there
        raise ConfigError("--account and --keystore take a name and a file, not a private key")
    if not path.expanduser().exists():  # said before anybody is asked for its password
        raise ConfigError(f"keystore {path} cannot be read: there is no such file")
    return path


@asynccontextmanager
async def open_session(
    args: argparse.Namespace,
    signer: "Signer | None",
    *,
    relays: Sequence[str] = (),
    reputation: Path | None = None,
) -> AsyncGenerator["Session", None]:
    """Connect as the options say; the mode follows from what the node is.

    Raises:
        ConfigError: a raw key in any mode but DEV (arguments end up in histories and process
            lists), or any other refusal of the node's mode.
    """
    from toolkit.chain.remote_signer import RemoteSigner
    from toolkit.model.chain import Mode
    from toolkit.model.errors import ConfigError
    from toolkit.model.units import ether
    from toolkit.session import connect
    from toolkit.tx.leases import Leases, user_directory

    async with AsyncExitStack() as stack:
        if isinstance(signer, RemoteSigner):
            stack.push_async_callback(signer.close)
        # Before connecting: what the journal holds is taken up again as soon as a session opens.
        mode = await node_mode(args, live=args.live, chain_id=args.chain_id)
        if args.private_key is not None and mode is not Mode.DEV:
            raise ConfigError(
                f"--private-key is refused in {mode.value} mode: import the key with `cast wallet "
                "import` and give --account"
            )
        leases = None
        if mode is Mode.LIVE:
            leases = Leases(user_directory(), takeover=args.takeover)
            stack.callback(leases.close)
        yield await stack.enter_async_context(
            connect(
                node_urls(args),
                signer=signer,
                relays=relays,
                journal=_journal(args),
                reputation=reputation,
                leases=leases,
                live=args.live,
                chain_id=args.chain_id,
                allow_real_key=args.allow_real_key,
                max_cost_wei=ether(args.max_cost),
            )
        )


def _journal(args: argparse.Namespace) -> "Path | SqliteBackend | None":
    from toolkit.journal.sqlite import SqliteBackend

    if args.journal is None:
        return None
    return SqliteBackend(args.journal, takeover=True) if args.takeover else Path(args.journal)


async def node_mode(
    args: argparse.Namespace, *, live: bool = False, chain_id: int | None = None
) -> "Mode":
    """Ask the node what it is, and so which mode a session on it would be in."""
    from toolkit.chain.modes import choose_mode, identify

    async with open_node(args) as node:
        return choose_mode(await identify(node), live=live, chain_id=chain_id)


def _password(args: argparse.Namespace) -> str:
    from toolkit.model.errors import ConfigError

    if args.password_file is not None:
        try:
            text: str = args.password_file.expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(
                f"password file {args.password_file} cannot be read: {why}; give a file with the "
                "password alone"
            ) from None
        return text.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ConfigError("a keystore needs --password-file where nobody can be asked")
    from getpass import getpass

    return getpass("keystore password: ")
