"""A long optimisation that may be killed: measured in chunks, checkpointed after each, the best weights kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dilm.privacy.dpsgd import DPAdamW
from dilm.runtime.optimize import AdamW


@dataclass
class Training:
    """State of one optimisation. `better` values are higher; `rows` is the curve that the report draws.

    Of several processes all know all of it, and the first writes.
    """

    folder: Path
    model: nn.Module
    update: AdamW | DPAdamW
    rows: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    stale: int = 0
    """Measurements since the best one."""

    @property
    def step(self) -> int:
        return self.update.step

    def resume(self) -> None:
        """Continue from the checkpoint, if there is one; all processes with the same weights."""
        crew = self.update.crew
        if crew.told(self._file.exists):
            self._restore()
        crew.start_alike(self.model)

    def _restore(self) -> None:
        state = self._load(self._file)
        self._put(state["model"])
        self.update.restore(state["update"])
        self.rows, self.best, self.stale = state["rows"], state["best"], state["stale"]

    def measured(self, value: float) -> None:
        """Take note of a measurement; its weights are kept when it is the best so far."""
        if self.best is None or value > self.best:
            self.best, self.stale = value, 0
            self._save(self._trained(), self.folder / "best.pt")
        else:
            self.stale += 1

    def checkpoint(self) -> None:
        """A kill from here on loses only what follows."""
        state: dict[str, Any] = {"model": self._trained(), "update": self.update.state()}
        self._save(state | {"rows": self.rows, "best": self.best, "stale": self.stale}, self._file)

    def finish(self) -> None:
        """Put the best weights into the model, the last ones where nothing was measured."""
        if self.best is not None:
            self._put(self._load(self.folder / "best.pt"))

    def finish_in(self, model: nn.Module) -> None:
        """The same where the model itself was split: into one that is whole."""
        self.model = model
        if self.best is None and self._file.exists():  # else there was nothing to learn
            self._put(self._load(self._file)["model"])
        self.finish()

    def clean(self) -> None:
        """Remove the working files, once the model is saved."""
        for file in (self._file, self.folder / "best.pt"):
            file.unlink(missing_ok=True)

    def _trained(self) -> dict[str, Any]:
        """The model's weights, without those that are not trained where there are any: they are what they were."""
        named = dict(self.model.named_parameters(remove_duplicate=False))
        if all(parameter.requires_grad for parameter in named.values()):
            return self.model.state_dict()
        return {name: parameter.detach() for name, parameter in named.items() if parameter.requires_grad}

    def _put(self, trained: dict[str, Any]) -> None:
        """What `_trained` told, back into the model; everything that is trained must be there."""
        kept = self.model.state_dict()
        own = {name: self.update.crew.sliced(value, kept[name]) for name, value in trained.items()}
        missing = self.model.load_state_dict(own, strict=False).missing_keys
        assert not set(missing) & set(self._trained())

    @property
    def _file(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _load(self, path: Path) -> Any:
        """Also what another device saved, into main memory: of several processes each takes what it keeps."""
        return torch.load(path, map_location="cpu", weights_only=True)

    def _save(self, state: Any, path: Path) -> None:
        state = self.update.crew.gathered_whole(state)
        if self.update.crew.rank:
            return
        unfinished = path.with_suffix(".part")
        torch.save(state, unfinished)
        os.replace(unfinished, path)
