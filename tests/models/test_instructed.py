"""Chat models as generators: what they read is the prompt, what counts is the text behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import PAIRS, TASK, rough, rows, tiny_tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from dilm.errors import ModelError
from dilm.models.causal import CausalGenerator
from dilm.models.decoders import open_causal_model
from dilm.models.form import Form
from dilm.models.instructed import Asking, Prompted, Prompts, prompts_for
from dilm.models.sampling import Sampling, sample_tokens
from dilm.runtime.device import Place
from dilm.types import Example

CHAT = (
    "{% for m in messages %}{{ bos_token + m['role'] + '\n' + m['content'] + sep_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ bos_token + 'assistant\n' }}{% endif %}"
)
ASKING = Asking(
    "say {label} of {task}",
    "be brief",
    ((Example(("slow", "far"), 0), Example(("dull and long", "no"), 0)), (Example(("warm", "a plot"), 1),)),
)
KINDS = ("gpt2", "llama", "qwen2", "opt")
Opener = Callable[..., CausalGenerator]


def chatty(kind: str = "gpt2") -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer(kind)
    tokenizer.chat_template = CHAT
    return tokenizer


@pytest.fixture
def opened(tiny_folder: Callable[[str], str], place: Place) -> Opener:
    def opener(kind: str, asking: Asking = ASKING) -> CausalGenerator:
        tokenizer, model = chatty(kind), open_causal_model(tiny_folder(kind))
        model.config.max_position_embeddings = 400  # of those without a table of positions
        if kind in ("gpt2", "opt"):
            model = longer(model)
        generator = CausalGenerator(
            Prompted(rough(model), prompts_for(tokenizer, PAIRS, asking)), tokenizer, PAIRS, place
        )
        generator.likelihood = "sum"
        generator.eval()
        return generator

    return opener


def longer(model: PreTrainedModel) -> PreTrainedModel:
    """The same architecture with more positions."""
    torch.manual_seed(0)
    return type(model)(type(model.config)(**(model.config.to_dict() | {"max_position_embeddings": 400})))


def test_demonstrations_are_answers_to_the_same_request():
    tokenizer = chatty()
    prompts = prompts_for(tokenizer, PAIRS, ASKING)
    start, end = tokenizer.bos_token, tokenizer.sep_token
    assert tokenizer.decode(prompts.before[0]) == (
        f"{start}system\nbe brief{end}"
        f"{start}user\nsay no of pairs{end}{start}assistant\nslow\nfar{end}"
        f"{start}user\nsay no of pairs{end}{start}assistant\ndull and long\nno{end}"
        f"{start}user\nsay no of pairs{end}{start}assistant\n"
    )
    assert "say yes of pairs" in tokenizer.decode(prompts.before[1])
    assert prompts.end == tokenizer.sep_token_id != tokenizer.eos_token_id  # that of a turn, not of a text
    assert prompts.separator == tokenizer("\n", add_special_tokens=False)["input_ids"][0]
    assert ["warm", "a plot"] in prompts.shown and len(prompts.shown) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_likelihood_is_that_of_the_answer_alone(opened: Opener, kind: str):
    """Prompts of other lengths beside it change nothing."""
    generator, examples = opened(kind), rows(PAIRS)
    prompts = generator.model.prompts
    assert len({len(each) for each in prompts.before}) == 2
    for nll, example in zip(generator.nll(examples), examples, strict=True):
        text = generator._tokens(example)[1:]
        read = [*prompts.before[example.label], *text]
        told = generator.model.inner(input_ids=torch.tensor([read])).logits[0, -len(text) - 1 : -1].log_softmax(-1)
        torch.testing.assert_close(nll, -told.gather(1, torch.tensor(text)[:, None]).sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_greedy_limit_is_what_transformers_writes(opened: Opener, kind: str):
    generator = opened(kind)
    prompt = torch.tensor([generator.model.prompts.before[1]])
    greedy = Sampling(top_k=1, max_tokens=20, batch=2)
    none = torch.tensor([], dtype=torch.long)
    stream = torch.Generator().manual_seed(0)
    ours = sample_tokens(generator.model, Form(1, 7), 3, greedy, stream, none)
    settings = {"do_sample": False, "max_new_tokens": 21, "eos_token_id": 7, "pad_token_id": 0}
    theirs = generator.model.inner.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
    assert ours == [theirs[0, prompt.shape[1] :].tolist()] * 3 and len(ours[0]) > 3


def test_fields_stand_on_lines_and_no_token_is_added(opened: Opener):
    generator = opened("gpt2")
    table = generator.model.inner.get_input_embeddings().weight
    assert len(table) == len(generator.tokenizer) and not generator.frame.new
    drafts = generator.sample(0, 40, torch.Generator().manual_seed(0))
    assert all(len(draft.texts) == 2 and all(draft.texts) for draft in drafts if draft.finished)
    example = Example(("a warm heart", "no"), 1)
    assert generator._draft(generator._tokens(example)[1:]).texts == example.texts
    before = table.detach().clone()
    generator.name_classes()
    assert torch.equal(table, before)  # the prompt names them


def test_prompts_count_where_memory_is_shared_out(opened: Opener):
    generator = opened("gpt2")
    short = generator._widths([generator._tokens(Example(("no", "no"), 1))])[0]
    assert short == len(generator.model.prompts.before[1]) + len(generator._tokens(Example(("no", "no"), 1)))
    assert generator.task.max_tokens <= 400 - max(map(len, generator.model.prompts.before)) - 2


def test_what_is_not_trained_is_not_saved_but_for_its_prompts(opened: Opener, tmp_path: Path):
    generator = opened("gpt2")
    generator.model.inner.requires_grad_(False)
    generator.save(tmp_path)
    assert not (tmp_path / "config.json").exists()
    assert Prompts.read(tmp_path) == generator.model.prompts
    generator.model.inner.requires_grad_(True)
    generator.save(tmp_path)
    assert (tmp_path / "model.safetensors").exists()


def test_a_model_without_chat_template_is_told():
    with pytest.raises(ModelError, match=r"no chat template.*leave instruct\.ask empty"):
        prompts_for(tiny_tokenizer("gpt2"), TASK, Asking("write"))


def test_a_template_that_refuses_is_told():
    tokenizer = chatty()
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(ModelError, match=r"System role not supported.*instruct\.system"):
        prompts_for(tokenizer, TASK, Asking("write", "be brief"))


def test_gradients_of_single_rows_cannot_be_told(opened: Opener):
    with pytest.raises(ModelError, match="chat models"):
        opened("gpt2").read_at_once()
