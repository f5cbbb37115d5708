"""A command line is asked for help more often than for anything else: it must not load torch to answer."""

from __future__ import annotations

import os
import subprocess
import sys

import dilm

HEAVY = ("torch", "transformers", "datasets", "pandas", "sklearn", "matplotlib")


def fastest(*arguments: str, tries: int = 3) -> float:
    """Fewest processor seconds of a few runs of Python: what the code needs, whatever else the machine is busy with."""
    seconds = []
    for _ in range(tries):
        before = os.times()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(seconds)


def loaded_by(code: str) -> str:
    """Which heavy libraries a piece of code brings in."""
    probe = f"import sys\n{code}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.strip()


def test_import_and_help_load_nothing_heavy():
    asked = "from typer.testing import CliRunner\nfrom dilm.cli import app\n"
    assert loaded_by("import dilm") == ""
    assert loaded_by(asked + "assert CliRunner().invoke(app, ['distill', '--help']).exit_code == 0") == ""
    assert loaded_by(asked + "assert CliRunner().invoke(app, ['show', 'toy']).exit_code == 0") == ""
    assert loaded_by("import dilm.verified, dilm.exported, dilm.quotas") == ""


def test_import_takes_less_than_a_fifth_of_a_second():
    assert fastest("-c", "import dilm") - fastest("-c", "pass") < 0.2


def test_help_takes_less_than_half_a_second():
    assert fastest("-m", "dilm", "--help") < 0.5


def test_every_public_name_can_be_had():
    assert set(dilm.__all__) <= set(dir(dilm))
    for name in dilm.__all__:
        assert getattr(dilm, name).__doc__


def test_unknown_name_is_an_attribute_error():
    assert not hasattr(dilm, "distil_everything")
