"""The verbs as Python functions: the road, several runs side by side, and what guards personal data."""

from dilm.api.begun import (
    STAGES,
    change_settings,
    distill_run,
    existing_run,
    findings_json,
    open_run,
    plan,
    recipe_for,
    results_table,
    run_stage,
)
from dilm.api.beside import (
    benchmark,
    compare,
    comparison,
    comparison_json,
    comparison_table,
    rebuild_leaderboard,
    write_comparison,
)
from dilm.api.guarding import anonymize, export, open_export, quota, verify
from dilm.api.road import distill, embed, evaluate, fit, generate, load, match, report, select

__all__ = [
    "STAGES",
    "anonymize",
    "benchmark",
    "change_settings",
    "compare",
    "comparison",
    "comparison_json",
    "comparison_table",
    "distill",
    "distill_run",
    "embed",
    "evaluate",
    "existing_run",
    "export",
    "findings_json",
    "fit",
    "generate",
    "load",
    "match",
    "open_export",
    "open_run",
    "plan",
    "quota",
    "rebuild_leaderboard",
    "recipe_for",
    "report",
    "results_table",
    "run_stage",
    "select",
    "verify",
    "write_comparison",
]
