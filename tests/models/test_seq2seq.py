"""Encoder-decoders: what the encoder reads and the decoder writes is what transformers itself says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from odds import assert_as_often, sentences
from tiny_models import PAIRS, TASK, rough, rows
from transformers import AutoModelForSeq2SeqLM, T5Config

from dilm.errors import ModelError
from dilm.models.causal import CausalGenerator
from dilm.models.form import Form
from dilm.models.sampling import Sampling, sample_tokens
from dilm.models.seq2seq import Conditioned
from dilm.runtime.device import Place
from dilm.types import Example

KINDS = ("t5", "bart")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def opened(tiny_folder: Callable[[str], str], place: Place) -> Callable[..., CausalGenerator]:
    def opener(kind: str, task=PAIRS) -> CausalGenerator:
        generator = CausalGenerator.open(tiny_folder(kind), task, place)
        rough(generator.model.inner)
        generator.likelihood = "sum"
        generator.eval()
        return generator

    return opener


def encoder_input(generator: CausalGenerator, condition: int) -> torch.Tensor:
    """Start where the tokenizer has one, condition, end."""
    tokenizer = generator.tokenizer
    start = [token for token in (tokenizer.bos_token_id, tokenizer.cls_token_id) if token is not None][:1]
    return torch.tensor([[*start, generator.conditions[condition], tokenizer.eos_token_id]])


@pytest.mark.parametrize("kind", KINDS)
def test_the_likelihood_is_transformers_own_loss_and_the_sum_of_token_log_probabilities(opened, kind: str):
    generator, examples = opened(kind), rows(PAIRS)
    model, ours = generator.model.inner, generator.nll(examples)
    assert {generator.separator, generator.end} <= {token for each in examples for token in generator._tokens(each)}
    assert isinstance(generator.model, Conditioned) and not generator.model.training
    for nll, example in zip(ours, examples, strict=True):
        text = torch.tensor([generator._tokens(example)[1:]])
        read = encoder_input(generator, example.label)
        theirs = model(input_ids=read, labels=text).loss * text.shape[1]
        shifted = torch.cat([torch.tensor([[model.config.decoder_start_token_id]]), text[:, :-1]], 1)
        told = model(input_ids=read, decoder_input_ids=shifted).logits.log_softmax(-1)
        torch.testing.assert_close(nll, theirs, **CLOSE)
        torch.testing.assert_close(nll, -told[0].gather(1, text[0, :, None]).sum(), **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_neighbours_and_activations_computed_again_change_nothing(opened, kind: str):
    generator, examples = opened(kind), rows(PAIRS)
    nll = generator.nll(examples)
    torch.testing.assert_close(torch.cat([generator.nll([example]) for example in examples]), nll, **CLOSE)
    torch.testing.assert_close(torch.stack([each.sum() for each in generator.token_nlls(examples)]), nll, **CLOSE)
    plain = torch.autograd.grad(nll.square().sum(), list(generator.parameters()), allow_unused=True)
    generator.recompute = True
    again = torch.autograd.grad(generator.nll(examples).square().sum(), list(generator.parameters()), allow_unused=True)
    assert all(one is other or torch.equal(one, other) for one, other in zip(plain, again, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_condition_stands_in_the_encoder(opened, kind: str):
    """Another class is another nll; the decoder begins with its own token whatever the class."""
    generator = opened(kind)
    one, other = generator.nll([Example(("no", "no"), 0), Example(("no", "no"), 1)]).tolist()
    with torch.no_grad():
        generator.model.inner.get_input_embeddings().weight[generator.conditions[1]] += torch.randn(16)
    same, moved = generator.nll([Example(("no", "no"), 0), Example(("no", "no"), 1)]).tolist()
    assert abs(same - one) < 0.1 < abs(moved - other)  # it is among the words that could follow, too


@pytest.mark.parametrize("kind", KINDS)
def test_the_greedy_limit_is_what_transformers_writes(opened, kind: str):
    generator = opened(kind, TASK)
    model, read = generator.model.inner, encoder_input(generator, 1)
    form, greedy = Form(generator.conditions[1], generator.end), Sampling(top_k=1, max_tokens=20, batch=2)
    none = torch.tensor([], dtype=torch.long)
    ours = sample_tokens(generator.model, form, 3, greedy, torch.Generator().manual_seed(0), none)
    settings = {"do_sample": False, "max_new_tokens": 21, "num_beams": 1, "eos_token_id": generator.end}
    model.generation_config.forced_eos_token_id = None  # BART's habit at the longest text
    theirs = model.generate(read, attention_mask=torch.ones_like(read), pad_token_id=0, **settings)
    assert ours == [theirs[0, 1:].tolist()] * 3 and len(ours[0]) > 3


def test_texts_come_as_often_as_the_model_says():
    """Rows that end leave: whoever remains must keep its own cache, and what the encoder told it."""
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(T5Config(vocab_size=5, pad_token_id=0, eos_token_id=1, **shape))
    front = Conditioned(rough(model), [], [1])
    texts = sample_tokens(
        front,
        Form(3, 1),
        6000,
        Sampling(top_p=1.0, max_tokens=3, batch=1500),
        torch.Generator().manual_seed(0),
        torch.tensor([], dtype=torch.long),
    )
    assert_as_often(texts, sentences(front, Form(3, 1), 4))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_opens_with_the_same_likelihoods(opened, place: Place, tmp_path: Path, kind: str):
    generator = opened(kind)
    generator.save(tmp_path)
    again = CausalGenerator.open(str(tmp_path), PAIRS, place)
    again.likelihood = "sum"
    again.eval()
    assert again.conditions == generator.conditions
    torch.testing.assert_close(again.nll(rows(PAIRS)), generator.nll(rows(PAIRS)), rtol=1e-6, atol=1e-6)


def test_gradients_of_single_rows_cannot_be_told(opened):
    with pytest.raises(ModelError, match="causal language model under differential privacy"):
        opened("t5").read_at_once()
