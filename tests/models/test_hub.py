"""Opening models by name: what a user reads when it cannot be done, and that it takes no time to say so."""

from __future__ import annotations

import shutil
import time
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import errors
from transformers import AutoModel

from dilm.errors import ModelError, ResourceError
from dilm.models import hub
from dilm.models.hub import identity, open_config, open_model, open_tokenizer


def test_a_folder_opens_as_float32_whatever_it_was_saved_in(tiny_folder, tmp_path):
    model = open_model(AutoModel, tiny_folder("bert"))
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    assert open_model(AutoModel, str(tmp_path)).dtype == torch.float32
    assert open_model(AutoModel, str(tmp_path), dtype=torch.bfloat16).dtype == torch.bfloat16
    assert open_config(str(tmp_path)).model_type == "bert"
    assert open_tokenizer(tiny_folder("bert")).pad_token == "[PAD]"


def test_a_folder_without_config_says_what_a_model_folder_needs(tmp_path):
    for open_ in (open_config, open_tokenizer, lambda name: open_model(AutoModel, name)):
        with pytest.raises(ModelError, match=r"no config\.json.*model\.safetensors.*tokenizer\.json"):
            open_(str(tmp_path))


def test_without_network_the_answer_comes_at_once():
    start = time.monotonic()
    with pytest.raises(ResourceError, match=r"cannot be reached.*pass the folder.*scratch"):
        open_model(AutoModel, "nobody/no-such-model")
    assert time.monotonic() - start < 2


def test_a_name_that_cannot_be_an_id_is_a_wrong_path():
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        open_config("./models/of/mine")


def answer(kind: type[Exception]) -> Exception:
    return kind("refused", response=SimpleNamespace(headers={}, request=None))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (lambda: answer(errors.GatedRepoError), ModelError, "huggingface-cli login"),
        (lambda: answer(errors.RepositoryNotFoundError), ModelError, "Check the spelling"),
        (lambda: errors.LocalEntryNotFoundError("nothing here"), ResourceError, "connected machine"),
        (lambda: OSError("No space left on device"), ResourceError, "No space left on device"),
        (lambda: TimeoutError("timed out\nafter 10 s"), ResourceError, "timed out"),
    ],
)
def test_each_failure_of_the_hub_has_a_remedy(monkeypatch, fault, kind, message):
    def refuse(*_: object, **__: object) -> str:
        raise fault()

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(kind, match=message) as caught:
        open_model(AutoModel, "owner/model")
    assert "'owner/model'" in caught.value.problem and "\n" not in str(caught.value)


def test_a_broken_folder_is_a_model_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 16}')
    with pytest.raises(ModelError, match="cannot be opened"):
        open_model(AutoModel, str(tmp_path))
    (tmp_path / "config.json").write_text("not json")
    with pytest.raises(ModelError, match="cannot be opened"):
        open_config(str(tmp_path))


def test_a_stray_folder_does_not_hide_a_hub_id(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **_: tiny_folder(name))
    assert open_config("gpt2").model_type == "gpt2"


def test_a_local_model_is_known_by_its_content(tiny_folder, tmp_path):
    copy = shutil.copytree(tiny_folder("bert"), tmp_path / "copy")
    assert identity(str(copy)) == identity(tiny_folder("bert")) != identity(tiny_folder("gpt2"))
    (copy / "config.json").write_text("{}")
    assert identity(str(copy)) != identity(tiny_folder("bert"))
    assert identity("owner/model") == "owner/model"


def test_opening_is_quiet_and_leaves_the_library_as_it_was(tiny_folder, capfd):
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    open_model(AutoModelForSequenceClassification, tiny_folder("bert"), num_labels=2)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr().err == ""
