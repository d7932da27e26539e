"""MEV-aware on-chain execution with an embedded orchestrator of trading agents.

`import toolkit as tk` is cheap: every name below loads its module on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from toolkit import testing as testing
    from toolkit.bundles.auth import RelayAuth as RelayAuth
    from toolkit.bundles.flashbots import Flashbots as Flashbots
    from toolkit.bundles.relay import Relay as Relay
    from toolkit.bundles.submitter import BundleHandle as BundleHandle
    from toolkit.bundles.tips import BidPolicy as BidPolicy
    from toolkit.chain.keystore import KeystoreSigner as KeystoreSigner
    from toolkit.chain.quorum import QuorumRpc as QuorumRpc
    from toolkit.chain.remote_signer import RemoteSigner as RemoteSigner
    from toolkit.chain.signer import LocalSigner as LocalSigner
    from toolkit.chain.signer import Signer as Signer
    from toolkit.devnet.devnet import Devnet as Devnet
    from toolkit.devnet.devnet import DevnetConfig as DevnetConfig
    from toolkit.execution.executor import deploy_executor as deploy_executor
    from toolkit.model.bundle import GuardKind as GuardKind
    from toolkit.model.bundle import Landed as Landed
    from toolkit.model.bundle import Missed as Missed
    from toolkit.model.bundle import Refund as Refund
    from toolkit.model.chain import Address as Address
    from toolkit.model.chain import Mode as Mode
    from toolkit.model.chain import address as address
    from toolkit.model.decision import Intent as Intent
    from toolkit.model.decision import Leg as Leg
    from toolkit.model.decision import Reading as Reading
    from toolkit.model.decision import TradingState as TradingState
    from toolkit.model.decision import Verdict as Verdict
    from toolkit.model.errors import ConfigError as ConfigError
    from toolkit.model.errors import DataError as DataError
    from toolkit.model.errors import PoolError as PoolError
    from toolkit.model.errors import ToolkitError as ToolkitError
    from toolkit.model.market import Basket as Basket
    from toolkit.model.market import Hop as Hop
    from toolkit.model.market import Route as Route
    from toolkit.model.market import Token as Token
    from toolkit.model.tx import Authorization as Authorization
    from toolkit.model.tx import Cancelled as Cancelled
    from toolkit.model.tx import Confirmed as Confirmed
    from toolkit.model.tx import DryRun as DryRun
    from toolkit.model.tx import Expired as Expired
    from toolkit.model.tx import ExternalSpend as ExternalSpend
    from toolkit.model.tx import FeeQuote as FeeQuote
    from toolkit.model.tx import Replaced as Replaced
    from toolkit.model.tx import Reverted as Reverted
    from toolkit.model.tx import TransactionRequest as TransactionRequest
    from toolkit.model.tx import Urgency as Urgency
    from toolkit.model.tx import Visibility as Visibility
    from toolkit.model.units import ether as ether
    from toolkit.model.units import format_units as format_units
    from toolkit.model.units import gwei as gwei
    from toolkit.model.units import parse_units as parse_units
    from toolkit.orchestrator.board.doubts import FactRule as FactRule
    from toolkit.orchestrator.breaking.hazards import BreakerLimits as BreakerLimits
    from toolkit.orchestrator.breaking.hazards import Hazard as Hazard
    from toolkit.orchestrator.capital.elsewhere import Link as Link
    from toolkit.orchestrator.chains import Chains as Chains
    from toolkit.orchestrator.deciding.limits import Limits as Limits
    from toolkit.orchestrator.hosting.containment import Dependence as Dependence
    from toolkit.orchestrator.hosting.hosting import Budget as Budget
    from toolkit.orchestrator.hosting.hosting import Hosting as Hosting
    from toolkit.orchestrator.pausing.pauses import Breaker as Breaker
    from toolkit.orchestrator.pausing.pauses import Feed as Feed
    from toolkit.orchestrator.pausing.pauses import Pause as Pause
    from toolkit.orchestrator.runtime import Orchestrator as Orchestrator
    from toolkit.pools.concentrated import Concentrated as Concentrated
    from toolkit.pools.constant_product import ConstantProduct as ConstantProduct
    from toolkit.pools.file import PoolsFile as PoolsFile
    from toolkit.pools.file import read_pools as read_pools
    from toolkit.pools.file import write_pools as write_pools
    from toolkit.pools.snapshot import Snapshot as Snapshot
    from toolkit.reasoning.agent import Agent as Agent
    from toolkit.reasoning.agent import View as View
    from toolkit.reasoning.arbitrage import CyclicArbitrage as CyclicArbitrage
    from toolkit.reasoning.mean_reversion import MeanReversion as MeanReversion
    from toolkit.reasoning.momentum import Momentum as Momentum
    from toolkit.reasoning.rebalancing import Rebalancer as Rebalancer
    from toolkit.routing.filters import PoolFilter as PoolFilter
    from toolkit.routing.router import Router as Router
    from toolkit.routing.verify import Moved as Moved
    from toolkit.routing.verify import verify as verify
    from toolkit.session import Session as Session
    from toolkit.session import connect as connect
    from toolkit.tx.handle import Sent as Sent
    from toolkit.tx.key_pool import KeyPool as KeyPool

_HOMES = {
    "toolkit.bundles.auth": ("RelayAuth",),
    "toolkit.bundles.flashbots": ("Flashbots",),
    "toolkit.bundles.relay": ("Relay",),
    "toolkit.bundles.submitter": ("BundleHandle",),
    "toolkit.bundles.tips": ("BidPolicy",),
    "toolkit.chain.keystore": ("KeystoreSigner",),
    "toolkit.chain.quorum": ("QuorumRpc",),
    "toolkit.chain.remote_signer": ("RemoteSigner",),
    "toolkit.chain.signer": ("LocalSigner", "Signer"),
    "toolkit.devnet.devnet": ("Devnet", "DevnetConfig"),
    "toolkit.execution.executor": ("deploy_executor",),
    "toolkit.model.bundle": ("GuardKind", "Landed", "Missed", "Refund"),
    "toolkit.model.chain": ("Address", "Mode", "address"),
    "toolkit.model.decision": ("Intent", "Leg", "Reading", "TradingState", "Verdict"),
    "toolkit.model.errors": ("ConfigError", "DataError", "PoolError", "ToolkitError"),
    "toolkit.model.market": ("Basket", "Hop", "Route", "Token"),
    "toolkit.model.tx": (
        "Authorization",
        "Cancelled",
        "Confirmed",
        "DryRun",
        "Expired",
        "ExternalSpend",
        "FeeQuote",
        "Replaced",
        "Reverted",
        "TransactionRequest",
        "Urgency",
        "Visibility",
    ),
    "toolkit.model.units": ("ether", "format_units", "gwei", "parse_units"),
    "toolkit.orchestrator.chains": ("Chains",),
    "toolkit.orchestrator.hosting.containment": ("Dependence",),
    "toolkit.orchestrator.board.doubts": ("FactRule",),
    "toolkit.orchestrator.capital.elsewhere": ("Link",),
    "toolkit.orchestrator.breaking.hazards": ("BreakerLimits", "Hazard"),
    "toolkit.orchestrator.hosting.hosting": ("Budget", "Hosting"),
    "toolkit.orchestrator.deciding.limits": ("Limits",),
    "toolkit.orchestrator.pausing.pauses": ("Breaker", "Feed", "Pause"),
    "toolkit.orchestrator.runtime": ("Orchestrator",),
    "toolkit.pools.concentrated": ("Concentrated",),
    "toolkit.pools.constant_product": ("ConstantProduct",),
    "toolkit.pools.file": ("PoolsFile", "read_pools", "write_pools"),
    "toolkit.pools.snapshot": ("Snapshot",),
    "toolkit.reasoning.agent": ("Agent", "View"),
    "toolkit.reasoning.arbitrage": ("CyclicArbitrage",),
    "toolkit.reasoning.mean_reversion": ("MeanReversion",),
    "toolkit.reasoning.momentum": ("Momentum",),
    "toolkit.reasoning.rebalancing": ("Rebalancer",),
    "toolkit.routing.filters": ("PoolFilter",),
    "toolkit.routing.router": ("Router",),
    "toolkit.routing.verify": ("Moved", "verify"),
    "toolkit.session": ("Session", "connect"),
    "toolkit.tx.handle": ("Sent",),
    "toolkit.tx.key_pool": ("KeyPool",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}
_PACKAGES = ("testing",)

_NAMES = [*_MODULE_OF, *_PACKAGES, "__version__"]

__all__ = sorted(_NAMES)  # noqa: PLE0605 (one table; a test keeps it exact)


def __getattr__(name: str) -> object:
    """Load a public name from its home on first use (PEP 562)."""
    if name in _PACKAGES:
        return import_module(f"toolkit.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return list(__all__)
