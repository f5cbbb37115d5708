"""What `evaluate.learners` may name: which model learns, and in which way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dilm.errors import RecipeError

Way = Literal["finetune", "frozen", "tfidf", "prompt", "served", "served-chat"]

PREFIXES: dict[str, Way] = {
    "frozen:": "frozen",
    "prompt:": "prompt",
    "served:": "served",
    "served-chat:": "served-chat",
}

KNOWN = (
    "Write `same`, a hub id, a folder or `scratch`; `frozen:NAME` for a logistic head on its frozen features; "
    "`first-3:NAME` for its first three layers; `tfidf`; `prompt:NAME` for a causal language model that reads the set "
    "as demonstrations; or `served:URL#MODEL` for one behind an OpenAI-compatible server (`served-chat:` to chat)."
)

SAME = "same"


@dataclass(frozen=True)
class Learning:
    """A way to learn from a few examples, and the model that does."""

    way: Way
    """`finetune` trains every weight, `frozen` a logistic head on fixed features, `tfidf` the same on word counts;
    `prompt`, `served` and `served-chat` train nothing: a language model reads the set as demonstrations."""
    model: str = ""
    """Hub id, folder, `scratch` or `same`; URL#MODEL of a server; empty where no model is needed."""
    layers: int = 0
    """Only this many first layers of the model; 0 is all."""

    @property
    def served(self) -> bool:
        """Whether a server is asked."""
        return self.way in ("served", "served-chat")

    @property
    def is_linear(self) -> bool:
        """Whether only a linear head is trained, without anything drawn."""
        return self.way in ("frozen", "tfidf")

    @property
    def reads(self) -> bool:
        """Whether it learns in context, from a prompt, and nothing is trained."""
        return self.served or self.way == "prompt"


def learning(name: str) -> Learning:
    """What a name in `evaluate.learners` means. Raises RecipeError.

    >>> learning("frozen"), learning("first-3:same").layers, learning("bert-base-uncased").way
    (Learning(way='frozen', model='same', layers=0), 3, 'finetune')
    >>> learning("served:http://localhost:8000/v1#llama").model
    'http://localhost:8000/v1#llama'
    """
    if name == "tfidf":
        return Learning("tfidf")
    if name == "frozen":
        return Learning("frozen", SAME)
    for prefix, way in PREFIXES.items():
        if name.startswith(prefix) and _fits(way, name.removeprefix(prefix)):
            return Learning(way, name.removeprefix(prefix))
    if found := re.fullmatch(r"first-([1-9]\d*):(.+)", name):
        return Learning("finetune", found[2], int(found[1]))
    if name.startswith((*PREFIXES, "first-")) or not name.strip():
        raise RecipeError(f"evaluate.learners does not know {name!r}.", KNOWN)
    return Learning("finetune", name)


def _fits(way: Way, model: str) -> bool:
    """Whether a model is named as its way needs it; what a language model reads needs one of its own."""
    if way in ("served", "served-chat"):
        return re.fullmatch(r"https?://[^#]+#.+", model) is not None
    return bool(model) and not (way == "prompt" and model.partition(":")[0] in (SAME, "scratch"))
