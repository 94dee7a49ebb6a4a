"""Messages under NautilusTrader 2.x: custom data with the methods that 1.x gives it."""

import json
from typing import Any

import msgspec
from nautilus_trader.model import CustomData, DataType, register_custom_data_class
from nautilus_trader.model.custom import customdataclass


class Data:
    """What messages derive from; 2.x needs no base class."""


def message_topic(name: str) -> str:
    """The topic at which a strategy hears a message of ours: ``self.subscribe_topic(topic, handler)``.

    ``self.subscribe_data(DataType(name))`` and ``on_data`` bring it as well, as `data.data`. The topics that the
    host makes for custom data are not for plain handlers, so ours have another beginning.
    """
    return f"metal.{name}"


def custom_data(cls: Any) -> Any:
    """Make a class of annotated fields custom data, and register it for streams and catalogs."""
    made = customdataclass(cls)
    for name, member in _MEMBERS.items():
        setattr(made, name, member)
    made._schema = made.arrow_schema_py()
    register_custom_data_class(made)
    return made


def wrapped(message: Any) -> tuple[DataType, CustomData]:
    """Return a message as the host publishes it."""
    kind = DataType(type(message).__name__)
    return kind, CustomData(kind, message)


def _to_dict(self: Any) -> dict[str, Any]:
    values = {name: getattr(self, name) for name in self.__dataclass_fields__}
    return values | {"type": type(self).__name__, "ts_event": self.ts_event, "ts_init": self.ts_init}


def _row(self: Any) -> dict[str, Any]:
    return {name: json.dumps(one) if isinstance(one, dict) else one for name, one in self.to_dict().items()}


def _to_json(self: Any) -> str:
    return json.dumps(self.to_dict())


def _to_bytes(self: Any) -> bytes:
    return msgspec.msgpack.encode(self.to_dict())


@classmethod  # type: ignore[misc]
def _from_bytes(cls: Any, data: bytes) -> Any:
    return cls.from_dict(msgspec.msgpack.decode(data))


def _encode(self: Any, items: list[Any]) -> Any:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([_row(item) for item in items], schema=type(self)._schema)


def _to_arrow(self: Any) -> Any:
    return self.encode_record_batch_py([self])


@classmethod  # type: ignore[misc]
def _from_arrow(cls: Any, table: Any) -> list[Any]:
    return list(cls.decode_record_batch_py({}, table))


_MEMBERS: dict[str, Any] = {
    "to_dict": _to_dict,
    "to_json": _to_json,
    "to_bytes": _to_bytes,
    "from_bytes": _from_bytes,
    "encode_record_batch_py": _encode,
    "to_arrow": _to_arrow,
    "from_arrow": _from_arrow,
}
