"""Texts of the pool, written anew by an instruction-tuned language model: a part of the recipe's page."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Rewrite:
    """Texts of the pool, rewritten or merged by an instruction-tuned model, join it before the choice."""

    model: str = ""
    """Causal LM with a chat template (hub id or folder), or `served-chat:URL#MODEL` behind an OpenAI-compatible server
    (`served:` continues the request as plain text): texts of the pool are sent there, real rows never are. Empty:
    nothing is rewritten."""
    ask: str = "rewrite"
    """`rewrite` one text, `merge` two of a class into one, or `both`."""
    texts: int = 10
    """How many of each class and pool are rewritten, and how many merged: at most as many answers join the pool. They
    are made from that many of its best texts, for a merger twice as many."""
    best: str = "typical"
    """Which texts these are: a name of select.method that trains no learner and asks no generator."""
    rewriting: str = (
        'Rewrite this example of the class "{label}": {text} Make it clearer and more telling of its class. Keep the '
        "class and about the length, and use other words. Answer in this form and with nothing else: {form}"
    )
    """What is asked for a text, with `{text}`; `{label}`, `{task}`, `{fields}` and `{form}` (how an answer looks: each
    field on a line, behind its name) may stand there too."""
    merging: str = (
        'These are examples of the class "{label}": {texts} Write one new example of that class that tells as much of '
        "it as all of these, and is about as long as one. Answer in this form and with nothing else: {form}"
    )
    """What is asked for two of them, with `{texts}`."""
    temperature: float = 0.7
    """Of the answers; 0 takes the likeliest token."""
