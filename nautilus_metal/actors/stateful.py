"""Actors whose memory outlives them."""

from abc import abstractmethod
from typing import ClassVar

from nautilus_metal.actors.saved_state import read_file, write_file
from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor


class StatefulActor(Actor):
    """Keeps its memory with the node's saved state, and in a file of its own where `config.state_path` names one."""

    state_key: ClassVar[str]
    """The memory's name in the node's saved state."""

    without_it: ClassVar[str] = "history is asked for instead"
    """What happens where a memory does not fit, as the log says it."""

    def on_save(self) -> dict[str, bytes]:
        """Return the memory, for `on_load` of another run."""
        return {self.state_key: self._packed()}

    def on_load(self, state: dict[str, bytes]) -> None:
        """Take what `on_save` returned; what does not fit is refused with a warning."""
        if self.state_key in state:
            self._take_memory(state[self.state_key])

    def _recall(self) -> None:
        """Take what the file holds, if there is one."""
        kept = read_file(self.config.state_path) if self.config.state_path else None
        if kept is not None:
            self._take_memory(kept)

    def _keep(self) -> None:
        """Write the file, if there is to be one."""
        if self.config.state_path:
            write_file(self.config.state_path, self._packed())

    def _take_memory(self, data: bytes) -> None:
        try:
            self._restore(data)
        except InputError as error:
            self.log.warning(f"The saved state is not used, {self.without_it}: {error}")

    @abstractmethod
    def _packed(self) -> bytes:
        """Write the memory."""

    @abstractmethod
    def _restore(self, data: bytes) -> None:
        """Take a memory; an `InputError`, and nothing taken, where it does not fit."""
