"""Where work is computed, and how the machine is."""

from nautilus_metal.host import Data, custom_data, message_topic

ENGINE_EVENT_TOPIC = message_topic("EngineEvent")
DEVICE_CONDITIONS_TOPIC = message_topic("DeviceConditions")


@custom_data
class EngineEvent(Data):
    """The compute engine of a running system fell to the CPU, or has its device again.

    Parameters
    ----------
    ts_event, ts_init : int
        UNIX nanoseconds at which it was noticed.
    device : str
        The configured device.
    works_on : str
        The device of all work from now on.
    state : str
        "degraded" or "restored".
    reason : str
        What the device said, or that it gave no answer.
    """

    device: str
    works_on: str
    state: str
    reason: str


@custom_data
class DeviceConditions(Data):
    """Heat or memory pressure of the machine has changed, and what the placement of work makes of it.

    Parameters
    ----------
    ts_event, ts_init : int
        UNIX nanoseconds at which it was noticed.
    device : str
        The configured device.
    thermal : str
        "nominal", "fair", "serious", "critical", or "unknown" where no sensor says.
    memory : str
        "normal", "warning", "critical" or "unknown".
    mode : str
        "normal", "shrink" or "off", as in `nautilus_metal.engine.placement.MODES`.
    works_on : str
        The device of large work from now on, as long as it does not fail.
    reason : str
        In words.
    """

    device: str
    thermal: str
    memory: str
    mode: str
    works_on: str
    reason: str
