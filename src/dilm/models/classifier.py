"""Any sequence classifier of transformers behind the `Learner` socket."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from dilm.errors import ModelError
from dilm.models.attending import plain_attention, read_position, told_attention
from dilm.models.encodings import PROBES, Batch, Encodings
from dilm.models.heads import find_head, read_head
from dilm.models.hub import first_layers, open_model, open_tokenizer
from dilm.models.lean import can_be_cut, only_rows
from dilm.models.padding_free import PaddingFree
from dilm.models.pieces import tokens_at_once, tokens_read_at_once
from dilm.models.weights import Pristine, content_key, copied, evaluating, put_back
from dilm.numerics.gradients import at_least_float32, head_gradients
from dilm.runtime import memory
from dilm.runtime.device import Place
from dilm.types import Example, Task

FEW = 5000
"""Examples of which it is worth finding out what tokens they have; more have most."""

MAX_TOKENS = 128

Losses = Callable[[Mapping[str, Tensor]], Tensor]


class Classifier:
    """A learner that can be put back to its first state, and whose head gradients need no backward pass."""

    def __init__(
        self,
        model: PreTrainedModel,
        encodings: Encodings,
        task: Task,
        place: Place,
        name: str,
        fresh: Collection[str] = (),
    ) -> None:
        """`fresh` names the parameters that no checkpoint brought; the head is always among them."""
        self.name = name
        self.task = task
        self.place = place
        self.encodings = encodings
        self.tokens_at_once = tokens_at_once(place, model.config)
        self.read_at_once = tokens_read_at_once(place, model.config)
        self.appetite = memory.Appetite("tokens", least=encodings.limit)
        model.config.pad_token_id = encodings.padding["input_ids"]
        model.config.use_cache = False
        self.model = model.to(place.device).eval()  # type: ignore[arg-type]
        encodings.settle_side(lambda batch: self.model(**batch).logits, place.device)
        self.padding_free = PaddingFree(self.model)
        self.head = find_head(self.model, self.inputs(PROBES))
        mine = {id(parameter) for parameter in self.head.parameters()}
        head = {key for key, parameter in self.model.named_parameters() if id(parameter) in mine}
        self.pristine = Pristine(self.model, head | set(fresh), in_file=place.recompute)

    @classmethod
    def open(cls, name: str, task: Task, place: Place, max_tokens: int = MAX_TOKENS, layers: int = 0) -> Classifier:
        """From a hub id or a local folder; its first `layers` layers, or all where that is 0.

        Raises ModelError or ResourceError.
        """
        labels = dict(enumerate(task.labels))
        model, report = open_model(
            AutoModelForSequenceClassification,
            name,
            id2label=labels,
            label2id={label: number for number, label in labels.items()},
            ignore_mismatched_sizes=True,  # a checkpoint with a head for other classes lends its body
            output_loading_info=True,
            **first_layers(name, layers),
        )
        fresh = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
        return cls(model, Encodings(open_tokenizer(name), model, max_tokens), task, place, name, fresh)

    @classmethod
    def from_parts(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        task: Task,
        place: Place,
        max_tokens: int = MAX_TOKENS,
    ) -> Classifier:
        """From a model with one output per class and its tokenizer; `reset` draws only its last layer anew."""
        return cls(model, Encodings(tokenizer, model, max_tokens), task, place, type(model).__name__)

    def reset(self, seed: int) -> None:
        """Every weight and buffer as it was opened, bit for bit, the head drawn anew from `seed`; eval mode."""
        self.pristine.put_back(self.model, seed)
        self.model.eval()

    @contextmanager
    def reading_only(self, examples: Sequence[Example], kept: float) -> Iterator[None]:
        """Within, `parameters` leaves out the embeddings of tokens that these examples do not have, where that is most
        of them. Afterwards those are times `kept`, the others as they were trained. Nothing else may be read within.
        """
        table, used = self.model.get_input_embeddings(), self._tokens_of(examples) if len(examples) <= FEW else None
        if used is None or not can_be_cut(self.model, table, used):
            yield
            return
        with only_rows(table, used, kept):  # type: ignore[arg-type]
            yield

    def _tokens_of(self, examples: Sequence[Example]) -> Tensor:
        """Every token that a batch of these examples may hold, padding too: [k]."""
        tokens = {token for row in self.encodings.rows(examples) for token in row["input_ids"]}
        return torch.tensor(sorted(tokens | {self.encodings.padding["input_ids"]}))

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Cross-entropy of each example, differentiable, in the mode that the model is in: n examples -> [n].

        Against its soft label where it has one.

        Texts of like length run together, so that short ones are not padded to the longest.
        """
        losses, order = [], []
        with self._memory(f"{len(examples)} examples"):
            for positions, batch in self._batches(examples, self.tokens_at_once):
                with self.place.autocast(), self.padding_free(batch["attention_mask"]):
                    logits = self.model(**batch).logits
                targets = self._targets([examples[position] for position in positions])
                losses.append(_cross_entropy(logits, targets))
                order += positions
        return torch.cat(losses)[torch.tensor(order, device=self.place.device).argsort()]

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each example, as far as it is read."""
        return [len(row["input_ids"]) for row in self.encodings.rows(examples)]

    @torch.no_grad()
    def features(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """What the head sees and says, in eval mode, without a graph: n examples -> [n, d], [n, C]."""
        with evaluating(self.model), self._memory("one example"):
            return self.appetite.feed(self.read_at_once, partial(self._features, examples))

    def _features(self, examples: Sequence[Example], tokens: int) -> tuple[Tensor, Tensor]:
        """So many tokens at a time."""
        features = at_least_float32(self.head.weight.new_empty(len(examples), self.head.in_features))
        logits = features.new_empty(len(examples), self.head.out_features)
        for positions, batch in self._batches(examples, tokens):
            with self.place.autocast(), self.padding_free(batch["attention_mask"]):
                features[positions], logits[positions] = read_head(self.model, self.head, batch)
        return features, logits

    def _batches(self, examples: Sequence[Example], tokens: int) -> Iterator[tuple[list[int], Batch]]:
        """To be read without padding, where that is known how."""
        return self.encodings.batches(examples, tokens, self.place.device, self.padding_free.spread)

    def spare_memory(self) -> bool:
        """Read fewer tokens at once from now on; False where an example runs alone already."""
        return self.appetite.shrink(self.tokens_at_once)

    def losses(self, examples: Sequence[Example]) -> Iterator[tuple[list[int], Losses]]:
        """Which of n examples, some at a time, and their losses as a function of weights by name: -> [some].

        In eval mode; differentiable twice, and forward.
        """
        tokens = min(self.tokens_at_once, self.appetite.amount)
        with evaluating(self.model), plain_attention(self.model):
            for positions, inputs in self.encodings.batches(examples, tokens, self.place.device):
                targets = self._targets([examples[position] for position in positions])
                yield positions, partial(self._losses, inputs, targets)

    def _losses(self, inputs: Batch, targets: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        with self.place.autocast():
            return _cross_entropy(self.logits(inputs, weights), targets)

    def gradients(self, examples: Sequence[Example]) -> Tensor:
        """Gradient of each example's loss in `head_parameters`, in eval mode, by closed form: n examples -> [n, P]."""
        features, logits = self.features(examples)
        return head_gradients(features, logits, self._targets(examples), bias=self.head.bias is not None)

    def probabilities(self, examples: Sequence[Example]) -> Tensor:
        """Of every class, in eval mode, without a graph: n examples -> [n, C]."""
        return self.features(examples)[1].softmax(-1)

    def predict(self, examples: Sequence[Example]) -> list[int]:
        """Most likely class of each example, in eval mode."""
        return self.features(examples)[1].argmax(-1).tolist()

    def head_parameters(self) -> list[nn.Parameter]:
        """The matched parameters in the order of `gradients`: the last layer's weight, and its bias if it has one."""
        return list(self.head.parameters())

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

    @property
    def identity(self) -> str:
        """SHA-256 of what `reset` brings back; of the tensors that it draws anew, the names and shapes alone."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        return content_key(self.model, self.pristine)

    def inputs(self, examples: Sequence[Example]) -> Batch:
        """What the model is given to read n examples: input names to [n, T]."""
        return self.encodings.batch(self.encodings.rows(examples), self.place.device)

    @torch.no_grad()
    def embed(self, examples: Sequence[Example]) -> Batch:
        """As `inputs`, with the vectors of the tokens, `inputs_embeds` [n, T, d], in place of their numbers."""
        batch = self.inputs(examples)
        return {"inputs_embeds": self.model.get_input_embeddings()(batch.pop("input_ids")), **batch}

    def logits(self, inputs: Batch, weights: Mapping[str, Tensor]) -> Tensor:
        """What the model says with some of its weights, by name, replaced: inputs -> [n, C], differentiable in both.

        In the precision of the weights, without autocast: second derivatives need it. Raises ModelError for a model
        that does not read embeddings.
        """
        return self._called(inputs, weights).logits

    def attend(self, inputs: Batch, weights: Mapping[str, Tensor], whose: str) -> tuple[Tensor, Tensor]:
        """As `logits`, and where the model looks: inputs -> [n, C], attention [n, layers, heads, q, T].

        Of all positions (`whose` is "all", q = T), or of the one that the head reads ("cls", q = 1). Raises ModelError
        for a model that does not tell its attention, or, for "cls", whose head reads several positions.
        """
        with plain_attention(self.model):
            told = self._called({**inputs, "output_attentions": True}, weights)
        attention = told_attention(told, self.name)
        return told.logits, attention if whose == "all" else attention[..., [self._read_position], :]

    @cached_property
    def _read_position(self) -> int:
        asked = {**self.embed(PROBES[1:]), "output_hidden_states": True}
        with torch.enable_grad():
            return read_position(self._called(asked, {}), self.name)

    def _called(self, inputs: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Any:
        """The model's whole answer with some of its weights replaced."""
        try:
            return torch.func.functional_call(self.model, dict(weights), (), dict(inputs))
        except NotImplementedError as fault:
            raise ModelError(
                f"{self.name} does not take embeddings in place of texts.",
                "Use another model as learner: BERT, RoBERTa, DeBERTa, XLNet, GPT-2, Llama and their relatives do.",
            ) from fault

    def _targets(self, examples: Sequence[Example]) -> Tensor:
        """Classes [n], or their probabilities [n, C] where any example has a soft label."""
        hard = self._labels(examples)
        if not any(example.soft for example in examples):
            return hard
        targets = nn.functional.one_hot(hard, self.head.out_features).float()
        for row, example in enumerate(examples):
            if example.soft:
                targets[row] = torch.tensor(example.soft)
        return targets

    def _labels(self, examples: Sequence[Example]) -> Tensor:
        return torch.tensor([example.label for example in examples], device=self.place.device, dtype=torch.long)

    def _memory(self, what: str) -> AbstractContextManager[None]:
        return memory.guard(
            f"{what} of up to {self.encodings.limit} tokens in {self.name}",
            "Lower the batch size or the learner's max_tokens, or use a smaller learner.",
        )


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Of each row against its class, or the probabilities of all: [n, C] -> [n]."""
    return nn.functional.cross_entropy(at_least_float32(logits), targets, reduction="none")
