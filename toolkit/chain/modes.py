"""What kind of node this is, and what may therefore be signed and sent there."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from toolkit.chain import answers
from toolkit.chain.dev_keys import known_dev_accounts
from toolkit.chain.node import Node
from toolkit.chain.quorum import QuorumRpc
from toolkit.model.chain import Address, Mode
from toolkit.model.checks import shown
from toolkit.model.errors import ConfigError, NodeError, RpcError

# Their own names for themselves in web3_clientVersion.
_DEVELOPMENT = re.compile(
    r"^(?:anvil|hardhat|ganache|ethereumjs testrpc|ethereumtester)", re.IGNORECASE
)

PUBLIC_KEYS = frozenset(
    Address(account)
    for account in (
        # "test test test test test test test test test test test junk", m/44'/60'/0'/0/0 to 19:
        # Anvil's and Hardhat's default accounts. Everybody has these keys.
        "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
        "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
        "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
        "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
        "0x976ea74026e726554db657fa54763abd0c3a0aa9",
        "0x14dc79964da2c08b23698b3d3cc7ca32193d9955",
        "0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
        "0xa0ee7a142d267c1f36714e4a8f75612f20a79720",
        "0xbcd4042de499d14e55001ccbb24a551f3b954096",
        "0x71be63f3384f5fb98995898a86b02fb2426c5788",
        "0xfabb0ac9d68b0b445fb7357272ff202c5651694a",
        "0x1cbd3b2770909d4e10f157cabc84c7264073c9ec",
        "0xdf3e18d64bc6a983f673ab319ccae4f1a57c7097",
        "0xcd3b766ccdd6ae721141f452c550ca635964ce71",
        "0x2546bcd3c84621e976d8185a91a922ae77ecec30",
        "0xbda5747bfd65f08deb54cb465eb87d40e51b197e",
        "0xdd2fd4581271e230360230f9337d5c0430bf44c0",
        "0x8626f6940e2eb28930efb4cef49b2d1f2c9c1199",
    )
)


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says about itself. `accounts` are a devnet's own, fresh from its seed."""

    chain_id: int
    client: str
    development: bool
    forked: bool = False
    accounts: frozenset[Address] = frozenset()


async def identify(node: Node) -> NodeIdentity:
    """Ask a node for its chain, its client, and whether it is a development node or a devnet.

    A devnet's list of accounts is believed only from loopback: a remote node could name somebody's
    real account as one of its own, and so have it signed for.

    Raises:
        NodeError: the node cannot be asked for its chain id.
        ConfigError: several nodes, of which one is on another chain or of another kind.
    """
    chain_id = await node.chain_id()
    rpc = node.rpc
    urls = rpc.urls if isinstance(rpc, QuorumRpc) else (rpc.url,)
    if isinstance(rpc, QuorumRpc):
        await _check_alike(rpc, chain_id)
    client = await _answer(node, "web3_clientVersion")
    name = client if isinstance(client, str) else ""
    info = await _answer(node, "toolkit_info")
    if isinstance(info, dict):
        trusted = all(is_loopback(url) for url in urls)
        return NodeIdentity(
            chain_id=chain_id,
            client=name,
            development=True,
            forked=bool(info.get("fork_url")) or info.get("mode") == Mode.FORK.value,
            accounts=_accounts(info) if trusted else frozenset(),
        )
    development = _is_development(name)
    return NodeIdentity(
        chain_id=chain_id,
        client=name,
        development=development,
        forked=development and await _is_fork(node, name),
    )


def choose_mode(identity: NodeIdentity, *, live: bool, chain_id: int | None) -> Mode:
    """Decide the one mode of a session.

    Raises:
        ConfigError: another chain than asked for; live on a development node; live without naming
            the chain.
    """
    if not isinstance(live, bool):
        raise ConfigError(f"live is {shown(live)}; it must be True or False")
    if chain_id is not None and chain_id != identity.chain_id:
        raise ConfigError(
            f"the node is on chain {identity.chain_id}, not on chain {chain_id} as configured:"
            f" give the node or the chain id that is meant"
        )
    if identity.development:
        if live:
            raise ConfigError(
                f"live is refused: {identity.client or 'the node'} is a development node;"
                f" leave live out, or give a real node"
            )
        return Mode.FORK if identity.forked else Mode.DEV
    if not live:
        return Mode.DRY
    if chain_id is None:
        raise ConfigError(
            f"live needs chain_id={identity.chain_id} beside it, as a second word that this"
            f" chain is meant"
        )
    return Mode.LIVE


def check_signers(
    accounts: Sequence[Address], identity: NodeIdentity, *, mode: Mode, allow_real_key: bool
) -> None:
    """Refuse signers that must not sign here.

    A development chain may share its id with a real one, so a signature made on it is valid there;
    and what everybody has the key of must hold nothing on a real chain.

    Raises:
        ConfigError: names the account; or the same account is given twice.
    """
    for account in accounts:
        if accounts.count(account) > 1:
            raise ConfigError(f"signer {account} is given twice")
        known = account in identity.accounts or account in PUBLIC_KEYS
        if mode in {Mode.DEV, Mode.FORK} and not known and not allow_real_key:
            raise ConfigError(
                f"signer {account} is neither an account of this devnet nor a public Anvil key,"
                f" and its signature would be valid on chain {identity.chain_id}: use a devnet"
                f" account, or allow_real_key=True if that is meant"
            )
        if mode in {Mode.DRY, Mode.LIVE} and (whose := _public(account)):
            raise ConfigError(
                f"signer {account} is a public {whose} key, refused on a real node:"
                f" anybody can spend what it holds; use a key of your own"
            )


def check_relays(relays: Iterable[tuple[str, bool]], *, mode: Mode) -> None:
    """Refuse relays, given as (name, is on loopback), that reach beyond a development node.

    Raises:
        ConfigError: names the relay.
    """
    for name, on_loopback in relays:
        if mode in {Mode.DEV, Mode.FORK} and not on_loopback:
            raise ConfigError(
                f"relay {name} is not on loopback, refused in {mode.value} mode: what is signed"
                f" here could land on the real chain; give the devnet's relays"
            )


def is_loopback(url: str) -> bool:
    """Whether an endpoint is this machine, by its literal host; no resolver is asked."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _public(account: Address) -> str:
    """Whose key it is that everybody has; "" if nobody knows better."""
    if account in PUBLIC_KEYS:
        return "Anvil and Hardhat"
    return "devnet" if account in known_dev_accounts() else ""


async def _check_alike(rpc: QuorumRpc, chain_id: int) -> None:
    """Everything sent goes to all nodes: what is signed for a development node must stay there."""
    for name, answer in (await rpc.each("eth_chainId")).items():
        other = _number(answer)
        if other not in {None, chain_id}:
            raise ConfigError(
                f"{name} is on chain {other}, the others on chain {chain_id}: give nodes of one"
                f" chain"
            )
    clients = await rpc.each("web3_clientVersion")
    kinds = {name: _is_development(answer) for name, answer in clients.items()}
    if len(set(kinds.values())) > 1:
        odd = ", ".join(name for name, development in kinds.items() if development)
        raise ConfigError(
            f"{odd} is a development node and the others are not known to be: a transaction goes"
            f" to all of them; give nodes of one kind"
        )


def _number(answer: object) -> int | None:
    """A quantity; None for what is none: such a node is outvoted anyway."""
    try:
        return answers.quantity(answer)
    except NodeError:
        return None  # safe because a quorum has told the chain id


def _is_development(client: object) -> bool:
    return isinstance(client, str) and _DEVELOPMENT.match(client) is not None


async def _answer(node: Node, method: str) -> Any:
    """A node's answer, or None where it does not know the method or will not tell."""
    try:
        return await node.rpc.call(method)
    except RpcError:
        return None


async def _is_fork(node: Node, client: str) -> bool:
    if client.lower().startswith("anvil"):
        info = await _answer(node, "anvil_nodeInfo")
        config = info.get("forkConfig") if isinstance(info, dict) else None
        return isinstance(config, dict) and bool(config.get("forkUrl"))
    metadata = await _answer(node, "hardhat_metadata")
    return isinstance(metadata, dict) and bool(metadata.get("forkedNetwork"))


def _accounts(info: dict[str, Any]) -> frozenset[Address]:
    listed = info.get("accounts")
    found = [
        entry.get("address") if isinstance(entry, dict) else entry
        for entry in (listed if isinstance(listed, list) else [])
    ]
    return frozenset(Address(account.lower()) for account in found if isinstance(account, str))
