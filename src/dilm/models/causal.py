"""A causal language model as generator: a condition token per class, a separator between fields (paper 3.1)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dilm.errors import ModelError
from dilm.models import adapters
from dilm.models.adapters import Adapters
from dilm.models.decoders import Frame, frame_of, inner, only_positions
from dilm.models.encodings import longest_input
from dilm.models.form import Form
from dilm.models.hub import open_tokenizer, quiet
from dilm.models.instructed import Prompted
from dilm.models.passages import encoded_within, encoding
from dilm.models.pieces import pieces, tokens_at_once
from dilm.models.reading import Reading
from dilm.models.sampling import Sampling, TextWriter, sample_tokens
from dilm.models.seq2seq import Conditioned, open_writer
from dilm.numerics.gradients import at_least_float32
from dilm.numerics.likelihood import text_nll
from dilm.protocols import Parts
from dilm.runtime import memory, meter
from dilm.runtime.device import Place
from dilm.types import Draft, Example, Task

Writer = PreTrainedModel | Conditioned | Prompted
LESS_AT_ONCE = "Lower `fit.batch`, `match.synthetic`, `generate.batch` or `models.max_tokens`, or take a smaller model."


class CausalGenerator:
    """Any Hugging Face model that writes, behind the `Generator` socket; encoders are opened as decoders."""

    def __init__(self, model: Writer, tokenizer: PreTrainedTokenizerBase, task: Task, place: Place) -> None:
        placed = getattr(inner(model), "is_quantized", False)
        self.model: Writer = model if placed else model.to(place.device)  # type: ignore[arg-type]
        prompts = model.prompts if isinstance(model, Prompted) else None
        self.before = [len(each) for each in prompts.before] if prompts else []
        self.shown = {tuple(texts) for texts in prompts.shown} if prompts else set()
        self.tokenizer, self.encode = tokenizer, encoding(tokenizer)
        longest = longest_input(inner(model)) - max(self.before, default=0) - 2  # the condition and the end token
        self.task = replace(task, max_tokens=min(task.max_tokens, longest))
        self.place = place
        self.sampling = Sampling(max_tokens=self.task.max_tokens)
        self.text_writer: TextWriter = sample_tokens
        self.appetite = memory.Appetite("texts")
        self.likelihood, self.recompute = "token", False
        if place.recompute:
            self._recompute()
        self.tokens_at_once = tokens_at_once(place, inner(model).config)
        self.frame: Frame = prompts.frame if prompts else frame_of(inner(model), tokenizer, task)
        self.start, self.end, self.separator, self.conditions, _ = self.frame
        self.split: Any = None  # `models.split.Split`, where processes share the weights
        self.reading = Reading(model)
        self._encoded: dict[tuple[str, ...], list[int]] = {}
        self.read, self._together = self._summed_nll, self._of_like_length

    @classmethod
    def open(cls, name: str, task: Task, place: Place, **options: Any) -> CausalGenerator:
        """From a hub id or a local folder. Raises ModelError where the model cannot write left to right."""
        tokenizer = open_tokenizer(name)
        return cls(open_writer(name, tokenizer, **options), tokenizer, task, place)

    def adapt(self, wanted: Adapters, seed: int) -> None:
        """Freeze the model and put fresh adapters into it; classes, and the separator where there is one, get rows."""
        said = [self.separator] if len(self.task.fields) > 1 and self.separator in self.frame.new else []
        read = [token for token in self.frame.new if token != self.separator] + said
        adapters.attach(inner(self.model), (read, said), wanted, seed)

    def name_classes(self) -> None:
        """Let each condition begin as the start token with what the model knows of its class's name.

        Adds the mean embedding of the name's tokens; a pretrained model then need not learn what "negative" means.
        """
        if isinstance(self.model, Prompted):  # which is told in words
            return
        table: Tensor = inner(self.model).get_input_embeddings().weight  # type: ignore[assignment]
        for condition, name in zip(self.conditions, self.task.labels, strict=True):
            tokens = self.encode([f" {name}"])[0]
            if tokens:
                with torch.no_grad():
                    rows, place = adapters.row_of(inner(self.model), condition)
                    rows[place] = (table[self.start] + table[tokens].mean(0)).to(rows.dtype)

    def freeze_vocabulary(self) -> None:
        """Leave out of training what is read and said of single tokens."""
        adapters.freeze_vocabulary(inner(self.model))

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.model.parameters()

    def train(self) -> None:
        self.model.train()

    def eval(self) -> None:
        self.model.eval()

    def save(self, folder: Path) -> None:
        """An ordinary transformers folder, which `open` reads back; of an adapted model its adapters alone, of one that
        is not trained nothing but its prompts."""
        model = inner(self.model)
        with quiet():
            if adapters.is_adapted(model):
                adapters.save(model, folder)
            elif any(parameter.requires_grad for parameter in model.parameters()):
                model.save_pretrained(folder)
            if isinstance(self.model, Prompted):
                self.model.prompts.save(folder)
            self.tokenizer.save_pretrained(folder)

    def nll(self, examples: Sequence[Example]) -> Tensor:
        """Negative log-likelihood of each example given its class, differentiable: n examples -> [n].

        Texts of like length run together, and only real tokens reach the vocabulary layer: the same numbers as one
        padded batch, without the work on padding.
        """
        sums, places = self.sums([self._tokens(example) for example in examples])
        return text_nll(torch.cat(sums)[places], self.lengths(examples), self.likelihood)

    def nll_in_parts(self, examples: Sequence[Example]) -> tuple[Tensor, Parts]:
        """As `nll`, [n], and what takes a loss of it apart: one scalar for each piece of texts that ran together.

        The gradients of these, one after the other, add up to that of the loss. But autograd holds only one piece's
        beside the sum, where it would gather a buffer of all weights in one backward pass through all pieces.
        """
        sums, places = self.sums([self._tokens(example) for example in examples])
        whole = torch.cat(sums).detach().requires_grad_()

        def parts(loss: Tensor) -> Iterator[Tensor]:
            (slopes,) = torch.autograd.grad(loss, whole)
            for slope in slopes.split([len(piece) for piece in sums]):
                yield (sums.pop(0) * slope).sum()

        return text_nll(whole[places], self.lengths(examples), self.likelihood), parts

    def sums(self, rows: list[list[int]]) -> tuple[list[Tensor], Tensor]:
        """Each row's sum of token nlls, piece by piece, and where in them each row's is: token rows -> [n]."""
        meter.count(sum(map(len, rows)))
        together = self._together(self._widths(rows))
        read = partial(memory.computed_again, self.read) if self.recompute else self.read
        with memory.guard(f"the likelihoods of {len(rows)} texts", LESS_AT_ONCE):
            sums = [read([rows[row] for row in piece]) for piece in together]
        return sums, torch.tensor([row for piece in together for row in piece], device=self.model.device).argsort()

    def read_at_once(self) -> None:
        """From now on likelihoods take one pass of all examples in their order, side by side in every layer: the same
        numbers, from which each example's own gradient can be told. Raises ModelError where that is not so."""
        if not isinstance(self.model, PreTrainedModel):  # T5 adds one table of distances to all examples alike
            raise ModelError(
                "Of encoder-decoders and chat models the gradients of single rows cannot be told.",
                "Use a causal language model under differential privacy, without instruct.ask.",
            )
        self.recompute, self.read = False, self._summed_at_once
        self._together = lambda lengths: [list(range(len(lengths)))]

    def _widths(self, rows: list[list[int]]) -> list[int]:
        """Tokens that are read of each row, prompts included."""
        return [len(row) + (self.before[row[0]] if self.before else 0) for row in rows]

    def _of_like_length(self, lengths: list[int]) -> list[list[int]]:
        return list(pieces(lengths, self.tokens_at_once, self.reading.spread))

    def _summed_at_once(self, rows: list[list[int]]) -> Tensor:
        """As `_summed_nll`, without leaving padding out: token rows -> [n]."""
        tokens, mask = self._pad(rows)
        places = torch.arange(tokens.shape[1], device=tokens.device).repeat(len(rows), 1)  # not [1, T], as by default
        extra = {"position_ids": places} if "position_ids" in inspect.signature(self.model.forward).parameters else {}
        with self.place.autocast():
            logits = self.model(input_ids=tokens, attention_mask=mask, **extra).logits[:, :-1]
        nll = nn.functional.cross_entropy(at_least_float32(logits).transpose(1, 2), tokens[:, 1:], reduction="none")
        return (nll * mask[:, 1:]).sum(1)

    def spare_memory(self) -> bool:
        """Take likelihoods with less memory from now on; False where they take the least possible already."""
        if not self.recompute:
            self._recompute()
            return True
        if self.tokens_at_once <= self.task.max_tokens:
            return False  # the longest text runs alone, and shorter ones together take no more
        self.tokens_at_once //= 2
        return True

    def _recompute(self) -> None:
        """From now on activations are computed twice instead of kept: the same numbers."""
        self.recompute = True
        memory.return_at_once()

    def lengths(self, examples: Sequence[Example]) -> Tensor:
        """Tokens that each example's likelihood is made of, the end included: n examples -> [n]."""
        return torch.tensor([len(self._tokens(example)) - 1 for example in examples], device=self.model.device)

    @torch.no_grad()
    def token_nlls(self, examples: Sequence[Example]) -> list[Tensor]:
        """What every token of each example costs given those before it, the end included, without dropout or graph.

        n examples -> n tensors on the CPU, [tokens of the example] each; their means are what `nll` gives.
        """
        self.model.eval()
        rows = [self._tokens(example) for example in examples]
        meter.count(sum(map(len, rows)))
        found: dict[int, Tensor] = {}
        with memory.guard(f"the likelihoods of {len(rows)} texts", LESS_AT_ONCE):
            for piece in self._of_like_length(self._widths(rows)):
                told, owner = self._token_nlls([rows[row] for row in piece])
                found.update((row, told[owner == place].cpu()) for place, row in enumerate(piece))
        return [found[row] for row in range(len(rows))]

    def _summed_nll(self, rows: list[list[int]]) -> Tensor:
        """Sum of the token nlls of each row: token rows -> [n]."""
        token_nll, owner = self._token_nlls(rows)
        return token_nll.new_zeros(len(rows)).index_add(0, owner, token_nll)

    def predictions(self, examples: Sequence[Example]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Logits for every token [tokens, V], these tokens and whose example's they are, by pieces of own graphs."""
        rows = [self._tokens(example) for example in examples]
        meter.count(sum(map(len, rows)))
        for piece in self._together(self._widths(rows)):
            with memory.guard(f"what is expected in {len(piece)} texts", LESS_AT_ONCE):
                logits, targets, owner = self._expected([rows[row] for row in piece])
            yield logits, targets, torch.tensor(piece, device=self.model.device)[owner]

    def _token_nlls(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """The nll of every token but the first, and which row it is of: token rows -> [tokens], [tokens]."""
        logits, targets, owner = self._expected(rows)
        return nn.functional.cross_entropy(logits, targets, reduction="none"), owner

    def _expected(self, rows: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits for every token but the first, these tokens, and their rows: -> [tokens, V], [tokens], [tokens]."""
        tokens, mask = self._pad(rows)
        real = mask[:, 1:].bool()  # positions whose next token is text
        said, read = only_positions(self.model, nn.functional.pad(real, (0, 1))), self.reading(mask)
        with self.place.autocast(), said, read:
            logits = self.model(input_ids=tokens, attention_mask=mask).logits  # [real tokens, V]
        return at_least_float32(logits), tokens[:, 1:][real], real.nonzero()[:, 0]

    def sample(self, condition: int, n: int, rng: torch.Generator) -> list[Draft]:
        """`n` texts of one class, unjudged: none has an empty field, nor, where it is finished, too many or too few.

        Leaves the model in eval mode. Where memory runs out fewer are written at once, which are others than planned.
        """
        self.model.eval()
        banned = torch.tensor(sorted(self._never_written()), device=self.model.device)
        form = Form(self.conditions[condition], self.end, self.separator, len(self.task.fields), self._blank)
        drawn = rng.get_state()

        def write(texts: int) -> list[list[int]]:
            rng.set_state(drawn)  # of an attempt that failed
            return self.text_writer(self.model, form, n, replace(self.sampling, batch=texts), rng, banned)

        with self.place.autocast(), memory.guard("writing one text", LESS_AT_ONCE):
            rows = self.appetite.feed(self.sampling.batch, write)
        meter.count(sum(map(len, rows)))
        return [self._draft(row) for row in rows]

    @cached_property
    def _blank(self) -> Tensor:
        """Tokens that show nothing: white space, and rows of the embeddings beyond the tokenizer."""
        rows = inner(self.model).get_input_embeddings().weight.shape[0]  # type: ignore[index]
        shown = self.tokenizer.batch_decode([[token] for token in range(rows)])
        return torch.tensor([token for token, text in enumerate(shown) if not text.strip()], dtype=torch.long)

    def _never_written(self) -> set[int]:
        """Special tokens other than the end and, where there are several fields, the separator."""
        useful = {self.end, self.separator} if len(self.task.fields) > 1 else {self.end}
        return {*self.tokenizer.all_special_ids, *self.frame.new, self.start} - useful

    def _draft(self, tokens: list[int]) -> Draft:
        finished = tokens[-1] == self.end
        fields: list[list[int]] = [[]]
        for token in tokens[:-1] if finished else tokens:
            if token == self.separator:
                fields.append([])
            else:
                fields[-1].append(token)
        texts = self.tokenizer.batch_decode(fields, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Draft(tuple(" ".join(text.split()) for text in texts), finished)

    def _tokens(self, example: Example) -> list[int]:
        """Condition, first field, separator, second field, ..., end; of a text that is too long, a passage."""
        if example.texts not in self._encoded:
            body = encoded_within(example.texts, self.sampling.max_tokens, self.separator, self.encode)
            self._encoded[example.texts] = [*body, self.end]
        return [self.conditions[example.label], *self._encoded[example.texts]]

    def _pad(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        width = max(map(len, rows))
        tokens = torch.tensor([row + [self.end] * (width - len(row)) for row in rows], device=self.model.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.model.device)
        return tokens, (torch.arange(width, device=self.model.device) < lengths[:, None]).long()
