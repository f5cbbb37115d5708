"""Instruction-tuned language models that answer requests: opened here, or behind an OpenAI-compatible server.

An answer depends on the seed and its own request, not on those beside it: whoever goes on after a kill gets the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dilm.errors import ModelError
from dilm.models.connection import Manners
from dilm.models.decoders import open_causal_model
from dilm.models.endpoint import Endpoint, Service
from dilm.models.form import Form
from dilm.models.hub import open_tokenizer
from dilm.models.instructed import Prompted, prompts_of
from dilm.models.sampling import Sampling, sample_tokens
from dilm.runtime import memory, meter
from dilm.runtime.device import Place
from dilm.runtime.seeding import derive, torch_stream
from dilm.types import Draft


@dataclass(frozen=True)
class LocalAssistant:
    """A causal model with a chat template, in this process."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    place: Place

    @classmethod
    def open(cls, name: str, place: Place) -> LocalAssistant:
        """A hub id or folder. Raises ModelError or ResourceError."""
        tokenizer = open_tokenizer(name)
        if not tokenizer.chat_template:
            raise ModelError(
                f"{name!r} has no chat template, so it cannot be asked for anything.",
                "Name an instruction-tuned model in rewrite.model, or leave it empty.",
            )
        model = open_causal_model(name).to(place.device).eval()  # type: ignore[arg-type]
        return cls(name, model, tokenizer, place)

    def answer(self, requests: Sequence[str], tokens: int, temperature: float, seed: int) -> list[Draft]:
        """One raw answer to each request, cut off after `tokens` tokens. Raises ModelError for one that is too long."""
        prompts = prompts_of(self.tokenizer, requests)
        self._check_room(max(map(len, prompts.before), default=0) + tokens + 1)
        asked = Prompted(self.model, prompts)
        sampling = Sampling(top_k=0 if temperature else 1, temperature=temperature or 1.0, max_tokens=tokens, batch=1)
        special = set(self.tokenizer.all_special_ids) - {prompts.end}
        banned = torch.tensor(sorted(special), dtype=torch.long, device=self.model.device)
        found = []
        for number, request in enumerate(requests):
            form, rng = Form(number, prompts.end), torch_stream(seed, request)
            with self.place.autocast(), memory.guard("answering one request", "Use a smaller rewrite.model."):
                written = sample_tokens(asked, form, 1, sampling, rng, banned)[0]
            meter.count(len(prompts.before[number]) + len(written))
            found.append(Draft((self._text(written),), written[-1] == prompts.end))
        return found

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)  # type: ignore[return-value]

    def _check_room(self, needed: int) -> None:
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and needed > room:
            raise ModelError(
                f"A request and its answer take up to {needed} tokens, and {self.name} holds {room}.",
                "Name another rewrite.model, or ask in fewer words.",
            )


class ServedAssistant:
    """A model behind a server. No request is sent twice: answers are kept in the file `cache`."""

    def __init__(self, endpoint: Endpoint, cache: Path, manners: Manners | None = None) -> None:
        self.endpoint = endpoint
        self.name = endpoint.model
        self.service = Service(endpoint, cache, manners or Manners())

    def answer(self, requests: Sequence[str], tokens: int, temperature: float, seed: int) -> list[Draft]:
        """As a model here, as far as the server keeps to the seed. Raises as `Service.replies` does."""
        how = {"max_tokens": tokens, "temperature": temperature}
        once = list(dict.fromkeys(requests))
        bodies = [self._body(request, how | {"seed": derive(seed, request) >> 1}) for request in once]
        replies = dict(zip(once, self.service.replies(bodies), strict=True))
        return [Draft((replies[request].text,), replies[request].finished) for request in requests]

    def _body(self, request: str, how: dict[str, Any]) -> dict[str, Any]:
        said = {"messages": [{"role": "user", "content": request}]}
        return {"model": self.endpoint.model, **how, **(said if self.endpoint.route == "chat" else {"prompt": request})}
