"""Learnt embeddings as text: every position becomes the token that is nearest (the row "TDD (text)" of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor

from dilm.distillation.embedded import DistilledEmbeddings
from dilm.distillation.unrolling import EmbeddingLearner
from dilm.types import Dataset, Example


def to_text(rows: DistilledEmbeddings, learner: EmbeddingLearner) -> Dataset:
    """A text for every row, under the class that it started from: as many of each class as there are rows.

    The embeddings of real texts come back as these texts, as their learner's tokenizer writes them. What is learnt
    comes back as word salad, and a soft label is lost: that is the finding. Raises ModelError for another learner.
    """
    rows.require(learner)
    numbers = nearest_tokens(rows.embeddings.to(next(learner.model.parameters()).device), token_table(learner)).cpu()
    examples = []
    for row, label in enumerate(rows.classes):
        fields = [numbers[row][rows.fields[row] == field] for field in range(len(learner.task.fields))]
        texts = learner.encodings.tokenizer.batch_decode(
            fields, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        examples.append(Example(tuple(" ".join(text.split()) for text in texts), label))
    return Dataset(learner.task, examples)


@torch.no_grad()
def token_table(learner: EmbeddingLearner) -> Tensor:
    """The embedding of every token as the model reads it (some scale what stands in their table): [V, d]."""
    layer, device = learner.model.get_input_embeddings(), next(learner.model.parameters()).device
    return layer(torch.arange(len(learner.encodings.tokenizer), device=device))


@torch.no_grad()
def nearest_tokens(embeddings: Tensor, table: Tensor) -> Tensor:
    """The token at the least Euclidean distance from each position: [n, T, d], [V, d] -> [n, T].

    Not the cosine, to which the zero vector of a padding token is as near as any other.
    """
    halves = table.square().sum(-1) / 2
    # Row by row: a vocabulary times all positions would not fit. |e - w|² is least where e·w - |w|²/2 is greatest.
    return torch.stack([(row @ table.T - halves).argmax(-1) for row in embeddings])
