"""Uniswap V2 and V3 and the Balancer vault: genuine creation code from npm, at mainnet addresses.

The npm packages are GPL and BUSL licensed: they are read at run time and never shipped. Every
creation code is compared with the hash below, and every runtime code that results with the hash
that mainnet has (the vault's contains two timestamps, its fee collector's does not).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.chain.hashing import keccak
from toolkit.devnet.calldata import encode_values
from toolkit.model.chain import Address
from toolkit.model.errors import DevnetError

WETH = Address("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
V2_FACTORY = Address("0x5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f")
V2_ROUTER = Address("0x7a250d5630b4cf539739df2c5dacb4c659f2488d")
V3_FACTORY = Address("0x1f98431c8ad98523631ae4a59f267346ea31f984")
V3_ROUTER = Address("0xe592427a0aece92de3edee1f18e0157c05861564")
V3_QUOTER = Address("0x61ffe014ba17989e743c5f6cb21bf9697530b21e")
V3_POSITIONS = Address("0xc36442b4a4522e871399cd717abdd847ab11fe88")
V3_OWNER = Address("0x6c9fc64a53c1b71fb3f9af64d1ae3a4931a5f4e9")
BALANCER_VAULT = Address("0xba12222222228d8ba445958a75a0704d566bf2c8")
BALANCER_FEES = Address("0xce88686553686da562ce7cea497ce749da109f9f")
V2_PAIR_CODE = "0x5b83bdbcc56b2e630f2807bbadd2b0c21619108066b92a58de081261089e9ce5"

_V2_FEE_SETTER = Address("0xc0a4272bb5df52134178df25d77561cfb17ce407")
_V3_DESCRIPTOR = Address("0xee6a57ec80ea46401049e92587e52f5ec1c24785")
_BALANCER_AUTHORIZER = Address("0xa331d84ec860bf466b4cdccfb4ac09a1b43f3ae6")
_PAUSE_WINDOW_S, _PAUSE_BUFFER_S = 90 * 86_400, 30 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One contract: where it lives, its npm artefact, and the hashes that make it genuine."""

    name: str
    address: Address
    artefact: str
    creation_hash: str  # keccak256 of the creation code without arguments
    runtime_hash: str | None  # keccak256 of mainnet's runtime code; None if it varies
    types: tuple[str, ...] = ()
    values: tuple[object, ...] = ()
    deployer: Address | None = None  # msg.sender of the constructor, where the contract keeps it

    def creation_code(self) -> str:
        """The genuine creation code with its constructor arguments, as 0x hex.

        Raises:
            DevnetError: the npm artefact is missing, truncated, or not the genuine one.
        """
        return "0x" + self._genuine_code() + encode_values(self.types, self.values)

    def _genuine_code(self) -> str:
        path = _find(self.artefact)
        try:
            document = json.loads(path.read_text())
            code = document.get("bytecode") or document["creationCode"]
            code = code["object"] if isinstance(code, dict) else code  # as forge writes it
            blob = bytes.fromhex(code.removeprefix("0x"))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            kind = type(error).__name__
            raise DevnetError(
                f"{path} is damaged or truncated ({kind}); delete it and run `make setup`"
            ) from None
        found = "0x" + keccak(blob).hex()
        if found != self.creation_hash:
            raise DevnetError(
                f"{path} holds code with hash {found}, not the genuine {self.creation_hash};"
                f" delete it and run `make setup`"
            )
        return blob.hex()


def _tool_roots() -> Iterator[Path]:
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        yield root / ".tools" / "node_modules"


def _find(artefact: str) -> Path:
    for root in _tool_roots():
        if (root / artefact).is_file():
            return root / artefact
    raise DevnetError(f"protocol bytecode {artefact} is not in .tools/node_modules: `make setup`")


DEPLOYMENTS = (
    Deployment(
        name="UniswapV2Factory",
        address=V2_FACTORY,
        artefact="@uniswap/v2-core/build/UniswapV2Factory.json",
        creation_hash="0x8716c49c3c982e1d8b8beaab0a95d88cc5ec06681dded0f951fa1f3059c1e32a",
        runtime_hash="0xbab145d02e7005f0d84c6c1639d39b799b0ea16df99ebbdaf5a14d9da820b4e0",
        types=("address",),
        values=(_V2_FEE_SETTER,),
    ),
    Deployment(
        name="UniswapV2Router02",
        address=V2_ROUTER,
        artefact="@uniswap/v2-periphery/build/UniswapV2Router02.json",
        creation_hash="0x60ed3c9563fab19baceb6555668bf136db1f18d96b3b177f3726fccdb254f94b",
        runtime_hash="0xa324bc7db3d091b6f1a2d526e48a9c7039e03b3cc35f7d44b15ac7a1544c11d2",
        types=("address", "address"),
        values=(V2_FACTORY, WETH),
    ),
    Deployment(
        name="UniswapV3Factory",
        address=V3_FACTORY,
        artefact="@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
        creation_hash="0xa9cb11ffa1b1bf9a9a2b70b66f6a22db3e8328b37ec44e6ce602749081efdb6d",
        runtime_hash="0x4d7b8525cd5d14343fa67a732fba5b24cddba11620ca88392f4ec6c52f91fd69",
        deployer=V3_OWNER,
    ),
    Deployment(
        name="SwapRouter",
        address=V3_ROUTER,
        artefact="@uniswap/v3-periphery/artifacts/contracts/SwapRouter.sol/SwapRouter.json",
        creation_hash="0x4ab2bb678b8aa5c9267d00ec2ac6e6603909f2a6c9e8c59daaaf5f4af1ba6710",
        runtime_hash="0xbb90113d2f9a5e9b7feb15a1d1fff06c1ee1575b3f9b1181778ffd0cf633e7ea",
        types=("address", "address"),
        values=(V3_FACTORY, WETH),
    ),
    Deployment(
        name="NonfungiblePositionManager",
        address=V3_POSITIONS,
        artefact="@uniswap/v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/"
        "NonfungiblePositionManager.json",
        creation_hash="0x6d4a795ab08d4b4737c563d58af66cd9c1fe56a4ff3258fec16fd7c5eeade093",
        runtime_hash="0x692e658b31cbe3407682854806658d315d61a58c7e4933a2f91d383dc00736c6",
        types=("address", "address", "address"),
        values=(V3_FACTORY, WETH, _V3_DESCRIPTOR),
    ),
    Deployment(
        name="QuoterV2",
        address=V3_QUOTER,
        artefact="@uniswap/v3-periphery/artifacts/contracts/lens/QuoterV2.sol/QuoterV2.json",
        creation_hash="0x807900529037b0db5b299ed312e4b1820210b5e9922b6c4fcd4c23de67ee5f1a",
        runtime_hash=None,  # no record of mainnet's code was found
        types=("address", "address"),
        values=(V3_FACTORY, WETH),
    ),
    Deployment(
        name="Vault",
        address=BALANCER_VAULT,
        artefact="@balancer-labs/v2-deployments/dist/tasks/20210418-vault/bytecode/Vault.json",
        creation_hash="0x0372d26c8d189cd909890f67a604597c35d8392c111fba7833015d212376b850",
        runtime_hash=None,  # contains the two timestamps of its pause window
        types=("address", "address", "uint256", "uint256"),
        values=(_BALANCER_AUTHORIZER, WETH, _PAUSE_WINDOW_S, _PAUSE_BUFFER_S),
    ),
)
