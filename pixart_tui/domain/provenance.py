"""Where a figure comes from: the machine and the versions that it was measured with."""

from __future__ import annotations

from typing import Literal

from pixart_tui.domain.values import Value


class Machine(Value):
    """The machine that measured.

    Attributes:
        device: ``cpu`` or ``cuda``.
        device_name: The processor's or the GPU's name.
        cpu_cores: Logical cores that the process may use.
        memory_bytes: Memory of the machine.
        gpu_memory_bytes: Memory of the GPU, None on a CPU.
        os: Operating system and kernel.
    """

    device: Literal["cpu", "cuda"]
    device_name: str
    cpu_cores: int
    memory_bytes: int
    gpu_memory_bytes: int | None = None
    os: str

    @property
    def summary(self) -> str:
        """The machine in a few words."""
        cores = "" if self.device == "cuda" else f", {self.cpu_cores} cores"
        return self.device_name + cores


Versions = dict[str, str]
"""Package name to version, ``python`` included."""
