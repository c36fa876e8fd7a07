"""What the machine is and how busy it is, read without opening a CUDA context."""

from collections import Counter
from typing import Any

import psutil
import pynvml


def graphics_cards() -> list[Any]:
    """Return NVML's handles of the machine's NVIDIA cards; empty without a card or a driver."""
    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def hardware_facts() -> dict[str, str]:
    """Return the machine's cores, memory and graphics cards, in words."""
    names = [str(pynvml.nvmlDeviceGetName(card)) for card in graphics_cards()]
    return {
        "cores": str(psutil.cpu_count() or "unknown"),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "graphics_cards": ", ".join(names) or "none",
    }


def hardware_in_brief() -> str:
    """Return the machine's cards and cores in one column of a table: "2 NVIDIA H100, 16 cores"."""
    facts = hardware_facts()
    names = Counter(name for name in facts["graphics_cards"].split(", ") if name != "none")
    return ", ".join([*(f"{count} {name}" for name, count in names.items()), f"{facts['cores']} cores"])


class LoadSampler:
    """Samples how busy the machine is, under the names that MLflow's System metrics tab shows."""

    def __init__(self) -> None:
        self._cards = graphics_cards()
        psutil.cpu_percent()

    def sample(self) -> dict[str, float]:
        """Return percentages since the last sample, megabytes and watts, by metric name."""
        memory = psutil.virtual_memory()
        values = {
            "system/cpu_utilization_percentage": float(psutil.cpu_percent()),
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/system_memory_usage_percentage": float(memory.percent),
            "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / 1e6,
        }
        for index, card in enumerate(self._cards):
            values.update(_card_load(f"system/gpu_{index}_", card))
        return values


def _card_load(prefix: str, card: Any) -> dict[str, float]:  # noqa: ANN401 - NVML's handles have no public type
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(card)
        return {
            f"{prefix}utilization_percentage": float(pynvml.nvmlDeviceGetUtilizationRates(card).gpu),
            f"{prefix}memory_usage_megabytes": memory.used / 1e6,
            f"{prefix}memory_usage_percentage": 100 * memory.used / memory.total,
            f"{prefix}power_usage_watts": pynvml.nvmlDeviceGetPowerUsage(card) / 1000,
        }
    except pynvml.NVMLError:
        return {}
