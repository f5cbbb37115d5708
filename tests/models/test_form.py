"""What breaks the form of a text cannot be drawn; what keeps it is drawn as often as the model says, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from odds import assert_as_often, sentences
from tiny_models import PAIRS, TASK, rough
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from dilm.distillation.generate import judge
from dilm.models.causal import CausalGenerator
from dilm.models.form import Form, Progress
from dilm.models.sampling import Sampling, sample_tokens
from dilm.runtime.device import Place
from dilm.types import Task

START, END, SEPARATOR, BLANK = 0, 1, 2, 4
NONE = torch.tensor([], dtype=torch.long)
FORM = Form(START, END, SEPARATOR, 2, torch.tensor([BLANK]))
ROADS = ["growing", "ring"]


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def letters() -> PreTrainedModel:
    torch.manual_seed(0)
    return rough(GPT2LMHeadModel(GPT2Config(vocab_size=5, n_positions=32, n_embd=16, n_layer=2, n_head=2)))


def may_follow(prefix: tuple[int, ...], token: int) -> bool:
    """The form, said once more: two fields, each with a token that is not blank."""
    fields: list[list[int]] = [[]]
    for written in prefix:
        if written == SEPARATOR:
            fields.append([])
        else:
            fields[-1].append(written)
    shows = any(written != BLANK for written in fields[-1])
    if token == END:
        return len(fields) == 2 and shows
    return token != SEPARATOR or (len(fields) == 1 and shows)


@pytest.mark.parametrize("road", ROADS)
def test_texts_of_two_fields_come_as_often_as_the_model_says(letters: PreTrainedModel, road: str):
    """On the ring most texts are written in rows that held others before."""
    sampling = Sampling(top_p=1.0, max_tokens=4, batch=1500, road=road)
    texts = sample_tokens(letters, FORM, 6000, sampling, stream(), NONE)
    assert len(texts) == 6000
    assert_as_often(texts, sentences(letters, FORM, 5, may_follow))


def test_without_a_form_the_model_breaks_it(letters: PreTrainedModel):
    texts = sample_tokens(letters, Form(START, END), 300, Sampling(top_p=1.0, max_tokens=6), stream(), NONE)
    assert any(not may_follow(tuple(text[:at]), text[at]) for text in texts for at in range(len(text)))


def test_progress_follows_its_rows():
    progress = Progress(FORM, 3, torch.device("cpu"))
    progress.note(torch.tensor([3, 3, BLANK]))
    progress.note(torch.tensor([SEPARATOR, 3, BLANK]))
    progress.renew(torch.tensor([1]))
    progress.keep(torch.tensor([0, 2, 1]))
    progress.note(torch.tensor([3, 3, 3]))
    progress.keep(torch.tensor([0, 2]))
    logits = torch.zeros(2, 5)
    progress.forbid(logits)
    assert logits.isinf().nonzero().tolist() == [[0, SEPARATOR], [1, END]]


@given(st.lists(st.lists(st.sampled_from([SEPARATOR, 3, BLANK]), max_size=6), min_size=1, max_size=4))
def test_progress_can_be_told_from_what_was_written(texts: list[list[int]]):
    """As if token by token had been noted."""
    told = Progress.after(FORM, texts, torch.device("cpu"))
    for row, text in enumerate(texts):
        noted = Progress(FORM, 1, torch.device("cpu"))
        for token in text:
            noted.note(torch.tensor([token]))
        assert (told.closed[row], told.shown[row]) == (noted.closed[0], noted.shown[0])


def hasty(generator: CausalGenerator) -> CausalGenerator:
    """Untrained, but so fond of ends, separators and white space that most texts would break the form."""
    model = generator.model
    head = torch.nn.Linear(model.config.n_embd, len(generator.tokenizer))
    space = generator.tokenizer.convert_tokens_to_ids("Ġ")
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.bias[[generator.end, generator.separator, space]] = torch.tensor(len(head.bias) / 2).log()
    model.lm_head = head
    generator.sampling = Sampling(top_p=1.0, max_tokens=30)
    return generator


@pytest.mark.parametrize("task", [TASK, PAIRS, Task("triples", ("one", "two", "three"), ("no", "yes"))])
def test_no_text_of_an_untrained_generator_is_malformed(tiny_folder: Callable[[str], str], place: Place, task: Task):
    generator = hasty(CausalGenerator.open(tiny_folder("gpt2"), task, place))
    drafts = generator.sample(1, 300, stream())
    verdicts = Counter(judge(draft, task) for draft in drafts)
    assert set(verdicts) <= {"kept", "too long"}
    assert verdicts["kept"] > 200
    assert all(len(draft.texts) == len(task.fields) for draft in drafts if draft.finished)


def test_a_text_that_reaches_the_limit_is_unfinished_and_not_forced_into_form(letters: PreTrainedModel):
    with torch.no_grad():
        texts = sample_tokens(letters, FORM, 300, Sampling(top_p=1.0, max_tokens=3), stream(), NONE)
    assert {len(text) for text in texts} == {4}  # the shortest finished one: x, separator, y, end
    assert {text[-1] == END for text in texts} == {True, False}
