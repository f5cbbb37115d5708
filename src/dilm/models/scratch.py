"""Models made from the data alone, for machines without a hub: a tokenizer, a random GPT-2, a BERT warmed up.

Saved by `save`, they are ordinary model folders: a classifier, an encoder or a generator opens them by path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from dilm.errors import ModelError, RecipeError
from dilm.models.encodings import Encodings
from dilm.models.hub import quiet
from dilm.models.padding_free import PaddingFree
from dilm.models.quick import quickened
from dilm.runtime.batches import rows_of_step
from dilm.runtime.device import Place
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.progress import bar
from dilm.runtime.seeding import derive, seed_torch, torch_stream
from dilm.types import Example

SPECIAL = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "bos", "eos", "cls", "sep", "mask")}
POSITIONS = 512
"""Longest input, in tokens, of the models made here."""

WARM_UP_TOKENS = 64
MASKED = 0.15
"""Share of tokens to guess: of these 80 % are masked, 10 % replaced, 10 % left (BERT, Devlin et al. 2019, 3.1)."""


@dataclass(frozen=True)
class Size:
    """Shape of a transformer; its feed-forward layers are four times as wide."""

    layers: int
    width: int
    heads: int


@dataclass(frozen=True)
class WarmUp:
    """How long and how fast a masked language model is warmed up."""

    steps: int
    batch: int = 64
    lr: float = 1e-3


SIZES = {"tiny": Size(2, 64, 2), "mini": Size(2, 128, 4), "small": Size(4, 256, 4), "base": Size(8, 512, 8)}

Model = TypeVar("Model", bound=PreTrainedModel)


def named_size(name: str) -> Size:
    """The size of this name. Raises RecipeError for another.

    >>> named_size("small").width
    256
    """
    if name not in SIZES:
        raise RecipeError(f"There is no size {name!r} for a model from scratch.", f"Use one of {', '.join(SIZES)}.")
    return SIZES[name]


def train_tokenizer(texts: Iterable[str], vocabulary: int = 4000, kind: str = "causal") -> PreTrainedTokenizerFast:
    """Byte-level pair encoding learnt from the texts: any text can be read, and decoded as it was written.

    `causal`, for generators, keeps case and adds no tokens of its own. `masked`, for learners and encoders, lowers case
    and frames its input as `[CLS] a [SEP] b [SEP]`. The vocabulary holds the 256 bytes and 7 special tokens at least.
    """
    if kind not in ("causal", "masked"):
        raise RecipeError(f"There is no kind of tokenizer {kind!r}.", "Use `causal` or `masked`.")
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "masked")
    core.decoder = decoders.ByteLevel()
    if kind == "masked":
        core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return _framed(core) if kind == "masked" else _wrapped(core, ["input_ids", "attention_mask"])


def small_gpt2(tokenizer: PreTrainedTokenizerBase, size: Size, seed: int) -> GPT2LMHeadModel:
    """A GPT-2 with random weights drawn from `seed`: an untrained generator."""
    marks: dict[str, Any] = {
        f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("pad", "bos", "eos")
    }
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=POSITIONS,
        n_layer=size.layers,
        n_embd=size.width,
        n_head=size.heads,
        **marks,
    )
    return _drawn(GPT2LMHeadModel, config, seed)


def small_bert(tokenizer: PreTrainedTokenizerBase, size: Size, seed: int) -> BertForMaskedLM:
    """A BERT with random weights drawn from `seed`: the body of a learner, to be warmed up.

    Raises ModelError for a tokenizer that puts no token before the text: BERT pools the state of its first token.
    """
    if not tokenizer.num_special_tokens_to_add():
        raise ModelError("A BERT from scratch needs a tokenizer that frames its input.", 'Train it with kind="masked".')
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        num_hidden_layers=size.layers,
        hidden_size=size.width,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.width,
        pad_token_id=tokenizer.pad_token_id,  # type: ignore[arg-type]
    )
    return _drawn(BertForMaskedLM, config, seed)


def warm_up(
    model: BertForMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    wanted: WarmUp,
    seed: int,
    place: Place,
) -> list[dict[str, float]]:
    """Train `model` in place to guess masked tokens of unlabelled texts; returns its curve, one row per step.

    Each step draws its rows, masks and dropout from a stream of its own, so a text is masked anew at every visit.
    """
    examples = [Example((text,), 0) for text in texts]
    encodings, padding_free = Encodings(tokenizer, model, WARM_UP_TOKENS), PaddingFree(model)

    def loss(step: int) -> Tensor:
        chosen = rows_of_step(len(examples), step, wanted.batch, derive(seed, "warm_up"))
        batch = encodings.batch(encodings.rows([examples[row] for row in chosen]), torch.device("cpu"))
        batch["input_ids"], targets = mask_tokens(batch["input_ids"], tokenizer, torch_stream(seed, "masks", step))
        with padding_free(batch["attention_mask"]):
            return _masked_loss(model, batch, targets, place)

    return warmed(model, loss, wanted, seed, place)


def warmed(
    model: PreTrainedModel, loss: Callable[[int], Tensor], wanted: WarmUp, seed: int, place: Place
) -> list[dict[str, float]]:
    """Train `model` in place along the loss of each step; returns its curve. Dropout has a stream for each step."""
    model.to(place.device).train()  # type: ignore[arg-type]
    update = AdamW(model.parameters(), Schedule(wanted.steps, wanted.lr))
    curve: list[dict[str, float]] = []
    forked = [place.device] if place.device.type == "cuda" else []
    with torch.random.fork_rng(forked), bar("warm up", wanted.steps) as advance:
        for step in range(wanted.steps):
            seed_torch(seed, "dropout", step)
            value = update([loss(step)], 1)
            curve.append({"step": step, "loss": value, "rate": update.schedule.rate(step)})
            advance(loss=value)
    model.eval()
    return curve


def mask_tokens(tokens: Tensor, tokenizer: PreTrainedTokenizerBase, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tokens with some masked or replaced, and what was there: [n, T] -> [n, T], [n, T] (-1 where nothing is asked)."""
    special = torch.isin(tokens, torch.tensor(tokenizer.all_special_ids))
    asked = (torch.rand(tokens.shape, generator=rng) < MASKED) & ~special
    fate = torch.rand(tokens.shape, generator=rng)
    strangers = torch.randint(len(SPECIAL), len(tokenizer), tokens.shape, generator=rng)
    shown = tokens.masked_fill(asked & (fate < 0.8), tokenizer.mask_token_id)  # type: ignore[arg-type]
    shown = torch.where(asked & (fate >= 0.9), strangers, shown)
    return shown, tokens.masked_fill(~asked, -1)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write an ordinary transformers folder, which opens like any downloaded model."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _masked_loss(model: BertForMaskedLM, batch: dict[str, Tensor], targets: Tensor, place: Place) -> Tensor:
    """Mean cross-entropy of the asked tokens, 0 without any; only they go through the wide output layer."""
    asked = targets.to(place.device) >= 0
    with place.autocast():
        states = model.bert(**{name: values.to(place.device) for name, values in batch.items()}).last_hidden_state
        logits = model.cls(states[asked]).float()
    answers = targets.to(place.device)[asked]
    return nn.functional.cross_entropy(logits, answers, reduction="sum") / max(len(answers), 1)


def _framed(core: Tokenizer) -> PreTrainedTokenizerFast:
    """With BERT's frame around one text or two."""
    start, end = SPECIAL["cls_token"], SPECIAL["sep_token"]
    core.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(token, core.token_to_id(token)) for token in (start, end)],
    )
    return _wrapped(core, ["input_ids", "token_type_ids", "attention_mask"])


def _wrapped(core: Tokenizer, inputs: list[str]) -> PreTrainedTokenizerFast:
    # GPT-2 would add the embedding of token 0 to every word if it were handed segment numbers, so inputs are named.
    frame = {"model_input_names": inputs, "model_max_length": POSITIONS}
    return PreTrainedTokenizerFast(tokenizer_object=core, **frame, **SPECIAL)


def _drawn(architecture: type[Model], config: Any, seed: int) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "weights"))
        return quickened(architecture(config))
