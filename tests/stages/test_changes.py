"""A finished run under changed settings, or with sets of the user's own: what is done again, and what is known."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, name_of, rows_of, scores_of
from transformers import AutoTokenizer
from two_nodes import two_nodes

from dilm import api, pipeline
from dilm.build import Bench
from dilm.distillation.trajectory import Ageing
from dilm.distilled import Distilled
from dilm.errors import DataError, RecipeError, RunError
from dilm.journal import OWN_CODE
from dilm.models.classifier import Classifier
from dilm.models.endpoint import EndpointScorer
from dilm.models.pairs import BLOCKS
from dilm.recipe import Recipe
from dilm.recipe.fields import LATER
from dilm.recipe.rules import SELECTORS
from dilm.stages import jobs
from dilm.stages.evaluate import scored_rows
from dilm.stages.records import data_key
from dilm.stages.students import enrolled, scorer
from dilm.stages.text import cloud_by
from dilm.stages.variants import VARIANTS
from dilm.types import Dataset, Example


def changed(run: Path, **settings: object) -> dict[str, str]:
    """States of the stages after settings, `section__name`, were changed."""
    said = {name.replace("__", "."): value for name, value in settings.items()}
    return pipeline.states(api.change_settings(api.existing_run(run), said))


@pytest.mark.parametrize(
    ("setting", "value", "first"),
    [
        ("seed", 9, "load"),
        ("models.max_tokens", 30, "load"),
        ("pretrain.steps", 5, "pretrain"),
        ("fit.steps", 61, "fit"),
        ("match.temperature", 2.0, "match"),
        ("per_class", 4, "generate"),
        ("generate.top_p", 0.9, "generate"),
        ("select.method", "herding", "select"),
        ("select.sets", 3, "generate"),
        ("evaluate.seeds", 3, "evaluate"),
        ("evaluate.rows", 20, "evaluate"),
    ],
)
def test_a_setting_undoes_its_stage_and_those_after_it(copied: Path, setting: str, value: object, first: str):
    states = changed(copied, **{setting: value})
    at = pipeline.NAMES.index(first)
    assert list(states.values()) == ["done"] * at + ["to do"] * (10 - at)


def test_the_audit_is_undone_alone_with_the_report_that_shows_it(copied: Path):
    states = changed(copied, audit__span=5)
    assert {name for name, state in states.items() if state == "to do"} == {"audit", "report"}
    api.report(copied)
    assert set(pipeline.states(api.existing_run(copied)).values()) == {"done"}, "nobody reports without having looked"


def test_what_changes_only_speed_undoes_nothing(copied: Path):
    assert set(changed(copied, runtime__threads=2, runtime__workers=3).values()) == {"done"}


def test_a_learner_from_scratch_that_is_asked_for_later_is_made(copied: Path):
    """The scratch learner is made by `pretrain`, also when only `evaluate` needs it."""
    pretrained = str(copied / "pretrain" / "learner")
    run = api.change_settings(api.existing_run(copied), {"models.learner": pretrained})
    keys = {
        learner: pipeline.keys(api.change_settings(run, {"evaluate.learners": [learner]}).recipe)["pretrain"]
        for learner in ("same", "scratch", pretrained)
    }
    assert keys["same"] == keys[pretrained] != keys["scratch"]


def test_more_seeds_measure_only_the_new_trials(copied: Path):
    before = scores_of(copied)
    run = api.change_settings(api.existing_run(copied), {"evaluate.seeds": 3})
    facts = api.run_stage(run, "evaluate")
    after = scores_of(copied)
    assert before.items() <= after.items() and len(after) > len(before)
    assert facts["known"] == len(facts["trials"]) - (len(after) - len(before))
    assert Counter(trial["seed"] for trial in facts["trials"] if trial["method"] == "dilm") == dict.fromkeys(
        range(6), 1
    )


def test_scores_hold_one_row_for_each_name_of_the_last_evaluation_and_no_trial_is_repeated(copied: Path):
    """Fewer seeds leave trials over; they move aside, and are known when they are asked for again."""
    before = rows_of(copied)
    fewer = api.change_settings(api.existing_run(copied), {"evaluate.seeds": 1, "evaluate.learners": ["tfidf", "same"]})
    trials = api.run_stage(fewer, "evaluate")["trials"]
    assert [name_of(row) for row in rows_of(copied)] == [name_of(trial) for trial in trials]
    assert set(map(name_of, before)) - set(map(name_of, trials))
    back = api.change_settings(fewer, {"evaluate.seeds": 2, "evaluate.learners": ["same"]})
    facts = api.run_stage(back, "evaluate")
    assert facts["known"] == len(facts["trials"]) and rows_of(copied) == before


def test_methods_with_the_same_sets_share_trainings_and_each_has_its_rows(copied: Path):
    """As where matching changed nothing: our sets are those of the untuned generator."""
    for number in range(2):
        shutil.copy(copied / "select" / f"untuned-{number}.jsonl", copied / "select" / f"dilm-{number}.jsonl")
    (copied / "evaluate" / "manifest.json").unlink()
    api.run_stage(api.existing_run(copied), "evaluate")
    found = {method: [row for row in rows_of(copied) if row["method"] == method] for method in ("dilm", "untuned")}
    assert len(found["dilm"]) == 4
    assert found["untuned"] == [row | {"method": "untuned"} for row in found["dilm"]]
    scores_of(copied)


def test_settings_that_came_later_stand_in_no_key_at_their_defaults():
    """Else every run that was made before would have to be made again."""
    plain = [str(pipeline._plain(stage.reads(Recipe()))) for stage in pipeline.STAGES]
    old = {"seed", "patience", "learners", "rows"}  # of other sections, too
    for name in {setting.rpartition(".")[2] for setting in LATER} - old:
        assert not any(f"'{name}'" in said for said in plain), name
    assert "'rows'" not in plain[pipeline.NAMES.index("evaluate")]


def test_rows_that_a_killed_evaluation_left_are_part_of_the_finished_one(copied: Path):
    """Half a line at the end, and rows of other settings: what counts is in the file once, in the order of the plan."""
    before = rows_of(copied)
    stale = before[0] | {"trial": "of other settings", "method": "random"}
    lines = [json.dumps(row) for row in (stale, *before[2:])]
    (copied / "scores.jsonl").write_text("\n".join(lines) + '\n{"trial": "cut sh', encoding="utf-8")
    (copied / "evaluate" / "manifest.json").unlink()
    facts = api.run_stage(api.existing_run(copied), "evaluate")
    kept = {row["trial"] for row in before[2:]}  # two methods may have made the same set
    assert facts["known"] == sum(trial["key"] in kept for trial in facts["trials"])
    assert rows_of(copied) == before and rows_of(copied, "earlier-scores.jsonl") == [stale]


@pytest.mark.parametrize("part", ["head", "last:1", "lora:2"])
def test_both_roads_match_any_part_alike(copied: Path, part: str):
    """Steps without dev scores: the similarities of one road are those of the other."""
    curves = []
    for road in ("fast", "autograd"):
        settings = {"match.gradient": part, "match.road": road, "match.check_every": 0, "match.steps": 2}
        facts = api.run_stage(api.change_settings(api.existing_run(copied), settings), "match")
        curves.append([row["similarity"] for row in facts["curve"]])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4) and len(curves[0]) == 1


def test_a_bank_that_another_run_filled_is_used_and_changes_nothing(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The lives and their teachers' gradients, from an empty cache and from a filled one."""
    monkeypatch.setenv("DILM_CACHE", str(tmp_path / "cache"))
    curves = []
    for _ in range(2):
        run = api.change_settings(api.existing_run(copied), {"match.check_every": 0})
        curves.append(api.run_stage(run, "match")["curve"])
        shutil.rmtree(copied / "match")
        monkeypatch.setattr(Ageing, "grow", lambda *_: pytest.fail("trained again"))
        monkeypatch.setattr(Classifier, "gradients", refused_for_teachers(Classifier.gradients))
    assert curves[0] == curves[1]
    assert len(list((tmp_path / "cache" / "lives").rglob("*.safetensors"))) > 2


def refused_for_teachers(gradients):
    """Teacher sets here have 8 rows of one class; so have proposals, but a synthetic text is never a real row."""

    def asked(learner: Classifier, examples):
        assert not isinstance(examples, Dataset), "a teacher's gradient was computed again"
        return gradients(learner, examples)

    return asked


def test_lives_that_are_renewed_lead_to_another_generator(copied: Path):
    curves = []
    for steps in (0, 2):
        settings = {"match.check_every": 0, "match.renew_every": steps}
        curves.append(api.run_stage(api.change_settings(api.existing_run(copied), settings), "match")["curve"])
    assert curves[0][0] == curves[1][0] and curves[0][1] != curves[1][1]


@pytest.fixture
def own_sets(finished: Distilled, tmp_path: Path) -> Path:
    """Two sets of the user's own, labels as names and as numbers, and one of another size."""
    rows = [
        {"review": f"a {word} thing {at}", "stars": None, "label": label, "set": name, "per_class": 3}
        for name in ("a", "b")
        for at in range(3)
        for word, label in (("dull", "thumbs down"), ("fine", 1))
    ]
    rows += [{"review": "other size", "label": "thumbs up", "set": "c", "per_class": 50}]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows), "utf-8")
    return file


def test_own_sets_are_scored_in_the_same_trials_and_reach_the_report(copied: Path, own_sets: Path):
    before = scores_of(copied)
    rows = api.evaluate(copied, also={"steps": str(own_sets)})
    counts = Counter(row["method"] for row in rows)
    assert counts["steps"] == counts["dilm"] == 4
    assert {row["rows"] for row in rows if row["method"] == "steps"} == {6}
    assert before.items() <= scores_of(copied).items()
    assert "| steps |" not in (copied / "results.md").read_text("utf-8")
    api.report(copied)
    assert "steps" in (copied / "results.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["dilm", "random", "full"])
def test_own_sets_cannot_take_the_name_of_a_method(copied: Path, own_sets: Path, name: str):
    with pytest.raises(RecipeError, match=f"'{name}' is the name of a method"):
        api.evaluate(copied, also={name: str(own_sets)})


def test_own_sets_that_cannot_be_read_are_told_why(copied: Path, tmp_path: Path):
    for content, why in (
        ("review,label\na,thumbs sideways\n", "'thumbs sideways', which is none of"),
        ("text,label\na,thumbs up\n", "no column 'review'"),
        ("review,label,per_class\na,thumbs up,9\n", "no set with per_class 3"),
    ):
        file = tmp_path / "mine.csv"
        file.write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=why):
            api.evaluate(copied, also={"mine": str(file)})


@pytest.mark.slow
def test_a_pair_task_walks_the_whole_road(tmp_path: Path):
    settings = SETTINGS | {
        "data.train_rows": 120,
        "data.dev_rows": 20,
        "data.test_rows": 30,
        "models.max_tokens": 60,
        "fit.steps": 75,
        "fit.check_every": 75,
        "match.check_every": 0,
        "select.sets": 1,
        "select.method": "distribution_matching",
        "evaluate.seeds": 1,
        "evaluate.baselines": ["random", "untuned"],
        "evaluate.learners": ["same", "frozen", "tfidf"],
    }
    found = api.distill("toy_pairs", out=tmp_path / "run", per_class=2, generator="scratch:tiny", settings=settings)
    assert len(found.task.fields) == 2 and found.data.counts == (2, 2)
    assert all(len(example.texts) == 2 and all(example.texts) for example in found)
    assert Counter(row["method"] for row in api.evaluate(tmp_path / "run")) == {"dilm": 3, "untuned": 3, "random": 3}
    bench = Bench(api.existing_run(tmp_path / "run"), OWN_CODE)
    texts = [Example((row.texts[0],), row.label) for row in bench.splits.test]
    width = bench.encoder.encoder.encoder.encode(texts).shape[1]  # type: ignore[attr-defined]
    assert bench.encoder.encode(bench.splits.test).shape == (len(texts), BLOCKS * width)
    assert cloud_by(bench).encode(bench.splits.test).shape == (len(texts), width)


def test_other_learners_are_measured_on_the_same_sets(copied: Path):
    before = scores_of(copied)
    others = ["frozen", "tfidf", "first-1:same"]
    run = api.change_settings(api.existing_run(copied), {"evaluate.learners": ["same", *others]})
    trials = api.run_stage(run, "evaluate")["trials"]
    arms = {name: [trial for trial in trials if trial["learner"] == name] for name in scored_learners(trials)}
    assert list(arms) == ["scratch", "frozen:scratch", "tfidf", "first-1:scratch"]
    assert list(dict.fromkeys(row["learner"] for row in api.findings_json(run)["results"])) == list(arms)
    assert before.items() <= scores_of(copied).items()
    finetuned, drawn_once = arms["scratch"], arms["tfidf"]
    assert len(arms["first-1:scratch"]) == len(finetuned)
    assert Counter(trial["method"] for trial in drawn_once) == Counter(
        trial["method"] for trial in arms["frozen:scratch"]
    )
    assert Counter(trial["method"] for trial in drawn_once)["dilm"] == 2 and {
        trial["seed"] for trial in drawn_once
    } == {0}
    again = api.run_stage(api.change_settings(run, {"evaluate.learners": ["tfidf", "frozen:same"]}), "evaluate")
    assert again["known"] == len(again["trials"]) == 2 * len(drawn_once)


@pytest.mark.slow
def test_ours_and_random_rows_are_also_trained_on_soft_labels_and_on_augmented_texts(copied: Path):
    settings = {"evaluate.robust": True, "evaluate.learners": ["same", "frozen", "tfidf"]}
    run = api.change_settings(api.existing_run(copied), settings)
    trials = api.run_stage(run, "evaluate")["trials"]
    for learner in scored_learners(trials):
        counts = Counter(trial["method"] for trial in trials if trial["learner"] == learner)
        assert {counts[name] for name in VARIANTS} == {counts["dilm"]} != {0}
    assert len({trial["key"] for trial in trials if trial["method"] in VARIANTS}) > 2 * len(VARIANTS)
    api.report(copied)
    assert (copied / "results.md").read_text("utf-8").count("label-robust score") == 3
    with pytest.raises(RecipeError, match="not measured: random"):
        api.change_settings(run, {"evaluate.baselines": ["full"]})


def test_another_language_model_tells_the_perplexity_of_the_texts(copied: Path):
    folder = str(copied / "pretrain" / "generator")
    run = api.change_settings(api.existing_run(copied), {"report.language_model": folder})
    assert pipeline.states(run)["evaluate"] == "done"
    ours, real = api.run_stage(run, "report")["text"]["perplexity"]
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    assert vocabulary / 3 < int(ours) < 3 * vocabulary and vocabulary / 3 < int(real) < 3 * vocabulary  # untrained
    assert str(copied) not in (copied / "report.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_trials_on_a_ray_cluster_score_as_in_processes(
    copied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nodes: int
):
    """On this machine alone, and on a cluster of two nodes; in both cases every score is measured there anew."""
    pytest.importorskip("ray")
    cache, before = tmp_path / "cache", scores_of(copied)
    (copied / "scores.jsonl").unlink()
    shutil.rmtree(copied / "evaluate")
    monkeypatch.setenv("DILM_CACHE", str(cache))  # else scores of the first run would be known
    with two_nodes(cache) if nodes == 2 else nullcontext("") as address:
        settings = {"runtime.engine": "ray", "runtime.cluster": address}
        api.run_stage(api.change_settings(api.existing_run(copied), settings), "evaluate")
    assert scores_of(copied) == before
    assert {file.stem for file in (cache / "trials").rglob("*.jsonl")} == set(before)


def test_the_report_says_how_near_the_pool_is_or_how_many_texts_that_takes(copied: Path):
    told = json.loads((copied / "report" / "text.json").read_text("utf-8"))
    lines = {line["name"]: line for line in told}
    for name, needed in (("Fréchet distance of the pool", "points a side"), ("MAUVE of the pool", "1000 texts a side")):
        assert lines[name]["value"] is None and needed in lines[name]["reason"]


def test_two_names_of_one_learner_are_one(copied: Path):
    learner = str(copied / "pretrain" / "learner")
    mixed = api.change_settings(api.existing_run(copied), {"evaluate.learners": ["same", "tfidf", learner]})
    assert [who.name for who in enrolled(Bench(mixed))] == ["scratch", "tfidf"]
    run = api.change_settings(mixed, {"evaluate.learners": ["same", learner, "frozen", "frozen:same"]})
    assert scored_learners(api.run_stage(run, "evaluate")["trials"]) == ["scratch", "frozen:scratch"]


def scored_learners(trials: list[dict]) -> list[str]:
    return list(dict.fromkeys(trial["learner"] for trial in trials))


def test_what_a_program_reads_says_all_that_the_table_says(copied: Path):
    found = {row["method"]: row for row in api.findings_json(api.existing_run(copied))["results"]}
    full, random, ours = found["full"], found["random"], found["dilm"]
    assert (full["of_full"], full["recovery"], random["recovery"], ours["gap"]) == (None,) * 4
    assert ours["of_full"] == pytest.approx(ours["mean"] / full["mean"])
    gap = full["mean"] - random["mean"]
    closed = pytest.approx((ours["mean"] - random["mean"]) / gap) if gap > 0 else None
    assert ours["recovery"] == closed
    assert 0 < random["gap"]["p"] <= 1 and 0 < full["gap"]["p"] <= 1
    head = next(line for line in (copied / "results.md").read_text("utf-8").splitlines() if line.startswith("| method"))
    assert head.endswith("| of full | recovery | ours ahead by | p |")


def test_runs_are_compared_by_their_folders(copied: Path, finished: Distilled, tmp_path: Path):
    page = tmp_path / "page.html"
    found = api.compare(finished.run, copied, html=page)
    (task,) = found["tasks"]
    assert [run["run"] for run in task["runs"]] == [finished.run.name, copied.name]
    assert {row["learner"] for row in task["results"]} == {"scratch"}
    assert page.read_text("utf-8").startswith("<!doctype html>")
    with pytest.raises(RunError, match="named twice"):
        api.compare(copied, copied)


def test_a_run_that_was_not_evaluated_cannot_be_compared(copied: Path):
    shutil.rmtree(copied / "evaluate")
    with pytest.raises(RunError, match="was not evaluated"):
        api.compare(copied)


@pytest.mark.slow
def test_every_coreset_method_gives_sets_of_real_rows(copied: Path):
    real = [name for name in SELECTORS if name != "perplexity"] + ["nearest"]  # that one is for text to write
    written = ["untuned", "untuned_random"]
    run = api.change_settings(api.existing_run(copied), {"evaluate.baselines": [*real, *written]})
    facts = api.run_stage(run, "select")["sets"]
    assert facts.keys() == {"dilm", *written, *real}
    positions = json.loads((copied / "select" / "real-rows.json").read_text("utf-8"))
    train = Bench(run, OWN_CODE).splits.train
    for name in real:
        assert len(positions[name]) == facts[name] >= 1
        for rows in positions[name]:
            assert len(set(rows)) == 6 and train.take(rows).counts == (3, 3), name


@pytest.mark.slow
def test_a_language_model_reads_the_sets_and_is_trained_on_nothing(copied: Path):
    """The run's own generator serves as language model; its context is short, so demonstrations are dropped."""
    folder = str(copied / "fit" / "model")
    asked = {"evaluate.learners": [f"prompt:{folder}", "tfidf"], "prompt.orders": 2}
    run = api.change_settings(api.existing_run(copied), asked)
    trials = api.run_stage(run, "evaluate")["trials"]
    assert {trial["learner"] for trial in trials} == {"prompt:model", "tfidf"}
    methods = Counter(trial["method"] for trial in trials if trial["learner"] == "prompt:model")
    assert "full" not in methods and methods["dilm"] == 2 * 2  # sets x orders
    before = scores_of(copied)
    calibrated = api.run_stage(api.change_settings(run, {"evaluate.calibrate": True}), "evaluate")
    known = {trial["learner"] for trial in calibrated["trials"] if trial["key"] in before}
    assert known == {"tfidf"} < {trial["learner"] for trial in calibrated["trials"]}


def test_a_served_model_is_known_by_its_name_and_asked_by_its_route(copied: Path):
    names = ["served:http://127.0.0.1:9/v1#tiny", "served-chat:http://127.0.0.1:9/v1#tiny"]
    run = api.change_settings(api.existing_run(copied), {"evaluate.learners": names})
    plain, chat = enrolled(Bench(run))
    assert (plain.name, chat.name) == ("served:tiny", "served-chat:tiny") and plain.identity != chat.identity
    assert plain.reads and plain.draws
    asked = scorer(chat, run.recipe.runtime, run.recipe.server)
    assert isinstance(asked, EndpointScorer) and asked.endpoint.route == "chat" and asked.endpoint.model == "tiny"


def test_embeddings_are_learnt_where_a_baseline_asks_and_teach_their_own_learner_alone(copied: Path):
    asked = {"evaluate.baselines": ["random", "untuned", "tdd", "tdd_text"], "evaluate.learners": ["same", "tfidf"]}
    small = {"embed.steps": 3, "embed.unroll": 3, "embed.check_every": 2, "embed.batch": 8, "embed.start": "tokens"}
    run = api.change_settings(api.existing_run(copied), asked | small)
    assert pipeline.states(run)["embed"] == "to do" and pipeline.states(run)["generate"] == "done"
    facts = api.run_stage(run, "embed")
    assert [row["step"] for row in facts["curve"]] == [2, 3]
    assert "embed" not in pipeline.needed("select") and "embed" in pipeline.needed("evaluate")
    api.run_stage(run, "select")
    trials = api.run_stage(run, "evaluate")["trials"]
    found = Counter((trial["method"], trial["learner"]) for trial in trials)
    assert found["tdd", "scratch"] == 4 and found["tdd_text", "scratch"] == 4 and found["tdd_text", "tfidf"] == 1
    assert ("tdd", "tfidf") not in found
    assert Dataset(Bench(run, OWN_CODE).task, jsonl_rows(copied / "embed" / "projected.jsonl")).counts == (3, 3)


def test_too_few_steps_for_all_embeddings_are_told_before_anything_runs(copied: Path):
    with pytest.raises(RecipeError, match=r"Set embed.per_step to 2"):
        api.change_settings(api.existing_run(copied), {"evaluate.baselines": ["tdd"], "embed.unroll": 2})


def jsonl_rows(file: Path) -> list[Example]:
    labels = {"thumbs down": 0, "thumbs up": 1}
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [Example((row["review"],), labels[row["label"]]) for row in rows]


def test_the_embeddings_have_no_reader_without_their_own_learner(copied: Path):
    with pytest.raises(RecipeError, match="only the learner of distillation can read"):
        api.change_settings(api.existing_run(copied), {"evaluate.baselines": ["tdd"], "evaluate.learners": ["tfidf"]})


def test_a_stage_with_nothing_to_do_is_never_asked_for(copied: Path):
    shutil.rmtree(copied / "embed")
    (copied / "evaluate" / "manifest.json").unlink()
    assert api.evaluate(copied) and pipeline.states(api.existing_run(copied))["embed"] == "done"


def test_runs_that_train_in_different_ways_stand_apart(copied: Path, finished: Distilled):
    run = api.change_settings(api.existing_run(copied), {"evaluate.steps": 6})
    api.run_stage(run, "evaluate")
    assert len(api.compare(finished.run, copied)["tasks"]) == 2


def test_two_folders_that_end_alike_are_two_learners(copied: Path, tmp_path: Path):
    other = tmp_path / "elsewhere" / "learner"
    shutil.copytree(copied / "pretrain" / "learner", other)
    config = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.3}), encoding="utf-8")
    names = [str(copied / "pretrain" / "learner"), str(other)]
    run = api.change_settings(api.existing_run(copied), {"evaluate.learners": names})
    first, second = enrolled(Bench(run))
    assert first.name != second.name and second.name.startswith(first.name)


def test_learners_are_scored_on_as_many_test_rows_as_are_wanted(copied: Path):
    run = api.change_settings(api.existing_run(copied), {"evaluate.rows": 12, "evaluate.learners": ["tfidf"]})
    bench = Bench(run, OWN_CODE)
    drawn, test = scored_rows(bench), bench.splits.test
    assert drawn.fingerprint == scored_rows(bench).fingerprint and set(drawn) < set(test)
    share = len(drawn) / len(test)
    assert all(abs(some - share * count) <= 1 for some, count in zip(drawn.counts, test.counts, strict=True))
    assert api.run_stage(run, "evaluate")["rows"] == len(drawn)
    told = {row["value"] * len(drawn) for row in rows_of(copied)}
    assert all(right == pytest.approx(round(right), abs=1e-9) for right in told)
    api.report(copied)
    page = (copied / "report.html").read_text("utf-8")
    assert f"on {len(drawn)} of its {len(test)} rows" in page and "<dt>scored</dt>" not in page


def test_more_rows_than_there_are_ask_for_the_same(copied: Path):
    run = api.existing_run(copied)
    some, every, more = (data_key(api.change_settings(run, {"evaluate.rows": rows})) for rows in (12, 0, 9_999))
    assert every == more != some


def test_what_another_run_measured_is_taken_without_a_process(copied: Path, monkeypatch: pytest.MonkeyPatch):
    before = scores_of(copied)
    for file in (copied / "scores.jsonl", copied / "evaluate" / "manifest.json"):
        file.unlink()
    monkeypatch.setattr(jobs.workers, "ProcessPoolExecutor", None)
    monkeypatch.setattr(jobs, "_run", None)
    api.change_settings(api.existing_run(copied), {"runtime.workers": 2})
    api.run_stage(api.existing_run(copied), "evaluate")
    assert scores_of(copied) == before
