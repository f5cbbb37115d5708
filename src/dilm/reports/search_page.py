"""The search as one HTML page without scripts: its best recipe, its trials, and what each setting matters."""

from __future__ import annotations

from dilm.reports import search_figures, searched
from dilm.reports.page import environment
from dilm.reports.searched import Searched, setting
from dilm.version import VERSION


def render(found: Searched, best_recipe: str) -> str:
    """The whole page as HTML text; `best_recipe` is the recipe's YAML, empty where no trial was finished."""
    from markupsafe import Markup

    drawings = {
        "history": search_figures.history(found),
        "importance": search_figures.importance(found),
        "slices": search_figures.slices(found),
    }
    page = (
        environment()
        .get_template("search.html.j2")
        .render(
            found=found,
            best=found.best,
            score=found.score(found.best) if found.best else "",
            metric=found.scale.title,
            scale=found.scale,
            said={name: setting(value) for name, value in (found.best.settings if found.best else {}).items()},
            header=searched.header(found),
            rows=searched.rows(found),
            recipe=best_recipe,
            space=[(name, _range(wanted)) for name, wanted in found.space.items()],
            version=VERSION,
            **{name: Markup(drawing) for name, drawing in drawings.items()},  # our own: they hold no raw data
        )
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _range(wanted: dict) -> str:
    """A setting's range in words."""
    if "choices" in wanted:
        return ", ".join(map(setting, wanted["choices"]))
    more = ", logarithmic" if wanted.get("log") else f", by {setting(wanted['step'])}" if wanted.get("step") else ""
    return f"{setting(wanted['low'])} to {setting(wanted['high'])}{more}"
