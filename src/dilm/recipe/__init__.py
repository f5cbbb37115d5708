"""Everything that can be configured, on one page. A recipe on disk is YAML with the same names.

The text under a field is its documentation: `dilm show` prints it beside the value. A field changes results unless it
stands in a section of `UNCHANGING`; stage keys are made from all the others.
"""

from __future__ import annotations

from dataclasses import field

from pydantic.dataclasses import dataclass

from dilm.recipe.corpus import Corpus
from dilm.recipe.embed import Embed
from dilm.recipe.federation import Federation
from dilm.recipe.generation import Generation
from dilm.recipe.generators import Adapters, Instruct
from dilm.recipe.matching import Match
from dilm.recipe.privacy import Anonymize, Audit, Privacy
from dilm.recipe.prompt import DOOR as _DOOR
from dilm.recipe.prompt import Prompt, Server
from dilm.recipe.rewriting import Rewrite
from dilm.recipe.runtime import Runtime
from dilm.recipe.selection import Race, Select

UNCHANGING = ("runtime", "server")
"""Sections that change speed, cost or the last digits, and nothing else."""


@dataclass(frozen=True, config=_DOOR)
class Data:
    """What is distilled."""

    source: str = "toy"
    """Path (CSV, TSV, JSONL, Parquet, folder), hub id (`org/name` or `org/name:config`) or task name."""
    text: tuple[str, ...] = ()
    """Text columns in reading order; empty: the task's page, or the only text column."""
    label: str = ""
    """Label column; empty: the task's page, or the only column named like one. With a target: of conditions."""
    target: str = ""
    """Column of the text that learners are to write; empty: a task of classes, or what its page says."""
    test: str = ""
    """Path of a test file that is only ever scored; empty: the source's own, or carved from train."""
    train_rows: int = 0
    """Use at most this many training rows; 0 is all."""
    dev_rows: int = 1000
    """At most this many rows are carved from train to decide by."""
    test_rows: int = 2000
    """At most this many rows are carved from train to be scored, where the source has no test split."""
    drop_empty: bool = False
    """Leave out rows with an empty or non-text cell instead of stopping."""
    user: str = ""
    """Column that says whose a row is: one row of each user is kept, so that what is promised for a row is promised for
    a user. Empty: all rows are kept."""
    seed: int = -1
    """Seed of what is carved from train and of the representative sets; -1: the run's.

    Runs of other seeds that share it share the lives of a pretrained learner and its gradients, too.
    """


@dataclass(frozen=True, config=_DOOR)
class Models:
    """Who writes and who learns: hub ids, local folders, or models made from the data alone."""

    generator: str = "scratch:small"
    """Causal LM, encoder-decoder (T5, BART) or BERT-like encoder, or `scratch:tiny|mini|small|base`. Paper: gpt2."""
    mixture: tuple[str, ...] = ()
    """Further generators, named alike, that are one mixture with it: each is fitted on its share of the rows, and all
    are matched together. The same name again is another seed."""
    learner: str = "scratch"
    """Sequence classifier, or `scratch`: a small BERT warmed up on the unlabelled text. Paper: bert-base-uncased."""
    encoder: str = ""
    """Model whose mean-pooled features measure distances between texts; empty: the learner."""
    max_tokens: int = 0
    """Longest text in tokens; 0: the task's page, or estimated from the data. Of a longer row a passage is learnt."""


@dataclass(frozen=True, config=_DOOR)
class Pretrain:
    """Models from scratch: a tokenizer, and masked-language modelling for the learner. Unused with pretrained ones."""

    vocabulary: int = 4000
    """Tokens of the tokenizer trained on the data."""
    learner_size: str = "tiny"
    """Size of the scratch learner: tiny, mini, small or base."""
    steps: int = 1500
    """Masked-language-modelling steps of the scratch learner."""
    batch: int = 64
    lr: float = 1e-3
    corpus: str = ""
    """Public text that they are made from instead of the data: a file with a text on each line, or `toy`, the built-in
    grammar. Differential privacy needs it where a model is made from scratch."""


@dataclass(frozen=True, config=_DOOR)
class Fit:
    """Language-model training of the generator on class-conditional texts (paper 3.1)."""

    steps: int = -1
    """Optimiser steps; -1: two passes over the train rows, but at least 300 and at most 1,200, and 300 of private or
    federated rows. 0 only where `instruct.ask` says what to write. Paper: 80,000."""
    batch: int = 64
    lr: float = 0.0
    """Peak learning rate; 0: 1e-3 from scratch, 3e-4 pretrained. Paper: 1e-5."""
    contrast: float = 0.5
    """Share of the loss that asks for a text to be likelier under its own class than under another, drawn at random
    (Krause et al., GeDi, 2021): few steps are not enough for the classes otherwise. 0 halves the work. Paper: 0."""
    mean_over: str = "tokens"
    """What counts alike in the loss: `tokens`, or `texts`, which teaches a generator to end its texts too early. Of
    private steps, which shorten the gradient of each row to one length, it is always texts."""
    name_classes: bool = True
    """Let the token of each class begin with the meaning of its name, beside the start token's. Paper: false."""
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    check_every: int = 100
    """Steps between measurements of held-out likelihood, which are also the points a killed run resumes from."""
    patience: int = 3
    """Stop after this many measurements without improvement; the best weights are kept."""
    dropout: float = -1.0
    """Dropout of the generator in this training; -1: the model's own."""
    label_smoothing: float = 0.0
    """Share of each token's target that is spread over the whole vocabulary; measurements are of plain likelihood."""


@dataclass(frozen=True, config=_DOOR)
class Generate:
    """Writing the pool that the final set is selected from (paper 3.3)."""

    oversample: int = 100
    """Texts written for each text selected. Paper: 100."""
    top_p: float = 0.95
    top_k: int = 0
    """0 keeps every token."""
    temperature: float = 1.0
    """Below 1 a text is made of likelier words: more typical of its class, less varied; worth a try on dev rows."""
    batch: int = 256
    """Texts sampled at once; part of the draw, so part of the result."""
    attempts: int = 4
    """Give up when this many times the texts asked for did not give enough good ones."""
    sampler: str = "torch"
    """Who writes the pools: `torch`, for every generator, or `vllm`, for large causal ones on a GPU (extra `vllm`)."""


@dataclass(frozen=True, config=_DOOR)
class Evaluate:
    """Training learners on the small sets, and on baselines in the same trials (paper 4.1)."""

    learners: tuple[str, ...] = ("same",)
    """`same` is the learner of distillation; others by hub id, folder or `scratch`. Before a name, `first-3:` takes its
    first three layers, `frozen:` a logistic head on its features; `tfidf` is a logistic head on word counts. A causal
    language model reads the set as demonstrations: `prompt:NAME`, or `served:URL#MODEL` behind a server."""
    baselines: tuple[str, ...] = ("random", "kmeans_nearest", "herding", "typical", "untuned", "full")
    """Selectors over real rows, `nearest` (the real rows nearest to ours), `untuned` (the generator before matching,
    same selection), `untuned_random` (without selection), `full` (all real rows), `tdd` (embeddings that only the
    learner can read), `tdd_text` (their nearest tokens). A selector's NAME`@tokens` takes as many tokens as ours,
    NAME`@packed` as many rows in an example as ours hold texts."""
    seeds: int = 1
    """Trainings for each set. Paper: 5. Language models that read it have `prompt.orders` instead."""
    rows: int = 0
    """Test rows that are scored on, drawn once in the classes' proportions; 0: all. What scores are compared must have
    been scored on the same."""
    robust: bool = False
    """Also train on our sets and on random rows with a teacher's soft labels, and with augmented copies of their texts:
    DD-Ranking's label-robust and augmentation-robust scores."""
    calibrate: bool = False
    """Contextual calibration of language models that read the set (Zhao et al. 2021)."""
    steps: int = 200
    lr: float = 1e-4
    batch: int = 64
    warmup: float = 0.5
    weight_decay: float = 0.01
    clip: float = 1.0
    full_steps: int = 400
    """Training steps on full data: of a large dataset less than one pass."""
    full_lr: float = 5e-5
    full_warmup: float = 0.1


@dataclass(frozen=True, config=_DOOR)
class Report:
    """What the report measures on the texts, besides what models learn from them."""

    language_model: str = ""
    """Causal LM that had no part in the run: the texts' perplexity beside that of real rows. Hub id or folder."""


@dataclass(frozen=True, config=_DOOR)
class Recipe:
    """One run, from the raw data to the report."""

    per_class: int = 10
    """Examples of each class in the distilled set. Paper: 5, 10, 20."""
    seed: int = 0
    data: Data = field(default_factory=Data)
    anonymize: Anonymize = field(default_factory=Anonymize)
    dp: Privacy = field(default_factory=Privacy)
    federation: Federation = field(default_factory=Federation)
    models: Models = field(default_factory=Models)
    adapters: Adapters = field(default_factory=Adapters)
    instruct: Instruct = field(default_factory=Instruct)
    pretrain: Pretrain = field(default_factory=Pretrain)
    corpus: Corpus = field(default_factory=Corpus)
    fit: Fit = field(default_factory=Fit)
    match: Match = field(default_factory=Match)
    generate: Generate = field(default_factory=Generate)
    generation: Generation = field(default_factory=Generation)
    embed: Embed = field(default_factory=Embed)
    rewrite: Rewrite = field(default_factory=Rewrite)
    select: Select = field(default_factory=Select)
    race: Race = field(default_factory=Race)
    evaluate: Evaluate = field(default_factory=Evaluate)
    prompt: Prompt = field(default_factory=Prompt)
    audit: Audit = field(default_factory=Audit)
    report: Report = field(default_factory=Report)
    server: Server = field(default_factory=Server)
    runtime: Runtime = field(default_factory=Runtime)

    @property
    def data_seed(self) -> int:
        """Of what depends on the data alone."""
        return self.seed if self.data.seed < 0 else self.data.seed

    @property
    def closed(self) -> bool:
        """Whether real rows are touched by mechanisms only: under differential privacy, or as they are elsewhere."""
        return self.dp.epsilon > 0 or self.federation.clients > 0
