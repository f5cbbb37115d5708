"""The product in a user's hands: saved, shared, prompted with. The road that makes it is tested in `tests/stages`."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dilm import api
from dilm.distilled import Distilled, demonstration
from dilm.errors import AccessError, DataError, RecipeError
from dilm.types import Dataset, Example, Provenance, Task

PAIRS = Task("pairs", ("first", "second"), ("no", "yes"))
NASTY = ("{label} {0} {{", 'line\nbreak, "quotes" and {text}', "ünïcödé 🙂 \u2028", "<b>&amp;</b>", " spaces ", "%s {}")


def distilled(task: Task = PAIRS, per_class: int = 3) -> Distilled:
    texts = [tuple(NASTY[(at + field) % 6] for field in range(len(task.fields))) for at in range(2 * per_class)]
    data = Dataset(task, [Example(fields, at // per_class) for at, fields in enumerate(texts)])
    about = Provenance("key", 3, "0.1", parents={"fit": "abc"}, environment={"torch": "2"})
    return Distilled(data, per_class, about, card="---\nlicense: mit\n---\n# Card {text}\n")


def test_save_and_load_lose_nothing(tmp_path: Path):
    made = distilled(
        Task("pairs", ("first", "second"), ("no", "yes"), "macro_f1", prompt="{first}: {label}", max_tokens=9)
    )
    loaded = Distilled.load(made.save(tmp_path / "new" / "folder"))
    assert list(loaded) == list(made) and loaded.task == made.task and loaded.data.fingerprint == made.data.fingerprint
    assert (loaded.per_class, loaded.card, loaded.provenance) == (made.per_class, made.card, made.provenance)


def test_loading_something_else_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"no provenance\.json"):
        Distilled.load(tmp_path)


def test_a_data_frame_has_a_column_per_field_and_the_label(tmp_path: Path):
    frame = distilled().to_pandas()
    assert list(frame.columns) == ["first", "second", "label"]
    assert frame.to_dict("records") == distilled().rows()
    assert "<b>&amp;" not in distilled()._repr_html_() and "&lt;b&gt;" in distilled()._repr_html_()


def test_a_hub_dataset_knows_its_classes():
    made = distilled().to_dataset()
    assert made.features["label"].names == ["no", "yes"]
    assert made["label"] == [0, 0, 0, 1, 1, 1]
    assert [(row["first"], row["second"]) for row in made] == [example.texts for example in distilled()]


@pytest.mark.parametrize("prompt", ["", "Q: {first} / {second}\nA: {label}"])
def test_braces_in_texts_do_not_break_a_prompt(prompt: str):
    made = distilled(Task("pairs", ("first", "second"), ("no", "yes"), prompt=prompt))
    said = made.prompt("{label}", "{0} {unknown}")
    for example in made:
        assert demonstration(made.task, example) in said
        assert all(text.strip() in said for text in example.texts)
    assert "{label}" in said.split("\n\n")[-1] and "{0} {unknown}" in said.split("\n\n")[-1]


def test_a_prompt_shows_classes_in_turn_and_ends_where_the_answer_begins():
    task = Task("films", ("text",), ("bad", "good"))
    rows = [("dull", 0), ("slow", 0), ("warm", 1), ("fine", 1)]
    made = Distilled(Dataset(task, [Example((text,), label) for text, label in rows]), 2, Provenance("k", 0, "0"))
    one = "text: dull\nlabel: bad\n\ntext: warm\nlabel: good"
    assert made.prompt(shots=1) == one
    assert made.prompt("so so", shots=1) == one + "\n\ntext: so so\nlabel:"
    assert made.prompt().count("label:") == 4
    assert made.prompt("so so", shots=0) == "text: so so\nlabel:"


def test_a_query_of_too_few_texts_is_told():
    with pytest.raises(DataError, match=r"needs 2 texts \(first, second\), not 1"):
        distilled().prompt("only one")


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as an upload of small files needs; what arrives is kept on the server."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, self.headers.get("Authorization")))
        if self.path.endswith("/repos/create"):
            self.server.created = json.loads(body)
            self.answer({"url": f"{self.server.address}/datasets/me/small", "name": "me/small", "id": "1"})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for path in files]
            self.answer({"files": modes})
        elif self.path.endswith("/validate-yaml"):
            self.answer({"errors": [], "warnings": []})
        else:
            self.server.commits.append([json.loads(line) for line in body.splitlines()])
            self.answer(
                {
                    "commitUrl": f"{self.server.address}/datasets/me/small/commit/1",
                    "commitOid": "1" * 40,
                    "success": True,
                }
            )

    def do_GET(self) -> None:
        self.server.calls.append((self.path, self.headers.get("Authorization")))
        self.answer({"id": "me/small", "sha": "0" * 40, "siblings": [], "private": self.server.private})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.settings.append((self.path, body, len(self.server.commits)))
        self.answer({})

    def answer(self, content: dict) -> None:
        told = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Not on stderr."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address, server.calls, server.commits = f"http://127.0.0.1:{server.server_port}", [], []
    server.private, server.settings = True, []
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_rows_provenance_and_card_arrive_on_the_hub(hub: ThreadingHTTPServer, tmp_path: Path):
    made = distilled()
    address = made.push_to_hub("me/small", token="hf_secret")
    assert address == f"{hub.address}/datasets/me/small"
    assert hub.created.items() >= {"name": "small", "type": "dataset", "visibility": "private"}.items()
    about = [token for path, token in hub.calls if "/datasets/" in path or "/repos/" in path]  # it may ask other things
    assert set(about) == {"Bearer hf_secret"}
    ((header, *files),) = hub.commits
    assert header["value"]["summary"] == "Distilled with dilm"
    sent = {file["value"]["path"]: base64.b64decode(file["value"]["content"]) for file in files}
    folder = made.save(tmp_path)
    assert sent == {file.name: file.read_bytes() for file in folder.iterdir()}
    assert set(sent) == {"distilled.jsonl", "provenance.json", "README.md", "manifest.json"}
    assert hub.settings == []


@pytest.mark.parametrize("gated", ["auto", "manual"])
def test_a_gate_stands_before_anything_arrives(hub: ThreadingHTTPServer, gated):
    hub.private = False
    distilled().push_to_hub("me/small", private=False, token="hf_secret", gated=gated)
    assert hub.created.items() >= {"visibility": "public"}.items()
    assert hub.settings == [("/api/datasets/me/small/settings", {"gated": gated}, 0)]  # no commit was there yet
    assert len(hub.commits) == 1


def test_nothing_is_uploaded_to_a_repository_that_is_public_already(hub: ThreadingHTTPServer):
    hub.private = False
    with pytest.raises(AccessError, match="public"):
        distilled().push_to_hub("me/small", token="hf_secret", gated="manual")
    assert hub.commits == [] and hub.settings == []


def test_settings_that_do_not_exist_are_told():
    import dilm

    with pytest.raises(RecipeError, match=r"fit\.steps"):
        dilm.distill("toy", settings={"fit.stps": 1})


def test_a_mistake_in_the_first_command_does_not_stand_in_the_way_of_the_second(tmp_path: Path):
    source = tmp_path / "reviews.csv"
    source.write_text("Review,stars\n" + "".join(f"text number {n},{n % 2}\n" for n in range(40)), encoding="utf-8")
    with pytest.raises(DataError, match="Review"):
        api.load(source, text="review", label="stars", out=tmp_path / "run")
    assert len(api.load(source, text="Review", label="stars", out=tmp_path / "run").train) > 0
