"""A language model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, hosted ones) as scorer.

Servers seldom say how likely a given answer is. Where the likeliest first tokens come with the completion and all
candidates are among them, they are the scores; otherwise the completion is read, and what cannot be read is counted.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dilm.errors import ModelError, ResourceError
from dilm.models.connection import Connection, Manners
from dilm.runtime.hashing import key

ROUTES = {"completions": "completions", "chat": "chat/completions"}
BYTES_PER_TOKEN = 3
"""Tokenizers need more bytes than this for a token of ordinary text, so counts are rather too high."""
BESIDE = 64
"""Tokens of the context that are left to a chat template, the instruction and the answer."""
QUOTES = " \t\r\n\"'`*“”‘’«»"
"""What models put before an answer without meaning anything by it."""
WORD_MARKS = " \t\r\n▁Ġ"
"""How servers write that a token begins a word."""


@dataclass(frozen=True)
class Endpoint:
    """Which model answers, and in which form it is asked."""

    url: str
    """Up to and with the version, for example `http://localhost:8000/v1`."""
    model: str
    route: str = "completions"
    """`completions` continues the prompt as it is; `chat` asks for the answer, for models that only chat."""
    top: int = 5
    """Likeliest first tokens to ask for; 0 for servers that refuse to tell."""
    context: int = 4096
    """Tokens that the server's model can hold."""


@dataclass(frozen=True)
class Reply:
    """What a server said: the beginning of its completion, and the log-likelihoods of the likeliest first tokens."""

    text: str
    top: dict[str, float]
    finished: bool = True
    """Whether it ended by itself: False where it was cut off at its longest."""


class Answers:
    """Replies by the content of their question, in one file. Neither questions nor keys stand in it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(self._open()) as table, table:
                table.execute("CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except sqlite3.DatabaseError as fault:
            raise ResourceError(
                f"{file} cannot be used to keep answers: {fault}.", "Remove it, or name another file."
            ) from fault

    def find(self, question: str) -> Reply | None:
        """What was answered before."""
        with closing(self._open()) as table:
            found = table.execute("SELECT reply FROM answers WHERE question = ?", (question,)).fetchone()
        return Reply(**json.loads(found[0])) if found else None

    def keep(self, question: str, reply: Reply) -> None:
        """On disk when this returns."""
        with closing(self._open()) as table, table:
            table.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (question, json.dumps(asdict(reply))))

    def _open(self) -> sqlite3.Connection:
        """Anew each time, since connections belong to a thread; other processes may be writing for a moment."""
        return sqlite3.connect(self.file, timeout=60)


class Service:
    """A served model, asked several questions at a time and none twice: answers are kept in the file `cache`."""

    def __init__(self, endpoint: Endpoint, cache: Path, manners: Manners) -> None:
        """Raises ModelError for an unknown route or a wrong address, ResourceError for an unusable file."""
        if endpoint.route not in ROUTES:
            raise ModelError(f"There is no route {endpoint.route!r} to a server.", f"Use {' or '.join(ROUTES)}.")
        self.connection = Connection(f"{endpoint.url.rstrip('/')}/{ROUTES[endpoint.route]}", manners)
        self.answers = Answers(cache)

    def replies(self, bodies: Sequence[dict[str, Any]]) -> list[Reply]:
        """One to each distinct request; after a failure nothing more is sent, and what was answered is kept.

        Raises ModelError for a wrong address or answer, ResourceError for a server that stays away, and BudgetError.
        """
        faults: list[BaseException] = []

        def reply(body: dict[str, Any]) -> Reply:
            """Threads learn of the first fault here: each would have sent its next before the caller does."""
            if faults:
                raise faults[0]
            try:
                return self._reply(body)
            except BaseException as fault:
                faults.append(fault)
                raise

        pool = ThreadPoolExecutor(self.connection.manners.parallel)
        try:
            return list(pool.map(reply, bodies))
        finally:
            pool.shutdown(cancel_futures=True)

    def _reply(self, body: dict[str, Any]) -> Reply:
        question = key(json.dumps([self.connection.url, body], sort_keys=True))
        known = self.answers.find(question)
        if known is None:
            known = read_reply(self.connection.post(body), self.connection.url)
            self.answers.keep(question, known)
        return known


class EndpointScorer:
    """A served model behind the `Scorer` socket. No question is asked twice: answers are kept in the file `cache`."""

    def __init__(self, endpoint: Endpoint, cache: Path, manners: Manners | None = None) -> None:
        self.endpoint = endpoint
        self.name = endpoint.model
        self.context = endpoint.context - BESIDE
        self.service = Service(endpoint, cache, manners or Manners())
        self.unreadable = 0
        """Answers so far that named no candidate."""

    def tokens(self, text: str) -> int:
        """An estimate from the bytes of the text, rather too high: servers have no common way to count."""
        return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)

    def score(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        """Log-likelihoods of the candidates' first words where the server tells all, otherwise 0 for the candidate that
        the completion begins with and -inf for the others, nan where it begins with none: -> float64 [n, c].

        Raises ModelError for a wrong address or answer, ResourceError for a server that stays away, and BudgetError.
        """
        words = _words(candidates)
        if not (prompts and words):
            return np.zeros((len(prompts), len(words)))
        once = list(dict.fromkeys(prompts))
        replies = dict(zip(once, self.service.replies([self._body(each, words) for each in once]), strict=True))
        rows = [_row(replies[prompt], words) for prompt in prompts]
        scores = np.array(rows, dtype=np.float64)
        self.unreadable += int(np.isnan(scores).any(1).sum())
        return scores

    def _body(self, prompt: str, words: list[str]) -> dict[str, Any]:
        """The request: greedy, and just long enough for the longest candidate."""
        longest = max(self.tokens(word) for word in words)
        body: dict[str, Any] = {"model": self.endpoint.model, "temperature": 0, "max_tokens": longest + 4}
        top = self.endpoint.top
        if self.endpoint.route == "completions":
            return body | {"prompt": prompt} | ({"logprobs": top} if top else {})
        asked = f"Complete the last entry. Answer with one of these and nothing else: {', '.join(words)}."
        messages = [{"role": "system", "content": asked}, {"role": "user", "content": prompt}]
        return body | {"messages": messages} | ({"logprobs": True, "top_logprobs": top} if top else {})


def read_reply(answer: Any, url: str) -> Reply:
    """Text and first tokens from either form of answer. Raises ModelError where there are none."""
    try:
        choice = answer["choices"][0]
        text = choice["text"] if "text" in choice else choice["message"]["content"] or ""
        if not isinstance(text, str):
            raise TypeError(f"its text is a {type(text).__name__}")
        return Reply(text, _top(choice.get("logprobs") or {}), choice.get("finish_reason") != "length")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as fault:
        raise ModelError(
            f"What {url} answered is no completion: {type(fault).__name__}, {fault}.",
            "Give the address of an OpenAI-compatible server, with its version, such as http://localhost:8000/v1.",
        ) from fault


def _top(logprobs: dict[str, Any]) -> dict[str, float]:
    """Likeliest first tokens: a list of entries (chat, and llama.cpp always) or a map for each position."""
    if logprobs.get("content"):
        entries = logprobs["content"][0].get("top_logprobs") or []
        return {entry["token"]: float(entry["logprob"]) for entry in entries}
    positions = logprobs.get("top_logprobs") or [{}]
    return {token: float(value) for token, value in (positions[0] or {}).items()}


def _words(candidates: Sequence[str]) -> list[str]:
    """Candidates as they are looked for. Raises ModelError where two could not be told apart."""
    words = [candidate.strip() for candidate in candidates]
    if not all(words) or len({word.casefold() for word in words}) < len(words):
        raise ModelError(
            f"The class names {', '.join(map(repr, words))} cannot be told apart in an answer.",
            "Give each class a name of its own, different in more than upper and lower case.",
        )
    return words


def _row(reply: Reply, words: list[str]) -> list[float]:
    """Scores of one reply: graded, or one candidate, or unreadable."""
    if graded := _graded(reply.top, words):
        return graded
    said = _said(reply.text, words)
    if said is None:
        return [math.nan] * len(words)
    return [0.0 if word == said else -math.inf for word in words]


def _graded(top: dict[str, float], words: list[str]) -> list[float] | None:
    """Log-likelihood of each candidate's first word, over its spellings; None unless all are there and differ."""
    firsts = [word.split()[0].casefold() for word in words]
    found: dict[str, list[float]] = {first: [] for first in firsts}
    for token, value in top.items():
        found.get(token.strip(WORD_MARKS).casefold(), []).append(value)
    if len(found) < len(words) or not all(found.values()):
        return None
    return [float(np.logaddexp.reduce(found[first])) for first in firsts]


def _said(text: str, words: list[str]) -> str | None:
    """The longest candidate that a completion begins with, whatever its case; `nothing` does not begin with `no`."""
    for begun in (text.strip().casefold(), text.lstrip(QUOTES).casefold()):
        fitting = [word for word in words if begun.startswith(word.casefold()) and _ends(begun, len(word.casefold()))]
        if fitting:
            return max(fitting, key=len)
    return None


def _ends(text: str, at: int) -> bool:
    """Whether a word ends here: anywhere in scripts without upper and lower case, which put no space between words."""
    before, after = text[at - 1], text[at : at + 1]
    return not all(letter.isdigit() or letter.upper() != letter.lower() for letter in (before, after))
