"""Whatever writes left to right writes here: architectures beside GPT-2 and BERT, tokenizers without padding token."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from tiny_models import PAIRS, TASK, UNPADDED, rough, rows, tiny_model, tiny_tokenizer

from dilm.distillation.fit import Lessons, fit
from dilm.distillation.match import Matching, closed_form, match
from dilm.distillation.targets import RandomRows, mean_gradient
from dilm.models.causal import CausalGenerator
from dilm.models.classifier import Classifier
from dilm.models.decoders import inner
from dilm.models.form import Form
from dilm.models.roads import positions_begin
from dilm.models.sampling import Sampling, sample_tokens
from dilm.models.scratch import save
from dilm.runtime.device import Place
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset

KINDS = (*UNPADDED, "t5", "bart", "roberta")
NONE = torch.tensor([], dtype=torch.long)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A causal model without a padding token, wherever the kind allows it."""

    @cache
    def made(kind: str) -> str:
        path: Path = tmp_path_factory.mktemp(kind)
        tokenizer = tiny_tokenizer(kind)
        model = tiny_model(kind, tokenizer)
        if kind in UNPADDED:
            tokenizer.pad_token = None
            model.config.pad_token_id = None
        save(model, tokenizer, path)
        return str(path)

    return made


def opened(folder: str, place: Place, task=TASK) -> CausalGenerator:
    torch.manual_seed(0)
    generator = CausalGenerator.open(folder, task, place)
    rough(inner(generator.model))
    return generator


@pytest.mark.parametrize("kind", UNPADDED)
def test_the_greedy_limit_is_what_transformers_writes(folder, place: Place, kind: str):
    generator = opened(folder(kind), place)
    assert generator.tokenizer.pad_token is None
    model, first, end = generator.model, generator.conditions[1], generator.end
    settings = {"do_sample": False, "max_new_tokens": 21, "eos_token_id": end, "pad_token_id": 0}
    theirs = model.generate(torch.tensor([[first]]), attention_mask=torch.ones(1, 1, dtype=torch.long), **settings)
    for road in ("growing", "ring"):
        greedy = Sampling(top_k=1, max_tokens=20, batch=2, road=road)
        ours = sample_tokens(model, Form(first, end), 3, greedy, torch.Generator().manual_seed(0), NONE)
        assert ours == [theirs[0, 1:].tolist()] * 3
    assert len(ours[0]) > 3
    assert positions_begin(model, 21) is not None  # and so the ring was tried


@pytest.mark.parametrize("kind", KINDS)
def test_the_likelihood_is_that_of_each_text_alone_token_by_token(folder, place: Place, kind: str):
    generator, examples = opened(folder(kind), place), rows()
    generator.likelihood = "sum"
    generator.eval()
    for nll, example in zip(generator.nll(examples), examples, strict=True):
        row = generator._tokens(example)
        told = generator.model(input_ids=torch.tensor([row])).logits[0, :-1].log_softmax(-1)
        torch.testing.assert_close(nll, -told.gather(1, torch.tensor(row[1:])[:, None]).sum(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_fitted_matched_and_writes(folder, tiny_folder, place: Place, kind: str):
    """The matching mathematics does not know which kind it has."""
    generator, train = opened(folder(kind), place, PAIRS), Dataset(PAIRS, rows(PAIRS))
    generator.sampling = Sampling(top_p=1.0, max_tokens=30)
    schedule = Schedule(4, 1e-3)
    update = AdamW(generator.parameters(), schedule)
    losses = list(fit(generator, Lessons(train, 4, 0.5, 0), update, range(2)))
    learner = Classifier.open(tiny_folder("bert"), PAIRS, place, 24)
    learner.reset(0)
    proposals = lambda condition, step: train.of(condition).examples  # noqa: E731
    target = RandomRows(train, 2, 0, mean_gradient)
    matching = Matching(learner, lambda learner, step: None, target, proposals, closed_form)
    before = [parameter.detach().clone() for parameter in generator.parameters()]
    similarities = list(match(generator, matching, AdamW(generator.parameters(), schedule), range(2), 0))
    assert all(loss > 0 for loss in losses) and all(abs(each) <= 1 + 1e-5 for each in similarities)
    moved = [not torch.equal(*pair) for pair in zip(before, generator.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2
    drafts = generator.sample(1, 20, torch.Generator().manual_seed(0))
    assert len(drafts) == 20 and all(len(draft.texts) == 2 and all(draft.texts) for draft in drafts if draft.finished)
