"""Models that recognise names, as detectors: small ones made here, since none is at hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dilm.errors import ModelError
from dilm.privacy.ner import open_spacy, tagger


def test_a_spacy_pipeline_names_its_kinds_in_our_words(tmp_path):
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns(
        [{"label": "PERSON", "pattern": "Anna Bell"}, {"label": "GPE", "pattern": "Ghent"}]
    )
    pipeline.to_disk(tmp_path / "pipeline")
    found = open_spacy(str(tmp_path / "pipeline"), ())
    text = "In Ghent\nwith Anna Bell"
    spans = found.find([text, ""])
    assert [(span.kind, text[span.start : span.end]) for span in spans[0]] == [
        ("LOCATION", "Ghent"),
        ("PERSON", "Anna Bell"),
    ]
    assert spans[1] == [] and found.title.startswith("spaCy en_") and set(found.kinds) == {"LOCATION", "PERSON"}
    only = open_spacy(str(tmp_path / "pipeline"), ("PERSON",))
    assert [span.kind for span in only.find([text])[0]] == ["PERSON"] and only.kinds == ("PERSON",)


def test_a_pipeline_that_is_missing_or_blank_is_told(tmp_path):
    spacy = pytest.importorskip("spacy")
    with pytest.raises(ModelError, match="cannot open"):
        open_spacy("no_such_pipeline", ())
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ModelError, match="no entities"):
        open_spacy(str(tmp_path / "blank"), ())


@pytest.fixture(scope="module")
def classifier():
    """A token classifier that calls whatever begins like `Anna` a person."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    from dilm.models import scratch

    texts = ["Anna was here and there", "the plot was fine", "a dull film with Anna in it"] * 20
    tokenizer = scratch.train_tokenizer(texts, vocabulary=400, kind="masked")
    labels = {0: "O", 1: "B-PER"}
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        id2label=labels,
        label2id={name: at for at, name in labels.items()},
    )
    model = BertForTokenClassification(config).eval()
    name = tokenizer(" Anna", add_special_tokens=False)["input_ids"][0]

    def forward(input_ids=None, **_):
        logits = torch.stack([torch.where(input_ids == name, -9.0, 9.0), torch.where(input_ids == name, 9.0, -9.0)], -1)
        return SimpleNamespace(logits=logits)

    return model, tokenizer, forward


def test_a_token_classifier_finds_names_also_at_the_end_of_long_texts(classifier, monkeypatch):
    from transformers.modeling_outputs import TokenClassifierOutput

    model, tokenizer, forward = classifier
    monkeypatch.setattr(model, "forward", lambda *a, **k: TokenClassifierOutput(logits=forward(*a, **k).logits))
    found = tagger(model, tokenizer, "tiny", (), 0.5)
    long = "the plot was fine " * 60 + "with Anna"
    spans = found.find(["a film with Anna in it", " ", long])
    assert [len(each) for each in spans] == [1, 0, 1]
    assert {span.kind for each in spans for span in each} == {"PERSON"} == set(found.kinds)
    assert long[spans[2][0].start : spans[2][0].end].strip() == "Anna"
    assert tagger(model, tokenizer, "tiny", ("LOCATION",), 0.5).find(["with Anna"]) == [[]]
