"""The dataset card: what a stranger who finds the examples on the Hugging Face hub must know before using them."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from dilm.reports import audit, personal, table, wording
from dilm.reports.findings import Findings, blocks
from dilm.reports.page import TEMPLATES, cut
from dilm.reports.scales import scale
from dilm.reports.table import escape
from dilm.reports.verdict import verdict

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))

LONGEST_SAMPLE = 200


def render(findings: Findings, file: str = "distilled.jsonl") -> str:
    """The card as Markdown with YAML front matter; `file` is where the examples lie beside it."""
    from markupsafe import Markup

    card = (
        _environment()
        .get_template("card.md.j2")
        .render(
            findings=findings,
            task=findings.task,
            group=wording.group(findings.task.metric),
            front=Markup(front_matter(findings, file)),
            verdict=verdict(findings),
            samples=samples(findings),
            learners=list(dict.fromkeys(block.learner for block in blocks(findings))),
            results=Markup(table.markdown(findings)),
            path=Markup(json.dumps(file)),
            rows=findings.rows("train"),
            audit_header=audit.HEADER,
            audit_reading=audit.READING,
            reading=scale(findings.task.metric).note,
            personal={
                "sentences": personal.sentences(findings),
                "columns": personal.columns(findings),
                "lines": personal.lines(findings),
            },
        )
    )
    return card.encode("utf-8", "replace").decode("utf-8")


def front_matter(findings: Findings, file: str) -> str:
    """The card's metadata as YAML. The licence is `other`: only the owner of the real data can choose one."""
    import yaml

    group = wording.group(findings.task.metric)
    return yaml.safe_dump(
        {
            "pretty_name": f"{findings.task.name}, distilled to {findings.per_class} per {group}",
            "license": "other",
            "license_name": "unknown",
            "task_categories": ["text-generation" if findings.task.writes else "text-classification"],
            "tags": ["dataset-distillation", "synthetic", "dilm"],
            "size_categories": [size_category(len(findings.distilled))],
            "annotations_creators": ["machine-generated"],
            "language_creators": ["machine-generated", *(["found"] if findings.real_rows else [])],
            "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": file}]}],
        },
        sort_keys=False,
        allow_unicode=True,
    )


def size_category(rows: int) -> str:
    """The hub's name for a number of rows.

    >>> size_category(40), size_category(1000)
    ('n<1K', '1K<n<10K')
    """
    return next((name for limit, name in SIZES if rows < limit), "n>1M")


def samples(findings: Findings) -> list[tuple[str, ...]]:
    """The first example of each class: its texts, shortened, then the name of its class."""
    firsts = ((name, findings.distilled.of(label).examples) for label, name in enumerate(findings.task.labels))
    return [(*(cut(text, LONGEST_SAMPLE) for text in rows[0].texts), name) for name, rows in firsts if rows]


def _escaped(value: object) -> str | Markup:
    """Whatever a template prints, made literal; what we wrote as Markdown ourselves is marked and passes."""
    from markupsafe import Markup

    return value if isinstance(value, Markup) else escape(value)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"count": wording.count, "duration": wording.duration}
    return environment
