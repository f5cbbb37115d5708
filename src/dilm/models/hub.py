"""Models by name: a hub id or a local folder, and one clear paragraph when neither can be opened.

A hub id is first turned into a folder of the local cache, in one request. Everything after that reads files only, so a
machine without network learns so at once, instead of after the retries of every single file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import errors, snapshot_download
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging

from dilm.errors import DilmError, ModelError, ResourceError, first_line
from dilm.models.quick import quickened
from dilm.runtime.hashing import folder_key

DESCRIPTION = ("*.json", "*.txt", "*.model", "*.bpe", "*.codes", "*.tiktoken", "*.jinja")
"""Files that describe a model and its tokenizer."""

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""Files of weights, best first; the second is fetched only where the first does not exist."""

WITHOUT_HUB = "or use `scratch` (a learner) or `scratch:small` (a generator), which are made from your data alone."

Opened = TypeVar("Opened")


def open_config(name: str) -> PreTrainedConfig:
    """The architecture of a model. Raises ModelError or ResourceError."""
    folder = _folder(name, DESCRIPTION)
    return _opened(name, lambda: AutoConfig.from_pretrained(folder))


def open_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model. Raises ModelError or ResourceError."""
    folder = _folder(name, DESCRIPTION)
    return _opened(name, lambda: AutoTokenizer.from_pretrained(folder))


def open_model(auto_class: Any, name: str, **options: Any) -> Any:
    """`auto_class.from_pretrained`, with float32 weights whatever they were saved in, unless `options` say else, and
    with quicker parts. Raises ModelError or ResourceError."""
    folder = _folder(name, (*DESCRIPTION, WEIGHTS[0]))
    if not any(folder.glob(WEIGHTS[0])):
        folder = _folder(name, (*DESCRIPTION, *WEIGHTS))
    return _opened(name, lambda: _loaded(auto_class, folder, {"dtype": torch.float32, **options}))


def first_layers(name: str, layers: int) -> dict[str, int]:
    """Options of `open_model` that open only a model's first `layers` layers, all where that is 0.

    Raises ModelError where the model has fewer.
    """
    if not layers:
        return {}
    found = getattr(open_config(name), "num_hidden_layers", None)
    if not isinstance(found, int) or layers > found:
        raise ModelError(
            f"{name!r} has {found or 'no countable'} layers, but its first {layers} were asked for.",
            "Ask for fewer layers, or for the whole model.",
        )
    return {"num_hidden_layers": layers}


def identity(name: str) -> str:
    """What a stage key says of a model: the content of a local folder, or the hub id itself."""
    return folder_key(Path(name).expanduser()) if _is_model_folder(Path(name).expanduser()) else name


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' loading bars, and without its warning that a head is new: here it always is."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _is_model_folder(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _folder(name: str, files: tuple[str, ...]) -> Path:
    """Where the files of a model lie. A folder counts only with a config.json, so a stray `./gpt2` hides no hub id."""
    local = Path(name).expanduser()
    if _is_model_folder(local):
        return local
    try:
        return Path(snapshot_download(name, allow_patterns=list(files), ignore_patterns=["*/*"]))
    except Exception as fault:  # the hub's client, its HTTP library and the disk each have errors of their own
        raise (_no_model_in(local) if local.is_dir() else _not_fetched(name, fault)) from fault


def _no_model_in(folder: Path) -> DilmError:
    return ModelError(
        f"The folder {str(folder)!r} holds no config.json, so it is no model; nor can a hub model of this name be had.",
        "A model folder holds config.json, model.safetensors, tokenizer.json and tokenizer_config.json, "
        "as `save_pretrained` of transformers writes them.",
    )


def _not_fetched(name: str, fault: Exception) -> DilmError:
    """The error that a user can act on, from what the hub's client raised."""
    match fault:
        case errors.HFValidationError():
            return ModelError(f"{name!r} is neither a folder nor a hub id.", "Check the path, or say `owner/model`.")
        case errors.GatedRepoError():
            return ModelError(
                f"{name!r} is given only to those who accepted its terms.",
                f"Accept them at its page on the hub, then run `huggingface-cli login`; {WITHOUT_HUB}",
            )
        case errors.RepositoryNotFoundError():
            return ModelError(
                f"There is no folder {name!r} here, and the hub shows no model of this name.",
                "Check the spelling; for a private model run `huggingface-cli login`.",
            )
        case errors.LocalEntryNotFoundError():
            return ResourceError(
                f"{name!r} is not in the local cache, and the hub cannot be reached.",
                f"Download it on a connected machine, copy it and pass the folder; {WITHOUT_HUB}",
            )
    problem = f"{name!r} could not be fetched: {first_line(fault)}"
    return ResourceError(problem, f"Try again, or pass a local folder; {WITHOUT_HUB}")


def _opened(name: str, opening: Callable[[], Opened]) -> Opened:
    """What `opening` returns; whatever it raises becomes a ModelError, for files of models break in many ways."""
    try:
        with quiet():
            return opening()
    except Exception as fault:
        raise ModelError(
            f"{name!r} cannot be opened: {first_line(fault)}",
            "It takes a text model that transformers knows, with weights and tokenizer, as `save_pretrained` writes.",
        ) from fault


def _loaded(auto_class: Any, folder: Path, options: dict[str, Any]) -> Any:
    """What `from_pretrained` gives: a model, or where `output_loading_info` is asked for a model and a report."""
    found = auto_class.from_pretrained(folder, **options)
    model = quickened(found[0] if options.get("output_loading_info") else found)
    for module in model.modules() if "quantization_config" in options else ():
        if hasattr(module, "support_avx512bf16_for_cpu"):  # bitsandbytes 0.50: what it packs to write cannot learn
            module.support_avx512bf16_for_cpu = False
    return found
