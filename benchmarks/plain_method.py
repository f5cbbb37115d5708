"""The published method on transformers and torch alone: what `matching.py` measures ours against (paper 3.2, 1.7).

Before every matching step 20 learner steps on 64 real rows. For each class, the head's gradient of 200 real rows by a
backward pass through the learner, that of 64 synthetic texts by one that keeps its graph, and their likelihoods under
the generator. Texts are padded to the longest of their batch and read at once; they are written by `generate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dilm.runtime.device import Place

LEARNER_STEPS, BATCH, REAL, SYNTHETIC = 20, 64, 200, 64
LEARNER_RATE, GENERATOR_RATE, DECAY, CLIP = 1e-4, 3e-7, 0.01, 1.0


@dataclass(frozen=True)
class Rows:
    """Texts of each class."""

    of: Sequence[Sequence[str]]

    def batch(self, rng: Random) -> tuple[list[str], Tensor]:
        """Texts of any class, and their classes."""
        classes = [rng.randrange(len(self.of)) for _ in range(BATCH)]
        return [rng.choice(self.of[each]) for each in classes], torch.tensor(classes)


class PlainMethod:
    """Its state: two models, two optimisers."""

    def __init__(
        self,
        generator: tuple[PreTrainedModel, PreTrainedTokenizerBase],
        learner: tuple[PreTrainedModel, PreTrainedTokenizerBase],
        starts: Sequence[int],
        rows: Rows,
        place: Place,
        learner_steps: int = LEARNER_STEPS,
    ) -> None:
        """`starts` are the tokens that a text of each class begins with; the models are in this place."""
        self.generator, self.writing = generator
        self.learner, self.reading = learner
        self.starts = starts
        self.rows = rows
        self.place = place
        self.learner_steps = learner_steps
        self.head = list(self.learner.classifier.parameters())
        self.teach = torch.optim.AdamW(self.learner.parameters(), LEARNER_RATE, weight_decay=DECAY)
        self.update = torch.optim.AdamW(self.generator.parameters(), GENERATOR_RATE, weight_decay=DECAY)

    def step(self, number: int, written: Sequence[Sequence[str]]) -> None:
        """One matching step on texts of each class."""
        rng = Random(number)
        self.train_learner(rng)
        self.match(rng, written)

    def match(self, rng: Random, written: Sequence[Sequence[str]]) -> None:
        """The part of a step that trains the generator, with the learner as it is."""
        self.generator.train()
        self.update.zero_grad()
        for condition, texts in enumerate(written):
            real = self.real_gradient(rng.sample(self.rows.of[condition], REAL), condition)
            weights = torch.softmax(-self.nll(texts, condition), dim=0)
            synthetic = self.synthetic_gradient(texts, condition, weights)
            ((1 - nn.functional.cosine_similarity(real, synthetic, dim=0)) / len(written)).backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), CLIP)
        self.update.step()

    def train_learner(self, rng: Random) -> None:
        """To the age of the next matching step."""
        self.learner.train()
        for _ in range(self.learner_steps):
            texts, classes = self.rows.batch(rng)
            self.teach.zero_grad()
            self.losses(texts, classes).mean().backward()
            nn.utils.clip_grad_norm_(self.learner.parameters(), CLIP)
            self.teach.step()
        self.learner.eval()

    def real_gradient(self, texts: Sequence[str], condition: int) -> Tensor:
        """Of the head: -> [P]."""
        loss = self.losses(texts, torch.full((len(texts),), condition)).mean()
        return torch.cat([piece.flatten() for piece in torch.autograd.grad(loss, self.head)])

    def synthetic_gradient(self, texts: Sequence[str], condition: int, weights: Tensor) -> Tensor:
        """Of the weighted loss in the head, with a graph: -> [P]."""
        loss = self.losses(texts, torch.full((len(texts),), condition)) @ weights
        return torch.cat([piece.flatten() for piece in torch.autograd.grad(loss, self.head, create_graph=True)])

    def losses(self, texts: Sequence[str], classes: Tensor) -> Tensor:
        """Of the learner on each text: n texts -> [n]."""
        inputs = self.reading(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.place.device)
        with self.place.autocast():
            logits = self.learner(**inputs).logits
        return nn.functional.cross_entropy(logits.float(), classes.to(self.place.device), reduction="none")

    def nll(self, texts: Sequence[str], condition: int) -> Tensor:
        """Of each text under the generator, mean over its tokens: n texts -> [n]."""
        end = self.writing.eos_token_id
        rows = [[self.starts[condition], *row, end] for row in self.writing(list(texts))["input_ids"]]
        width = max(map(len, rows))
        device = self.place.device
        tokens = torch.tensor([row + [end] * (width - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        with self.place.autocast():
            logits = self.generator(input_ids=tokens, attention_mask=mask).logits[:, :-1]
        token_nll = nn.functional.cross_entropy(logits.float().transpose(1, 2), tokens[:, 1:], reduction="none")
        return (token_nll * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)
