"""The sections of the recipe for how generators are made of pretrained models: adapters, and chat prompts."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


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


@dataclass(frozen=True, config=DOOR)
class Instruct:
    """Instruction-tuned generators, told by a chat prompt; with fit.steps and match.steps 0 they stay untrained."""

    ask: str = ""
    """What the user asks for, with `{label}`, `{task}` and `{fields}`: "Write a short film review that is {label}."
    Several fields stand on lines of their own. Empty: classes have tokens, as in the paper."""
    system: str = ""
    """What the system says first, for templates that know one."""
    demonstrations: int = 4
    """Real train rows of each class that the prompt shows as earlier answers, drawn by the run's seed. They are kept in
    the run folder, and no text that repeats one enters a pool. Refused under differential privacy."""
