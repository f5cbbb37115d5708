"""Instruction-tuned language models as generators: a chat prompt stands where others have a token for the class.

`Prompted` gives such a model the face of one whose first token is the condition: the number of a class stands for that
class's whole prompt, in which real rows may be shown as answers given before.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache

from dilm.errors import ModelError, first_line
from dilm.models.decoders import Frame
from dilm.models.roads import Growing
from dilm.types import Example, Task

PROMPTS = "prompts.json"
MARK = "\u241ftext\u241f"
"""A text that no template has, to see what a template puts behind an answer."""


@dataclass(frozen=True)
class Prompts:
    """What a model reads before it writes a text of a class, as token numbers, and how its texts end."""

    before: list[list[int]]
    """Of each class."""
    end: int
    separator: int
    shown: list[list[str]]
    """Texts of the demonstrations in them: real rows."""

    @property
    def frame(self) -> Frame:
        """Conditions are numbers of classes; the tokenizer gets no token."""
        return Frame(self.end, self.end, self.separator, list(range(len(self.before))), [])

    def save(self, folder: Path) -> None:
        """Beside the model."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PROMPTS).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Prompts:
        """What `save` wrote."""
        return cls(**json.loads((folder / PROMPTS).read_text("utf-8")))


class Prompted(nn.Module):
    """A causal model that reads the prompt of a class where the first token of a row is that class's number."""

    def __init__(self, model: PreTrainedModel, prompts: Prompts) -> None:
        super().__init__()
        accepted = inspect.signature(model.forward).parameters
        if "logits_to_keep" not in accepted:
            raise ModelError(
                f"{type(model).__name__} cannot be asked for the odds of a text alone, without those of its prompt.",
                "Use an instruction-tuned model such as Llama, Qwen or Gemma.",
            )
        self.inner = model
        self.prompts = prompts
        self.places = "position_ids" in accepted

    @property
    def config(self) -> Any:
        return self.inner.config

    @property
    def device(self) -> torch.device:
        return self.inner.device

    def get_output_embeddings(self) -> nn.Module:
        return self.inner.get_output_embeddings()  # type: ignore[return-value]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        """Class and text, [n, T] -> `logits` [n, T, V] of what follows the prompt and each token of the text."""
        prompts = [self.prompts.before[condition] for condition in input_ids[:, 0].tolist()]
        width = max(map(len, prompts))
        padded = [[self.prompts.end] * (width - len(prompt)) + prompt for prompt in prompts]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=input_ids.device)
        own = torch.arange(width, device=input_ids.device) >= width - lengths[:, None]
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mask = torch.cat([own.to(mask.dtype), mask[:, 1:]], 1)
        places = {"position_ids": (mask.cumsum(1) - 1).clamp_min(0)} if self.places else {}
        read = torch.cat([input_ids.new_tensor(padded), input_ids[:, 1:]], 1)
        kept = input_ids.shape[1]
        return self.inner(input_ids=read, attention_mask=mask, logits_to_keep=kept, use_cache=False, **places)

    def road(self) -> Answering:
        """For sampling, token by token."""
        return Answering(self)


class Answering:
    """The prompt is read once; then a cache grows, row by row the same at first."""

    def __init__(self, model: Prompted) -> None:
        self.model = model
        self.growing = Growing(model.inner)
        self.begun = False

    def read(self, tokens: Tensor) -> Tensor:
        """Every row reads one token, the number of one class at first: [rows] -> float32 logits, [rows, V]."""
        if self.begun:
            return self.growing.read(tokens)
        self.begun = True
        prompt = tokens.new_tensor([self.model.prompts.before[int(tokens[0])]])
        cache = DynamicCache(config=self.model.config)
        told = self.model.inner(input_ids=prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache.batch_repeat_interleave(len(tokens))
        self.growing.cache = cache
        return told.logits[:, -1].float().repeat(len(tokens), 1)

    def renew(self, rows: Tensor) -> None:
        """No row begins another text."""
        self.growing.renew(rows)

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        self.growing.keep(rows)


@dataclass(frozen=True)
class Asking:
    """What an instruction-tuned model is asked for, and what it is shown."""

    ask: str
    """With `{label}`, `{task}` and `{fields}`."""
    system: str = ""
    shown: tuple[tuple[Example, ...], ...] = ()
    """Demonstrations of each class."""


def prompts_for(tokenizer: PreTrainedTokenizerBase, task: Task, asking: Asking) -> Prompts:
    """A prompt for each class: demonstrations are answers that were given before to the same request.

    Raises ModelError where the tokenizer has no chat template, or no token between fields.
    """
    before = [
        _tokens(tokenizer, _render(tokenizer, _dialogue(task, asking, condition), True))
        for condition in task.conditions
    ]
    separator = _newline(tokenizer) if len(task.fields) > 1 else -1
    shown = [list(example.texts) for several in asking.shown for example in several]
    return Prompts(before, _end_of_turn(tokenizer), separator, shown)


def prompts_of(tokenizer: PreTrainedTokenizerBase, requests: Sequence[str]) -> Prompts:
    """A prompt for each request, which its number stands for. Raises ModelError where a template refuses one."""
    turns = [[{"role": "user", "content": request}] for request in requests]
    return Prompts(
        [_tokens(tokenizer, _render(tokenizer, each, True)) for each in turns], _end_of_turn(tokenizer), -1, []
    )


def _dialogue(task: Task, asking: Asking, condition: int) -> list[dict[str, str]]:
    said = asking.ask
    for name, value in {"label": task.labels[condition], "task": task.name, "fields": ", ".join(task.fields)}.items():
        said = said.replace("{" + name + "}", value)
    asked = {"role": "user", "content": said}
    turns = [{"role": "system", "content": asking.system}] if asking.system else []
    for example in asking.shown[condition] if asking.shown else ():
        turns += [asked, {"role": "assistant", "content": "\n".join(" ".join(text.split()) for text in example.texts)}]
    return [*turns, asked]


def _render(tokenizer: PreTrainedTokenizerBase, turns: Sequence[dict[str, str]], answering: bool) -> str:
    if not tokenizer.chat_template:
        raise ModelError(
            "The generator's tokenizer has no chat template, and instruct.ask asks it as one would ask a chat model.",
            "Use an instruction-tuned model, or leave instruct.ask empty.",
        )
    how: dict[str, Any] = {"tokenize": False, "add_generation_prompt": answering, "enable_thinking": False}
    try:
        return tokenizer.apply_chat_template(list(turns), **how)  # type: ignore[return-value]
    except Exception as fault:  # a template is a program of its own, and raises what it likes
        raise ModelError(
            f"The chat template refuses the prompt: {first_line(fault)}",
            "Leave instruct.system empty, which some templates do not know.",
        ) from fault


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[return-value]


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The first special token that the template puts behind an answer, or else the tokenizer's end."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}]
    tail = _tokens(tokenizer, _render(tokenizer, turns, False).partition(MARK)[2])
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    end = next((token for token in tail if token in special), tokenizer.eos_token_id)
    if end is None:
        raise ModelError("The chat template ends an answer with no token.", "Set the tokenizer's eos_token.")
    return end  # type: ignore[return-value]


def _newline(tokenizer: PreTrainedTokenizerBase) -> int:
    tokens = _tokens(tokenizer, "\n")
    if len(tokens) != 1:
        raise ModelError(
            "Fields are written on lines of their own, and for this tokenizer a new line is no single token.",
            "Use another generator, or a task of one field.",
        )
    return tokens[0]
