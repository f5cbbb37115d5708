"""Sampling by vLLM (Kwon et al. 2023): paged attention in a process of its own, for large generators on GPUs.

The same distribution as that of `sample_tokens`, other draws. vLLM reads weights from files, so they are written anew
when they have changed, and each time one likeliest text shows whether both programs hold the same model.
"""

from __future__ import annotations

import json
import logging
import os
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from dilm.errors import ModelError
from dilm.models.decoders import inner
from dilm.models.form import Form
from dilm.models.hub import quiet
from dilm.models.instructed import Prompted
from dilm.models.merged import whole
from dilm.models.sampling import Fronted, Sampling
from dilm.runtime import memory
from dilm.runtime.device import Place

log = logging.getLogger(__name__)

PROCESSOR = "dilm.models.vllm_form:FormProcessor"
BLOCK = 128
"""Tokens of a text for which memory is taken at once, at most: vLLM's pages on a CPU; on a GPU they are smaller."""
SAID = 300
"""Characters that are repeated of what vLLM says of a fault."""
PROBE = 8
"""Tokens of the text that shows whether both hold the same model."""
EXACT = {False: 1e-2, True: 0.3}
"""Nats by which their odds of a token may differ: float32, bfloat16. Of another model they would be nats apart."""
QUIET = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_USE_V2_MODEL_RUNNER": "0"}
"""What vLLM finds in the environment unless the user said otherwise: no chatter, no reports to its makers, and the
runner whose logits processors are those of `vllm_form`."""
OTHERWISE = "Use `generate.sampler=torch`, which writes with any generator."


class Engine:
    """A `TextWriter`: vLLM, opened when it first writes, with the weights that a model has whenever it writes."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.writings = 0
        """How often weights were written."""
        self.known: tuple[Any, ...] = ()
        """Which weights vLLM has."""
        self.room: tuple[int, int] = (0, 0)
        """Tokens of a text and its prompt, and texts at once, that it was opened for."""
        self.llm: Any = None

    def __call__(
        self,
        model: PreTrainedModel | Fronted,
        form: Form,
        n: int,
        sampling: Sampling,
        rng: torch.Generator,
        banned: Tensor,
    ) -> list[list[int]]:
        """As `sample_tokens`, on the rows that vLLM sees fit, `sampling.batch` at most."""
        prompt = _prompt(model, form)
        self._prepare(model, len(prompt) + sampling.max_tokens + 1, sampling.batch)
        file = self._written(form, banned)
        seeds = torch.randint(2**31, (n,), generator=rng).tolist()
        drawn = {"top_p": sampling.top_p, "top_k": sampling.top_k, "temperature": sampling.temperature}
        ends = {"max_tokens": sampling.max_tokens + 1, "stop_token_ids": [form.end], "extra_args": {"form": file}}
        answers = self._ask(prompt, [drawn | ends | {"seed": seed} for seed in seeds])
        return [list(answer.outputs[0].token_ids) for answer in answers]

    @cached_property
    def folder(self) -> TemporaryDirectory[str]:
        """Where weights and forms are written for vLLM; gone when this object is."""
        return TemporaryDirectory(prefix="dilm-vllm-")

    def close(self) -> None:
        """End vLLM's process; the next text would begin another."""
        self.llm, self.known, self.room = None, (), (0, 0)
        memory.give_back()  # which also ends what nobody needs

    def _ask(self, prompt: list[int], wanted: list[dict[str, Any]]) -> list[Any]:
        params = [self._vllm.SamplingParams(**each, ignore_eos=True, detokenize=False) for each in wanted]
        try:
            return self.llm.generate([{"prompt_token_ids": prompt}] * len(params), params, use_tqdm=False)
        except Exception as fault:
            raise ModelError(f"vLLM cannot write with this generator: {_said(fault)}", OTHERWISE) from fault

    def _prepare(self, model: PreTrainedModel | Fronted, tokens: int, texts: int) -> None:
        """Open vLLM, or anew where there is too little room, and let it read weights that it does not know."""
        wide = self.room[0] >= tokens and self.room[1] >= texts
        known = _known(model)
        if wide and known == self.known:
            return
        folder = self._saved(model)
        if not (wide and self._read_anew(folder, inner(model))):  # type: ignore[arg-type]
            self.room = (max(tokens, self.room[0]), max(texts, self.room[1]))
            self.llm = None  # the old one ends before the new one begins
            memory.give_back()
            self.llm = self._opened(folder, inner(model))  # type: ignore[arg-type]
            self._require_same(inner(model))  # type: ignore[arg-type]
        self.known = known

    def _read_anew(self, folder: Path, model: PreTrainedModel) -> bool:
        """Whether vLLM took other weights in the place of those that it had; on a CPU it keeps some of the old."""
        if self.llm is None:
            return False
        try:
            self.llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
            self.llm.reset_prefix_cache()
        except Exception as fault:  # of a process of its own, which may meet anything
            log.info("vLLM reads no other weights: %s", _said(fault))
            return False
        return self._apart(model) <= EXACT[self.place.bf16]

    def _saved(self, model: PreTrainedModel | Fronted) -> Path:
        """Where its weights lie now, as an ordinary model's."""
        self.writings += 1
        folder = Path(self.folder.name) / f"weights-{self.writings}"
        with quiet():
            whole(inner(model)).save_pretrained(folder)  # type: ignore[arg-type]
        for older in Path(self.folder.name).glob("weights-*/*.safetensors"):
            if older.parent != folder:
                older.unlink()
        return folder

    def _opened(self, folder: Path, model: PreTrainedModel) -> Any:
        tokens, texts = self.room
        on_cpu = self.place.device.type == "cpu"
        try:
            return self._vllm.LLM(
                model=str(folder),
                skip_tokenizer_init=True,
                dtype="bfloat16" if self.place.bf16 else "float32",
                max_model_len=tokens,
                max_num_seqs=texts,
                kv_cache_memory_bytes=_cache_bytes(model, tokens, texts, 2 if self.place.bf16 else 4),
                enforce_eager=on_cpu,  # compiling takes a CPU longer than it saves
                async_scheduling=False,  # the form of a text is known from its tokens
                logits_processors=[PROCESSOR],
                disable_log_stats=True,
                use_tqdm_on_load=False,
            )
        except Exception as fault:
            raise ModelError(f"vLLM cannot open this generator: {_said(fault)}", OTHERWISE) from fault

    def _require_same(self, model: PreTrainedModel) -> None:
        """Raise ModelError where vLLM holds another model."""
        apart = self._apart(model)
        if not apart <= EXACT[self.place.bf16]:
            raise ModelError(
                f"vLLM reads {type(model).__name__} otherwise than it is: odds of a token are {apart:.2g} nats off.",
                OTHERWISE,
            )

    @torch.no_grad()
    def _apart(self, model: PreTrainedModel) -> float:
        """Nats by which vLLM's odds of a token of a likeliest text differ from the model's own, at most."""
        start = [1]
        found = self._ask(start, [{"max_tokens": PROBE, "temperature": 0.0, "logprobs": 0}])[0].outputs[0]
        tokens = list(found.token_ids)
        theirs = torch.tensor([told[token].logprob for token, told in zip(tokens, found.logprobs, strict=True)])
        read = torch.tensor([start + tokens[:-1]], device=model.device)
        model.eval()
        with self.place.autocast():
            odds = model(input_ids=read).logits[0].float().log_softmax(-1).cpu()
        apart = float((odds[range(len(tokens)), tokens] - theirs).abs().max())
        log.info("vLLM's odds of %d tokens are at most %.2g nats from the generator's own", len(tokens), apart)
        return apart

    def _written(self, form: Form, banned: Tensor) -> str:
        """Where vLLM finds what a text may not be."""
        file = Path(self.folder.name) / f"form-{form.start}.json"
        told = form._asdict() | {"blank": form.blank.tolist(), "banned": banned.tolist()}
        file.write_text(json.dumps(told), encoding="utf-8")
        return str(file)

    @cached_property
    def _vllm(self) -> Any:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            import vllm  # pyright: ignore[reportMissingImports] (an extra)
        except ImportError as fault:
            raise ModelError("vLLM is not installed.", f"`pip install 'dilm[vllm]'`. {OTHERWISE}") from fault
        from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

        theirs, ours = current_platform.device_type, self.place.device
        if theirs != ours.type or ours.index:
            raise ModelError(f"This vLLM writes on {theirs}:0, and the run uses {ours}.", OTHERWISE)
        return vllm


def _said(fault: Exception) -> str:
    """The beginning of its words; the first line alone often says nothing."""
    return " ".join(str(fault).split())[:SAID]


def _prompt(model: PreTrainedModel | Fronted, form: Form) -> list[int]:
    """What is read before a text. Raises ModelError for a model that vLLM does not know how to ask."""
    if isinstance(model, Prompted):
        return model.prompts.before[form.start]
    if isinstance(model, PreTrainedModel):
        return [form.start]
    raise ModelError("vLLM writes with causal language models, not with encoder-decoders.", OTHERWISE)


def _known(model: PreTrainedModel | Fronted) -> tuple[Any, ...]:
    """What changes whenever a weight does, in place or by another tensor in its place."""
    weights = inner(model).parameters()  # type: ignore[arg-type]
    return id(model), *((weight.data_ptr(), weight._version) for weight in weights)


def _cache_bytes(model: PreTrainedModel, tokens: int, texts: int, each: int) -> int:
    """Of the keys and values of so many texts, numbers of `each` bytes; a page more for every text."""
    told: Any = model.config.get_text_config(decoder=True)
    heads = getattr(told, "num_key_value_heads", None) or told.num_attention_heads
    width = getattr(told, "head_dim", None) or told.hidden_size // told.num_attention_heads
    pages = -(-tokens // BLOCK) + 1
    return 2 * told.num_hidden_layers * heads * width * each * pages * BLOCK * texts
