"""What this machine offers to a run: versions, device, memory, disk, and whether the Hub answers."""

from __future__ import annotations

import os
import platform
import shutil
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "scikit-learn",
    "pandas",
    "pydantic",
    "typer",
    "presidio-analyzer",
)
SECONDS_FOR_THE_HUB = 5.0
TRUE = ("1", "ON", "YES", "TRUE")


def examine() -> dict[str, str]:
    """Fact to finding, in reading order, as plain text. Nothing is downloaded or changed."""
    return {
        "dilm": _version("dilm"),
        "python": platform.python_version(),
        **{library: _version(library) for library in LIBRARIES},
        **_torch_facts(),
        "hub": hub(),
        "hub cache": _hub_cache(),
        "DILM_DATA": os.environ.get("DILM_DATA", "not set: tasks are read from the Hub"),
        "free disk": _gigabytes(shutil.disk_usage(Path.cwd()).free),
        "memory": _memory(),
    }


def hub() -> str:
    """Whether models and datasets can be fetched."""
    from huggingface_hub import constants

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE:
        return "offline mode (HF_HUB_OFFLINE is set): only local folders, the cache and `scratch` models"
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=SECONDS_FOR_THE_HUB).close()
    except urllib.error.HTTPError:
        return "reachable"  # an answer, if a grudging one
    except (OSError, ValueError) as fault:
        return (
            f"not reachable ({fault}): use local folders or `scratch` models, and set HF_HUB_OFFLINE=1 to skip retries"
        )
    return "reachable"


def _torch_facts() -> dict[str, str]:
    import torch

    from dilm.runtime.device import choose

    place = choose()
    name = torch.cuda.get_device_name() if place.device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": f"{place.device.type} ({name})",
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores",
        "precision": "bf16" if place.bf16 else "fp32 (bf16 is not native here)",
    }


def _hub_cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _memory() -> str:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        free, all_of_it = (os.sysconf(name) * page for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return "unknown on this system"
    return f"{_gigabytes(free)} free of {_gigabytes(all_of_it)}"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
