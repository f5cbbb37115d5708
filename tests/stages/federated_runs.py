"""A server's public rows, three holders' own, and settings with which they distil together in seconds."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from launching import free_port, ordinary
from private_runs import PRIVATE, THINGS, WORDS

from dilm import api
from dilm.errors import DilmError

HOLDERS, ROWS = 3, 40
FEDERATED: dict[str, Any] = PRIVATE | {
    "fit.steps": 4,
    "fit.check_every": 2,
    "fit.batch": HOLDERS * ROWS,  # so every row takes part in every step
    "match.steps": 2,
    "data.dev_rows": 20,
    "data.test_rows": 20,
    "evaluate.steps": 2,
    "evaluate.baselines": "random",
    "generate.oversample": 2,
    "generate.attempts": 600,
}
DYING = Path(__file__).with_name("dying_holder.py")


def write_rows(file: Path, count: int, seed: int) -> Path:
    """Short reviews, as many of either class."""
    rng = random.Random(seed)
    with file.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle)
        table.writerow(("text", "label"))
        for at in range(count):
            label = list(WORDS)[at % 2]
            table.writerow((f"{rng.choice(THINGS)} {rng.choice(WORDS[label])} {rng.choice(THINGS)}", label))
    return file


def write_all(folder: Path) -> dict[str, Any]:
    """The files of everybody; what the server is told."""
    for at in range(HOLDERS):
        write_rows(folder / f"holder-{at}.csv", ROWS, at)
    rng, every = random.Random(9), [word for words in WORDS.values() for word in words]
    lines = [f"{rng.choice(THINGS)} {rng.choice(every)} {rng.choice(THINGS)}" for _ in range(200)]
    (folder / "public.txt").write_text("\n".join(lines), encoding="utf-8")
    return {
        "source": write_rows(folder / "server.csv", 120, 8),
        "per_class": 2,
        "generator": "scratch:tiny",
        "recipe": "private-toy",
        "settings": FEDERATED | {"pretrain.corpus": str(folder / "public.txt")},
    }


def served(said: dict[str, Any], out: Path, *words: str, address: str) -> subprocess.Popen[str]:
    """`dilm federate serve`, a process of its own."""
    command = ["federate", "serve", str(said["source"]), "--clients", str(HOLDERS), "--address", address]
    command += ["--recipe", said["recipe"], "--per-class", str(said["per_class"]), "--generator", said["generator"]]
    command += [word for name, value in said["settings"].items() for word in ("--set", f"{name}={value}")]
    return begun(["-m", "dilm", *command, "--out", str(out), *words], out.parent / "server-cache")


def joined(folder: Path, at: int, address: str, *words: str) -> subprocess.Popen[str]:
    """`dilm federate join`, a process of its own with a cache of its own."""
    command = ["federate", "join", str(folder / f"holder-{at}.csv"), "--address", address, "--device", "cpu"]
    return begun(["-m", "dilm", *command, *words], folder / f"cache-{at}")


def dying(folder: Path, at: int, address: str, steps: int) -> subprocess.Popen[str]:
    """A holder whose process is killed while it works on its answer of that step."""
    return begun([str(DYING), str(folder / f"holder-{at}.csv"), address, str(steps)], folder / f"cache-{at}")


def begun(words: list[str], cache: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = ordinary() | {"DILM_CACHE": str(cache)}
    return subprocess.Popen([sys.executable, *words], text=True, env=environment, **pipes)


def an_address() -> str:
    return f"127.0.0.1:{free_port()}"


def together(work: Callable[[], Any], folder: Path, address: str, holders: int = HOLDERS) -> Any:
    """Work of a server in this thread, beside holders in others; all have ended when it returns."""

    def hold(at: int) -> None:
        with suppress(DilmError):
            api.join(folder / f"holder-{at}.csv", address, wait=60, device="cpu")

    threads = [threading.Thread(target=hold, args=(at,), daemon=True) for at in range(holders)]
    for thread in threads:
        thread.start()
    try:
        return work()
    finally:
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


def environment_is_tidy() -> bool:
    """Whether no process was left behind by Flower: those that its own launcher leaves are called so."""
    import psutil

    mine = psutil.Process(os.getpid()).children(recursive=True)
    return not [each for each in mine if "flower" in " ".join(each.cmdline()) or "flwr" in " ".join(each.cmdline())]
