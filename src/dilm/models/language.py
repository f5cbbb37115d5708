"""A language model behind the `Learner` socket: it learns to write a target given its input, and is told by how likely
it finds real ones. Causal models and encoder-decoders alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerBase

from dilm.models.answers import Answers, Batch, Row
from dilm.models.attending import plain_attention
from dilm.models.decoders import only_positions, open_causal_model
from dilm.models.hub import open_config, open_model, open_tokenizer
from dilm.models.padding_free import PaddingFree
from dilm.models.pieces import pieces, tokens_at_once
from dilm.models.weights import Pristine, content_key, copied, evaluating, put_back
from dilm.numerics.gradients import at_least_float32
from dilm.runtime import memory, meter
from dilm.runtime.device import Place
from dilm.runtime.seeding import torch_stream
from dilm.types import Example, Task

PROJECTED = 32
"""Directions of the vocabulary that the output layer's gradient is seen in."""

WRITTEN_AT_ONCE = 8192
"""Padded tokens of the questions and answers that are written together."""

Losses = Callable[[Mapping[str, Tensor]], Tensor]


class LanguageLearner:
    """A learner of a generation task; every trial starts from the weights that it was opened with."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, place: Place, max_tokens: int
    ) -> None:
        self.name = type(model).__name__
        self.task = task
        self.place = place
        model.config.use_cache = False
        self.model = model.to(place.device).eval()  # type: ignore[arg-type]
        self.padding_free = PaddingFree(self.model)
        self.answers = Answers(tokenizer, model, task, max_tokens)
        self.tokens_at_once = tokens_at_once(place, model.config)
        self.appetite = memory.Appetite("tokens", least=self.answers.limit)
        self.output: nn.Module = model.get_output_embeddings()  # type: ignore[assignment]
        self.pristine = Pristine(self.model, (), in_file=place.recompute)

    @classmethod
    def open(cls, name: str, task: Task, place: Place, max_tokens: int) -> LanguageLearner:
        """From a hub id or a local folder. Raises ModelError for a model that cannot write."""
        told = open_config(name).is_encoder_decoder
        model = open_model(AutoModelForSeq2SeqLM, name) if told else open_causal_model(name)
        learner = cls(model, open_tokenizer(name), task, place, max_tokens)
        learner.name = name
        return learner

    def reset(self, seed: int) -> None:
        """Every weight and buffer as it was opened, bit for bit; eval mode. `seed` draws no head here."""
        self.pristine.put_back(self.model, seed)
        self.model.eval()

    @contextmanager
    def reading_only(self, examples: Sequence[Example], kept: float) -> Iterator[None]:
        """All weights stay: the vocabulary layer gives every token a gradient."""
        yield

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Mean nll of a target's tokens, its end included, differentiable, in the mode of the model: n -> [n]."""
        losses, order = [], []
        with self._memory(f"{len(examples)} examples"):
            for positions, batch in self._batches(self.answers.rows(examples)):
                losses.append(self._means(batch, {}))
                order += positions
        return torch.cat(losses)[torch.tensor(order, device=self.place.device).argsort()]

    def losses(self, examples: Sequence[Example]) -> Iterator[tuple[list[int], Losses]]:
        """Which of n examples, some at a time, and their losses as a function of weights by name: -> [some].

        In eval mode; differentiable twice, and forward.
        """
        with evaluating(self.model), plain_attention(self.model):
            for positions, batch in self._batches(self.answers.rows(examples)):
                yield positions, partial(self._means, batch)

    @torch.no_grad()
    def token_losses(self, examples: Sequence[Example]) -> list[Tensor]:
        """The nll of every token of each target, in eval mode, on the CPU: n examples -> n times [its tokens]."""
        return self._of_each_token(self.answers.rows(examples), _nlls)

    @torch.no_grad()
    def unasked_losses(self, examples: Sequence[Example]) -> list[Tensor]:
        """As `token_losses`, of the targets alone: what they would cost had nothing been asked."""
        return self._of_each_token(self.answers.unasked(examples), _nlls)

    @torch.no_grad()
    def errors(self, examples: Sequence[Example]) -> Tensor:
        """Mean length of (probabilities - onehot) over a target's tokens, as EL2N has it of classes: n -> [n]."""
        found = self._of_each_token(self.answers.rows(examples), _error_norms)
        return torch.stack([each.mean() for each in found])

    @torch.no_grad()
    def guessed(self, examples: Sequence[Example]) -> list[Tensor]:
        """Whether each token of a target is the likeliest, given the real ones before it: n times bool [its tokens]."""
        return self._of_each_token(self.answers.rows(examples), lambda logits, wanted: logits.argmax(-1) == wanted)

    @torch.no_grad()
    def gradients(self, examples: Sequence[Example]) -> Tensor:
        """Gradient of each example's loss in the output layer's weight [V, d], its rows under a fixed random projection
        [r, V], in eval mode, by closed form: n examples -> [n, r*d].

        Of that layer alone, as if the embeddings did not share its weight; no backward pass.
        """
        width, projection = self.output.weight.shape[1], self._projection  # type: ignore[index]
        found = torch.zeros(len(examples), PROJECTED, int(width), device=self.place.device)
        with evaluating(self.model), self._memory("one example"):
            for positions, batch in self._batches(self.answers.rows(examples)):
                features, logits = self._output_layer(batch)
                residual = logits.softmax(-1)
                residual[torch.arange(len(residual)), batch.wanted[batch.asked]] -= 1
                seen, sizes = residual @ projection.T, batch.asked.sum(1).tolist()
                for place, left, right in zip(positions, seen.split(sizes), features.split(sizes), strict=True):
                    found[place] = left.T @ right / len(left)
        return found.flatten(1)

    @torch.no_grad()
    def write(self, examples: Sequence[Example]) -> list[str]:
        """The likeliest answer to each question, token by token (greedy), at most as long as the task allows."""
        rows = [(question, [self.answers.end]) for question, _ in self.answers.rows(examples)]
        found: dict[int, str] = {}
        with evaluating(self.model), self._memory("one answer"):
            for places in pieces([len(question) + self.task.max_tokens for question, _ in rows], WRITTEN_AT_ONCE):
                found.update(zip(places, self._written([rows[place] for place in places]), strict=True))
        return [found[place] for place in range(len(rows))]

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each example, question and answer together."""
        return [len(question) + len(answer) for question, answer in self.answers.rows(examples)]

    def head_parameters(self) -> list[nn.Parameter]:
        """The output layer's weight, of which `gradients` sees a projection."""
        return [self.output.weight]  # type: ignore[list-item]

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.model.parameters()

    def train(self) -> None:
        self.model.train()

    def eval(self) -> None:
        self.model.eval()

    def snapshot(self) -> dict[str, Tensor]:
        """Every weight and buffer, copied to the CPU."""
        return copied(self.model)

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Back to what `snapshot` returned, bit for bit; optimisers keep their parameters."""
        put_back(self.model, snapshot)

    def spare_memory(self) -> bool:
        """Read fewer tokens at once from now on; False where an example runs alone already."""
        return self.appetite.shrink(self.tokens_at_once)

    @property
    def identity(self) -> str:
        """SHA-256 of what `reset` brings back."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        return content_key(self.model, self.pristine)

    @cached_property
    def _projection(self) -> Tensor:
        """[r, V], the same in every run; about as long as what it sees."""
        rows = int(self.output.weight.shape[0])  # type: ignore[index]
        drawn = torch.randn(PROJECTED, rows, generator=torch_stream(0, "output projection", rows))
        return (drawn / PROJECTED**0.5).to(self.place.device)

    def _batches(self, rows: Sequence[Row]) -> Iterator[tuple[list[int], Batch]]:
        lengths = [len(question) + len(answer) for question, answer in rows]
        meter.count(sum(lengths))
        at_once = min(self.tokens_at_once, self.appetite.amount)
        for positions in pieces(lengths, at_once, self.padding_free.spread):
            yield positions, self.answers.batch([rows[position] for position in positions], self.place.device)

    def _logits(self, batch: Batch, weights: Mapping[str, Tensor]) -> Tensor:
        """At the positions that are asked about: [asked, V]."""
        free = self.padding_free(batch.inputs["attention_mask"])
        with self.place.autocast(), only_positions(self.model, batch.asked), free:
            told = torch.func.functional_call(self.model, dict(weights), (), dict(batch.inputs))
        return at_least_float32(told.logits)

    def _means(self, batch: Batch, weights: Mapping[str, Tensor]) -> Tensor:
        """Mean nll of each row's target: [n]."""
        nlls = _nlls(self._logits(batch, weights), batch.wanted[batch.asked])
        owner, counts = batch.asked.nonzero()[:, 0], batch.asked.sum(1)
        return nlls.new_zeros(len(counts)).index_add(0, owner, nlls) / counts

    def _of_each_token(self, rows: Sequence[Row], told: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        with evaluating(self.model), self._memory("one example"):
            for positions, batch in self._batches(rows):
                values = told(self._logits(batch, {}), batch.wanted[batch.asked]).cpu()
                found.update(zip(positions, values.split(batch.asked.sum(1).tolist()), strict=True))
        return [found[place] for place in range(len(rows))]

    def _output_layer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the vocabulary layer sees and says where it is asked: [asked, d], [asked, V]."""
        seen: list[Tensor] = []
        hook = self.output.register_forward_hook(lambda _, inputs, output: seen.append(at_least_float32(inputs[0])))
        try:
            logits = self._logits(batch, {})
        finally:
            hook.remove()
        return seen[0], logits

    def _written(self, rows: Sequence[Row]) -> list[str]:
        asked = self.answers.asked(rows, self.place.device)
        width = asked["input_ids"].shape[1]
        begun = 0 if self.model.config.is_encoder_decoder else width
        most = max(min(self.task.max_tokens, self.answers.limit - begun), 1)
        ends: dict[str, Any] = {"eos_token_id": self.answers.end, "pad_token_id": self.answers.end}
        with self.place.autocast():
            tokens = self.model.generate(**asked, max_new_tokens=most, do_sample=False, use_cache=True, **ends)  # type: ignore[operator]
        meter.count(tokens.numel())
        # An encoder-decoder's answers begin with its start token.
        return [self.answers.decoded(row[begun or 1 :]) for row in tokens.tolist()]

    def _memory(self, what: str) -> AbstractContextManager[None]:
        return memory.guard(
            f"{what} of up to {self.answers.limit} tokens in {self.name}",
            "Lower the batch size or models.max_tokens, or use a smaller learner.",
        )


def _nlls(logits: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, wanted, reduction="none")


def _error_norms(logits: Tensor, wanted: Tensor) -> Tensor:
    errors = logits.softmax(-1)
    errors[torch.arange(len(wanted)), wanted] -= 1
    return errors.norm(dim=-1)
