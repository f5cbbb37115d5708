"""A table cut down to the rows in use trains to the same weights as the whole one."""

from __future__ import annotations

import pytest
import torch
from tiny_models import TASK, rows
from torch import nn

from dilm.evaluation.finetune import finetune
from dilm.models import lean
from dilm.models.classifier import Classifier
from dilm.models.lean import can_be_cut, only_rows
from dilm.runtime.optimize import AdamW, Schedule
from dilm.types import Dataset

SCHEDULE = Schedule(12, 1e-2, warmup=0.5, weight_decay=0.1)


@pytest.mark.parametrize(
    "kind", ["bert", "gpt2", "roberta", "xlnet", "distilbert", "deberta-v2", "modernbert", "llama"]
)
def test_training_with_few_rows_is_training_with_all(tiny_folder, place, kind: str, monkeypatch: pytest.MonkeyPatch):
    data, found = Dataset(TASK, list(rows(TASK))[:4]), []
    for share in (0.0, 1.1):  # never, always
        monkeypatch.setattr(lean, "WORTH_IT", share)
        learner = Classifier.open(tiny_folder(kind), TASK, place)
        table = learner.model.get_input_embeddings()
        whole = len(table.weight)
        with learner.reading_only(data, 1.0):
            assert (len(table.weight) < whole) == (share > 0)
        finetune(learner, data, SCHEDULE, 4, 0)
        assert len(table.weight) == whole and not table._forward_pre_hooks
        found.append(learner.snapshot())
    plain, cut = found
    assert plain.keys() == cut.keys()
    for name, weight in plain.items():
        assert torch.allclose(weight, cut[name], atol=2e-5), name


def test_rows_that_are_not_used_only_decay():
    table = nn.Embedding(10, 4, padding_idx=0)
    before = table.weight.detach().clone()
    with only_rows(table, torch.tensor([3, 7]), SCHEDULE.kept):
        update = AdamW(table.parameters(), SCHEDULE)
        for _ in range(SCHEDULE.steps):
            update([table(torch.tensor([3, 7, 0])).square().sum()], 1)
    others = [0, 1, 2, 4, 5, 6, 8, 9]
    assert table.weight.shape == (10, 4) and table.padding_idx == 0
    assert torch.allclose(table.weight[others], before[others] * SCHEDULE.kept)
    assert (table.weight[[3, 7]] - before[[3, 7]]).abs().min() > 1e-3
    assert 0.9 < SCHEDULE.kept < 1


def test_a_table_that_is_shared_or_mostly_in_use_stays_whole():
    model = nn.ModuleDict({"table": nn.Embedding(10, 4), "head": nn.Linear(4, 10, bias=False)})
    assert can_be_cut(model, model["table"], torch.tensor([1, 2]))
    assert not can_be_cut(model, model["table"], torch.arange(9))
    model["head"].weight = model["table"].weight
    assert not can_be_cut(model, model["table"], torch.tensor([1, 2]))
