"""What the user came for: a small dataset that knows its origin, can be saved, shared and prompted with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dilm.data.jsonl import read_dataset, write_dataset
from dilm.errors import AccessError, DataError
from dilm.evaluation.prompts import BETWEEN, demonstration, query
from dilm.privacy.sums import Fault, below, compare, sums
from dilm.runs import require_folder
from dilm.types import Dataset, Provenance, Task
from dilm.version import VERSION

if TYPE_CHECKING:
    import datasets
    import pandas

DATA, ABOUT, CARD = "distilled.jsonl", "provenance.json", "README.md"
SUMS = "manifest.json"
"""The other files, with their hashes."""


@dataclass(frozen=True)
class Distilled:
    """A distilled set: `data` has `per_class` examples of each class."""

    data: Dataset
    per_class: int
    provenance: Provenance
    card: str = ""
    """Dataset card in Markdown, with the measurements."""
    run: Path | None = None
    """The run folder, where the report is."""

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self):
        return iter(self.data)

    def _repr_html_(self) -> str:
        return self.to_pandas().to_html(index=False, escape=True)

    @property
    def task(self) -> Task:
        return self.data.task

    def rows(self) -> list[dict[str, str]]:
        """One dict per example: its text fields by name, and `label` as class name."""
        labels = self.task.labels
        return [
            dict(zip(self.task.fields, example.texts, strict=True)) | {"label": labels[example.label]}
            for example in self.data
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with a column per text field, and `label`."""
        import pandas

        return pandas.DataFrame(self.rows(), columns=[*self.task.fields, "label"])

    def to_dataset(self) -> datasets.Dataset:
        """A `datasets.Dataset` whose label column is a `ClassLabel`."""
        import datasets

        text = {name: datasets.Value("string") for name in self.task.fields}
        features = datasets.Features(text | {"label": datasets.ClassLabel(names=list(self.task.labels))})
        return datasets.Dataset.from_list(self.rows(), features=features)

    def save(self, folder: str | Path) -> Path:
        """Rows, provenance and card into a folder that `Distilled.load` and the Hub understand; returns the folder."""
        folder = Path(folder)
        require_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_dataset(folder / DATA, self.data)
        about = {"task": asdict(self.task), "per_class": self.per_class, "provenance": asdict(self.provenance)}
        (folder / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
        (folder / CARD).write_text(self.card, encoding="utf-8")
        noted = {"code": VERSION, "files": sums(folder, (DATA, ABOUT, CARD))}
        (folder / SUMS).write_text(json.dumps(noted, indent=1), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Distilled:
        """What `save` wrote. Raises DataError where it is not."""
        folder = Path(folder)
        if not (folder / ABOUT).exists():
            raise DataError(f"{folder} holds no distilled set: it has no {ABOUT}.", "Name a folder that `save` wrote.")
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        task = Task(**_tuples(about["task"]))
        card = (folder / CARD).read_text(encoding="utf-8")
        return cls(
            read_dataset(folder / DATA, task), about["per_class"], Provenance(**_tuples(about["provenance"])), card
        )

    def push_to_hub(
        self,
        repository: str,
        private: bool = True,
        token: str | None = None,
        gated: Literal["auto", "manual"] | None = None,
    ) -> str:
        """Upload rows, provenance, card and manifest to a dataset repository of the Hub; returns its address.

        A new repository is private unless `private=False`; one that is public already is then refused. `gated`: readers
        ask first, and are let in at once (`auto`) or by you (`manual`); it is set before anything is uploaded.
        """
        import tempfile

        from huggingface_hub import HfApi

        hub = HfApi(token=token)
        hub.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        if private and not hub.dataset_info(repository).private:
            raise AccessError(
                f"{repository} is public, and the set was to be uploaded privately.",
                "Pass `private=False` to publish it, make the repository private on the Hub, or name another.",
            )
        if gated is not None:
            hub.update_repo_settings(repository, repo_type="dataset", gated=gated)
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            hub.upload_folder(
                repo_id=repository, repo_type="dataset", folder_path=folder, commit_message="Distilled with dilm"
            )
        return f"{hub.endpoint}/datasets/{repository}"

    def prompt(self, *texts: str, shots: int | None = None) -> str:
        """A few-shot prompt: `shots` demonstrations of each class (default all), classes in turn, then the query.

        Without `texts` the prompt ends after the demonstrations.
        """
        asked_for = self.task.fields[: -1 if self.task.writes else None]
        if texts and len(texts) != len(asked_for):
            raise DataError(
                f"A query needs {len(asked_for)} texts ({', '.join(asked_for)}), not {len(texts)}.",
                "Pass one text for each field.",
            )
        by_class = [self.data.of(label).examples[:shots] for label in self.task.conditions]
        turns = [example for turn in zip(*by_class, strict=False) for example in turn]
        shown = [demonstration(self.task, example) for example in turns]
        asked = [query(self.task, texts)] if texts else []
        return BETWEEN.join([*shown, *asked])


def changes(folder: Path) -> tuple[dict[str, str], list[Fault]]:
    """What a folder's manifest noted (path to hash), and which files are not as it says. Raises DataError where the
    manifest cannot be read."""
    try:
        noted = json.loads((folder / SUMS).read_text("utf-8"))["files"]
        found = [file.relative_to(folder).as_posix() for file in below(folder)]
        return noted, compare(folder, noted, [name for name in found if name != SUMS])
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(
            f"{folder / SUMS} is no manifest of a distilled set.", "Name the run itself, or save the set anew."
        ) from fault


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
