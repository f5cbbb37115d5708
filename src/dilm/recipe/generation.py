"""Tasks whose target is text: a part of the recipe's page."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from dilm.recipe.prompt import DOOR


@dataclass(frozen=True, config=DOOR)
class Generation:
    """Tasks whose target is text (`data.target`, or a page with `kind: generation`). Others ignore it."""

    conditions: int = 8
    """Clusters of the train rows, which take the place of classes where `data.label` names no column: k-means on words,
    or on the features of models.encoder where that is a pretrained model. Fewer where some would be too small."""
    coherence: float = 0.0
    """Weight, beside the mismatch, of how much likelier an independent model finds a target given its input than
    without it (nats per token), expected over the proposals. The fluency term is match.lm_lambda."""
    judge: str = ""
    """That independent model, which also judges the filter `fluency`: a causal language model by hub id or folder;
    empty: the learner, trained on all train rows for evaluate.full_steps."""
    diversity: float = 0.0
    """Weight of the entropy of the writer over the proposals, as a share of the largest: 1 where all are as likely."""
    coverage: float = 0.0
    """Weight of how surely a text tells the condition that it was written for, by the generator's own likelihoods: the
    mutual information of condition and text, expected over the proposals, as a share of the largest: 1 where no
    condition would write what another does. Costs a reading of the proposals under every condition."""
    answers: int = 100
    """Test rows for which every trained learner writes an answer, which is compared with the real one (BLEU, chrF, and
    what the task's page can check). 0: only perplexity is measured."""
