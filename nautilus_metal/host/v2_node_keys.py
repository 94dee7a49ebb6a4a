"""What a node's config file may hold under NautilusTrader 2.x: 1.x's keys, what 2.x calls them, and their types."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import GetSetDescriptorType
from typing import Any

from nautilus_trader.adapters.sandbox import SandboxExecutionClientConfig
from nautilus_trader.common import CacheConfig, FileWriterConfig, LoggerConfig, MessageBusConfig
from nautilus_trader.core import UUID4
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.live import (
    LiveDataEngineConfig,
    LiveExecutionEngineConfig,
    LiveNodeConfig,
    LiveRiskEngineConfig,
)
from nautilus_trader.model import AccountId, ClientId, Currency, Money, Venue
from nautilus_trader.persistence import DataCatalogConfig, StreamingConfig
from nautilus_trader.portfolio import PortfolioConfig

SANDBOX = "nautilus_trader.adapters.sandbox:SandboxExecutionClientConfig"
PATHS = {
    "nautilus_trader.adapters.sandbox.config:SandboxExecutionClientConfig": SANDBOX,
    "nautilus_trader.adapters.sandbox.factory:SandboxLiveExecClientFactory": (
        "nautilus_trader.adapters.sandbox:SandboxExecutionClientFactory"
    ),
}
CALLED = {"message_bus": "msgbus"}
SECTIONS = {
    "cache": CacheConfig,
    "msgbus": MessageBusConfig,
    "portfolio": PortfolioConfig,
    "data_engine": LiveDataEngineConfig,
    "risk_engine": LiveRiskEngineConfig,
    "exec_engine": LiveExecutionEngineConfig,
    "logging": LoggerConfig,
    "streaming": StreamingConfig,
}
LISTS = {"catalogs": DataCatalogConfig}
_QUEUE = "2.x has no setting for its queues"
_DATABASE = "2.x takes a database from Python code only"
_ROTATION = "2.x takes the rotation of a stream's files from Python code only"
_STORAGE = "2.x has `fs_rust_storage_options` of a catalog alone"
UNKNOWN = {
    ("LiveNodeConfig", "emulator"): "2.x has no setting for its emulator",
    ("LiveDataEngineConfig", "qsize"): _QUEUE,
    ("LiveRiskEngineConfig", "qsize"): _QUEUE,
    ("LiveExecutionEngineConfig", "qsize"): _QUEUE,
    ("LiveDataEngineConfig", "graceful_shutdown_on_exception"): "2.x has `shutdown_on_error` for the whole node",
    ("LiveRiskEngineConfig", "graceful_shutdown_on_exception"): "2.x has `shutdown_on_error` for the whole node",
    ("LiveExecutionEngineConfig", "graceful_shutdown_on_exception"): "2.x has `shutdown_on_error` for the whole node",
    ("LiveExecutionEngineConfig", "purge_from_database"): _DATABASE,
    ("CacheConfig", "database"): _DATABASE,
    ("MessageBusConfig", "database"): _DATABASE,
    ("LoggerConfig", "use_tracing"): "2.x has no such setting",
    ("SandboxExecutionClientConfig", "leverages"): "2.x has `default_leverage` for all instruments",
    ("StreamingConfig", "include_types"): "2.x takes the kinds of a stream from Python code only",
    ("StreamingConfig", "rotation_mode"): _ROTATION,
    ("StreamingConfig", "max_file_size"): _ROTATION,
    ("StreamingConfig", "rotation_interval"): _ROTATION,
    ("StreamingConfig", "rotation_time"): _ROTATION,
    ("StreamingConfig", "rotation_timezone"): _ROTATION,
    ("StreamingConfig", "fs_protocol"): _STORAGE,
    ("StreamingConfig", "fs_storage_options"): _STORAGE,
    ("StreamingConfig", "fs_rust_storage_options"): _STORAGE,
    ("DataCatalogConfig", "fs_storage_options"): _STORAGE,
}
_FILE = {
    "log_directory": "directory",
    "log_file_name": "file_name",
    "log_file_format": "file_format",
}
_RENAMED: dict[type, dict[str, str]] = {
    LiveNodeConfig: {
        "timeout_connection": "timeout_connection_secs",
        "timeout_reconciliation": "timeout_reconciliation_secs",
        "timeout_portfolio": "timeout_portfolio_secs",
        "timeout_disconnection": "timeout_disconnection_secs",
        "timeout_post_stop": "delay_post_stop_secs",
        "timeout_shutdown": "timeout_shutdown_secs",
    },
    LoggerConfig: {
        "log_level": "stdout_level",
        "log_level_file": "fileout_level",
        "log_colors": "is_colored",
        "log_component_levels": "component_levels",
    },
    StreamingConfig: {"catalog_path": "writer_path"},
}
_UNSET: dict[str, Any] = {  # types of what 2.x leaves out by default, which its defaults do not show
    "instance_id": UUID4,
    "external_clients": list[ClientId],
    "bulk_read_batch_size": int,
    "time_bars_time_zone": str,
    "reconciliation_instrument_ids": list[str],
    "filtered_client_order_ids": list[str],
    "autotrim_maxlen": int,
    "external_streams": list[str],
    "types_filter": list[str],
    "directory": str,
    "file_name": str,
    "file_format": str,
    "log_file_max_size": int,
    "log_file_max_backup_count": int,
    "name": str,
    "batch_size": int,
    "compression": str,
    "max_row_group_size": int,
}
_KINDS: dict[type, dict[str, Any]] = {
    LiveRiskEngineConfig: {"full_position_exit_venues": list[Venue], "max_notional_per_order": dict[str, float]},
    LiveDataEngineConfig: {"time_bars_origin_offset": dict[str, int]},
    LoggerConfig: {"component_levels": dict[str, str]},
    SandboxExecutionClientConfig: {
        "venue": Venue,
        "starting_balances": list[Money],
        "base_currency": Currency,
        "account_id": AccountId,
        "default_leverage": Decimal,
        "fee_model": MakerTakerFeeModel,
    },
    StreamingConfig: {"rotation_config": None, "writer_backend": None},  # the second is none of its arguments
    DataCatalogConfig: {"fs_rust_storage_option_keys": None},
}
_NEEDED: dict[type, dict[str, Any]] = {  # what a config cannot be without, an example of each
    SandboxExecutionClientConfig: {"venue": Venue("SIM"), "starting_balances": [Money.from_str("1 USD")]},
    StreamingConfig: {"writer_path": "."},
    DataCatalogConfig: {"path": "."},
}


@dataclass(frozen=True, slots=True)
class Section:
    """How one of the host's configs is read.

    Attributes
    ----------
    cls : type
        The config.
    kinds : dict
        Types by key.
    called : dict
        What 2.x calls a key of 1.x.
    needed : tuple of str
        Keys that must be given, as 2.x calls them.
    """

    cls: Any
    kinds: Mapping[str, Any]
    called: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()

    def make(self, values: Mapping[str, Any]) -> Any:
        """Make the config."""
        return _MAKERS.get(self.cls, self.cls)(**values)

    def written(self, key: str) -> str:
        """Return what a file that serves both calls a key."""
        return next((old for old, new in self.called.items() if new == key), key)


def section_of(cls: Any) -> Section:
    """Return how a config of the host's is read: by the types of its defaults, where nothing else is said."""
    named, given = _KINDS.get(cls, {}), _NEEDED.get(cls, {})
    example, kinds = cls(**given), {}
    for name, member in vars(cls).items():
        if isinstance(member, GetSetDescriptorType):
            default = getattr(example, name)
            kind = _unset(name) if default is None else type(default)
            found = named.get(name, kind)
            if found is not None:
                kinds[name] = found
    if cls is LoggerConfig:
        kinds |= {name: _UNSET[name] for name in (*_FILE.values(), *_ROTATE)}
    if cls is DataCatalogConfig:
        kinds["fs_rust_storage_options"] = dict[str, str]
    called = _RENAMED.get(cls, {}) | (_FILE if cls is LoggerConfig else {})
    return Section(cls, kinds, called, tuple(given))


def _unset(name: str) -> Any:
    """Return the type of a key that is None by default."""
    whole = name.endswith(("_ms", "_mins")) or name == "heartbeat_interval_secs"
    return _UNSET.get(name, int if whole else float if name.endswith("_secs") else None)


_ROTATE = ("log_file_max_size", "log_file_max_backup_count")
_BACKUPS = 5  # as in 1.x


def _logger(**values: Any) -> LoggerConfig:
    """Make a `LoggerConfig` with what it keeps in another config."""
    file = {name: values.pop(name) for name in _FILE.values() if name in values}
    size, backups = (values.pop(name, None) for name in _ROTATE)
    if size is not None:
        file["file_rotate"] = (size, _BACKUPS if backups is None else backups)
    if file:
        values["file_config"] = FileWriterConfig(**file)
    return LoggerConfig(**values)


def _sandbox(**values: Any) -> SandboxExecutionClientConfig:
    """Make the sandbox's config, which 1.x lets charge an instrument's fees, and 2.x's instruments have none."""
    return SandboxExecutionClientConfig(**({"fee_model": MakerTakerFeeModel("0", "0")} | values))


_MAKERS: dict[Any, Callable[..., Any]] = {LoggerConfig: _logger, SandboxExecutionClientConfig: _sandbox}
