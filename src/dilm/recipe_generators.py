"""The sections of the recipe for how generators are made of pretrained models: adapters beside frozen weights."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe_prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Adapters:
    """Small matrices that learn beside a generator's frozen weights (extra `adapters`): less memory, small files."""

    rank: int = 0
    """Rank of the adapters in every layer; 0: none, all weights are trained."""
    kind: str = "lora"
    """`lora` (Hu et al. 2022), or `dora`, which learns lengths of its own beside (Liu et al. 2024)."""
    alpha: float = 0.0
    """What they add counts alpha / rank times; 0: twice the rank."""
    dropout: float = 0.0
    """Share of a layer's inputs that its adapter does not see in training."""
    targets: tuple[str, ...] = ("all-linear",)
    """Names of the layers that get one, such as `q_proj,v_proj`; all-linear: all but the vocabulary's."""
    base: str = "fp32"
    """How the frozen weights are held: fp32, bf16 (half the memory), 8bit or 4bit (a quarter, an eighth; extra
    `quantized`, on devices that bitsandbytes knows)."""
