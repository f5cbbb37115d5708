"""The form of a text: fields that are not empty, as many as the task has. What breaks it cannot be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor


class Form(NamedTuple):
    """The tokens that frame a text, and the fields that it must have."""

    start: int
    end: int
    separator: int = -1
    fields: int = 0
    """0: any text will do, an empty one too."""
    blank: Tensor = torch.empty(0, dtype=torch.long)
    """[b] tokens that show nothing: a field of these alone is empty."""


class Progress:
    """How far each row's text is in its form. Rows are numbered as in the batch.

    A separator or an end that would break the form is forbidden, which conditions every draw on what was written so
    far. Nothing is forced: a text that reaches the limit is cut off unfinished, as one without a form is.
    """

    def __init__(self, form: Form, rows: int, device: torch.device) -> None:
        self.form = form
        self.closed = torch.zeros(rows, dtype=torch.long, device=device)
        """Fields behind a separator."""
        self.shown = torch.zeros(rows, dtype=torch.bool, device=device)
        """Whether the field being written shows something already."""
        self.blank = torch.cat([form.blank.cpu(), torch.tensor([form.separator])]).to(device)

    @classmethod
    def after(cls, form: Form, texts: Sequence[Sequence[int]], device: torch.device) -> Progress:
        """Of rows that have written these tokens."""
        made, blank = cls(form, len(texts), device), {*form.blank.tolist(), form.separator}
        last = [[*takewhile(lambda token: token != form.separator, reversed(text))] for text in texts]
        made.closed += torch.tensor([list(text).count(form.separator) for text in texts], device=device)
        made.shown |= torch.tensor([not blank.issuperset(field) for field in last], device=device)
        return made

    def forbid(self, logits: Tensor) -> None:
        """Leave no chance to what would break the form: [rows, V], changed in place."""
        form = self.form
        if not form.fields:
            return
        last = self.closed == form.fields - 1
        logits[:, form.end].masked_fill_(~(last & self.shown), -torch.inf)
        if form.fields > 1:
            logits[:, form.separator].masked_fill_(last | ~self.shown, -torch.inf)

    def note(self, tokens: Tensor) -> None:
        """Every row goes on by one token: [rows]."""
        if self.form.fields:
            divides = tokens == self.form.separator
            self.closed += divides
            self.shown = (self.shown | ~torch.isin(tokens, self.blank)) & ~divides

    def renew(self, rows: Tensor) -> None:
        """These rows begin a new text."""
        self.closed[rows] = 0
        self.shown[rows] = False

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        self.closed, self.shown = self.closed[rows], self.shown[rows]
