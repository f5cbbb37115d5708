"""Writing by vLLM (Kwon et al. 2023): paged attention in a process of its own, for large generators on GPUs.

The same distribution as that of `sample_tokens`, other draws. vLLM reads weights from files, once: told to read others,
it keeps some of the old (docs/decisions/0004). So it writes for generators that are no longer trained: their pools.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from dilm.errors import ModelError
from dilm.models.causal import CausalGenerator, Writer
from dilm.models.decoders import inner
from dilm.models.form import Form
from dilm.models.hub import quiet
from dilm.models.instructed import Prompted
from dilm.models.merged import whole
from dilm.models.sampling import Fronted, Sampling
from dilm.runtime.device import Place
from dilm.runtime.workers import main_hidden

PROCESSOR = "dilm.models.vllm_form:FormProcessor"
PARENT = "DILM_VLLM_PARENT"
"""In the environment of vLLM's processes: who started them, and without whom they end."""
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",  # no reports to its makers
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the other takes logits processors of another kind
    "VLLM_DISABLE_COMPILE_CACHE": "1",  # which knows a model by its folder, and this one is gone tomorrow
}
"""What vLLM finds in the environment, unless the user said otherwise."""
BLOCK = 128
"""Tokens of a text for which memory is taken at once: vLLM's pages on a processor; on a GPU they are smaller."""
READ_AT_ONCE = 2048
"""Tokens, at least, that vLLM reads in a step: prompts."""
PROBE = 8
"""Tokens of the texts that show whether both programs hold the same model."""
EXACT = {False: 1e-2, True: 0.3}
"""Nats by which their odds of a token may differ: float32, bfloat16."""
SAID = 300
"""Characters that are repeated of what vLLM says of a fault."""
OTHERWISE = "Lower `generate.batch` where memory is short, or use `generate.sampler=torch`, which any generator can."


def require(model: Writer, place: Place) -> None:
    """Raise ModelError where vLLM is not installed, or cannot be asked to write with such a model in this place."""
    if importlib.util.find_spec("vllm") is None:
        raise ModelError("generate.sampler=vllm needs vllm, which is not installed.", "`pip install 'dilm[vllm]'`.")
    if not isinstance(model, PreTrainedModel | Prompted):
        raise ModelError("vLLM writes with causal language models, not with encoder-decoders.", OTHERWISE)
    if place.device.index:
        raise ModelError(f"vLLM writes on the first GPU, and this process uses {place.device}.", OTHERWISE)


def version() -> str:
    """Of the vLLM that is installed, whoever built it."""
    import vllm  # pyright: ignore[reportMissingImports] (an extra)

    return vllm.__version__


@contextmanager
def written_by_vllm(generator: CausalGenerator, folder: Path) -> Iterator[None]:
    """Within, vLLM writes the generator's texts, with the weights that it has on entering; `folder`, in which they lie
    meanwhile, must not be there. Raises ModelError where vLLM knows no such model, or reads it otherwise than it is."""
    require(generator.model, generator.place)
    generator.eval()
    prompts = [prompt_of(generator.model, condition) for condition in generator.conditions]
    before = generator.text_writer
    try:
        with Engine.opened(inner(generator.model), prompts, generator.sampling, generator.place, folder) as engine:
            generator.text_writer = engine
            yield
    finally:
        generator.text_writer = before
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Engine:
    """A `TextWriter`: vLLM at work."""

    llm: Any
    vllm: Any
    folder: Path

    @classmethod
    def opened(
        cls, model: PreTrainedModel, prompts: Sequence[list[int]], sampling: Sampling, place: Place, folder: Path
    ) -> Engine:
        """With a model's weights, which it puts into a folder, and room for texts behind each of the prompts."""
        with quiet():
            whole(model).save_pretrained(folder / "model")
        tokens = max(map(len, prompts)) + sampling.max_tokens + 1
        try:
            with _own_environment(), main_hidden():
                import vllm  # pyright: ignore[reportMissingImports] (an extra)

                asked = _settings(model, place, tokens, sampling.batch)
                engine = cls(vllm.LLM(model=str(folder / "model"), **asked), vllm, folder)
        except Exception as fault:  # of a process of its own, which may meet anything
            raise ModelError(f"vLLM cannot open this generator: {_said(fault)}", OTHERWISE) from fault
        with ExitStack() as ended:  # unless both read the model alike
            ended.enter_context(engine)
            for prompt in prompts:
                engine.compare(model, prompt, place)
            ended.pop_all()
        return engine

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.llm.llm_engine.engine_core.shutdown()  # its process, too

    def __call__(
        self,
        model: PreTrainedModel | Fronted,
        form: Form,
        n: int,
        sampling: Sampling,
        rng: torch.Generator,
        banned: Tensor,
    ) -> list[list[int]]:
        """As `sample_tokens`; `sampling.batch` texts side by side at most, or fewer as vLLM sees fit."""
        seeds = torch.randint(2**31, (n,), generator=rng).tolist()
        drawn = {"top_p": sampling.top_p, "top_k": sampling.top_k, "temperature": sampling.temperature}
        ends = {"max_tokens": sampling.max_tokens + 1, "stop_token_ids": [form.end]}
        shaped = {"extra_args": {"form": self._file(form, banned)}}
        answers = self._ask(prompt_of(model, form.start), [drawn | ends | shaped | {"seed": seed} for seed in seeds])
        return [list(answer.token_ids) for answer in answers]

    @torch.no_grad()
    def compare(self, model: PreTrainedModel, prompt: Sequence[int], place: Place) -> None:
        """Raise ModelError where vLLM and the model find the tokens of a likeliest text unlike."""
        (found,) = self._ask(prompt, [{"max_tokens": PROBE, "temperature": 0.0, "logprobs": 0}])
        tokens = list(found.token_ids)
        theirs = torch.tensor([told[token].logprob for token, told in zip(tokens, found.logprobs, strict=True)])
        read = torch.tensor([[*prompt, *tokens[:-1]]], device=model.device)
        with place.autocast():
            odds = model(input_ids=read).logits[0, len(prompt) - 1 :].float().log_softmax(-1).cpu()
        apart = float((odds[range(len(tokens)), tokens] - theirs).abs().max())
        if not apart <= EXACT[place.bf16]:
            raise ModelError(
                f"vLLM reads {type(model).__name__} otherwise than it is: odds of a token are {apart:.2g} nats off.",
                OTHERWISE,
            )

    def _ask(self, prompt: Sequence[int], wanted: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What is written behind a prompt, once for each set of parameters."""
        params = [self.vllm.SamplingParams(**each, ignore_eos=True, detokenize=False) for each in wanted]
        asked = [{"prompt_token_ids": list(prompt)} for _ in params]
        try:
            return [answer.outputs[0] for answer in self.llm.generate(asked, params, use_tqdm=False)]
        except Exception as fault:
            raise ModelError(f"vLLM cannot write with this generator: {_said(fault)}", OTHERWISE) from fault

    def _file(self, form: Form, banned: Tensor) -> str:
        """Where vLLM finds what a text may not be."""
        told = json.dumps(form._asdict() | {"blank": form.blank.tolist(), "banned": banned.tolist()})
        file = self.folder / f"{sha256(told.encode()).hexdigest()[:16]}.json"
        if not file.exists():
            file.write_text(told, encoding="utf-8")
        return str(file)


def prompt_of(model: PreTrainedModel | Fronted, condition: int) -> list[int]:
    """What is read before a text: the token of a class, or the prompt that its number stands for."""
    return model.prompts.before[condition] if isinstance(model, Prompted) else [condition]


@contextmanager
def _own_environment() -> Iterator[None]:
    """Within, what vLLM is to find in the environment. Its settings stay, for it reads them again; what it writes there
    does not."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    before = dict(os.environ)
    os.environ[PARENT] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _settings(model: PreTrainedModel, place: Place, tokens: int, texts: int) -> dict[str, Any]:
    """Of a vLLM for so many texts at once, of so many tokens with their prompts."""
    return {
        "skip_tokenizer_init": True,
        "dtype": "bfloat16" if place.bf16 else "float32",
        "max_model_len": tokens,
        "max_num_seqs": texts,
        "max_num_batched_tokens": max(READ_AT_ONCE, tokens, texts),
        "kv_cache_memory_bytes": _cache_bytes(model, tokens, texts, 2 if place.bf16 else 4),
        "gpu_memory_utilization": 0.01,  # asked of a GPU before anything else, and overruled by the line above
        "enforce_eager": place.device.type == "cpu",  # compiling takes a processor longer than it saves
        "async_scheduling": False,  # the form of a text is known from its tokens
        "logits_processors": [PROCESSOR],
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }


def _cache_bytes(model: PreTrainedModel, tokens: int, texts: int, each: int) -> int:
    """Of the keys and values of so many texts, numbers of `each` bytes; a page more for every text."""
    told: Any = model.config.get_text_config(decoder=True)
    heads = getattr(told, "num_key_value_heads", None) or told.num_attention_heads
    width = getattr(told, "head_dim", None) or told.hidden_size // told.num_attention_heads
    pages = -(-tokens // BLOCK) + 1
    return 2 * told.num_hidden_layers * heads * width * each * pages * BLOCK * texts


def _said(fault: Exception) -> str:
    """The beginning of its words; the first line alone often says nothing."""
    return " ".join(str(fault).split())[:SAID]
