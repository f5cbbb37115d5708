"""The form of texts within vLLM: a logits processor, loaded by the process in which vLLM writes."""

from __future__ import annotations

import json
import os
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor  # pyright: ignore[reportMissingImports] (an extra)
from vllm.v1.sample.logits_processor.builtin import process_dict_updates  # pyright: ignore[reportMissingImports]

from dilm.models.form import Form, Progress
from dilm.models.vllm_engine import PARENT


@lru_cache(maxsize=64)
def read_form(file: str) -> tuple[Form, Tensor]:
    """A form, and the tokens that are never written, as `Engine` left them; a file's name goes by what is in it."""
    told = json.loads(Path(file).read_text("utf-8"))
    banned, blank = (torch.tensor(told.pop(name), dtype=torch.long) for name in ("banned", "blank"))
    return Form(**told, blank=blank), banned


class FormProcessor(LogitsProcessor):  # inherits because vLLM asks what it is
    """Leaves no chance to tokens that are banned, nor to those that would break a text's form."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self.texts: dict[int, tuple[str, list[int]]] = {}
        """By row: where its form is written, and the tokens of its text, which vLLM lengthens."""
        if parent := os.environ.get(PARENT):
            threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        process_dict_updates(self.texts, batch_update, lambda params, _, text: _with_form(params, text))

    def apply(self, logits: Tensor) -> Tensor:
        """[rows, V] -> the same tensor."""
        for file in {file for file, _ in self.texts.values()}:
            form, banned = read_form(file)
            own = {row: text for row, (name, text) in self.texts.items() if name == file}
            rows = torch.tensor(list(own), device=logits.device)
            odds = logits[rows]
            odds[:, banned.to(logits.device)] = -torch.inf
            Progress.after(form, list(own.values()), logits.device).forbid(odds)
            logits[rows] = odds
        return logits


def _with_form(params: Any, text: list[int]) -> tuple[str, list[int]] | None:
    """None for a request that names no form."""
    return (params.extra_args["form"], text) if params.extra_args else None


def _end_with(parent: int) -> None:
    """vLLM's processes end with each other, but not with a process that was killed."""
    while Path(f"/proc/{parent}").exists() or not Path("/proc").exists():
        time.sleep(1)
    os._exit(1)
