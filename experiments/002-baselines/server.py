"""An OpenAI-compatible completions server on loopback before a causal language model, for machines without vLLM."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from dilm.models.scorer import CausalScorer


class Server(ThreadingHTTPServer):
    """Answers `/v1/completions`, greedily; `logprobs` likeliest first tokens come with the text."""

    daemon_threads = True

    def __init__(self, scorer: CausalScorer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scorer = scorer
        self.busy = threading.Lock()
        self.asked = 0

    @torch.no_grad()
    def complete(self, prompt: str, tokens: int, top: int) -> tuple[str, dict[str, float]]:
        tokenizer, model = self.scorer.tokenizer, self.scorer.model
        row = [*self.scorer.front, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]  # type: ignore[misc]
        begin, first = len(row), torch.empty(0)
        for _ in range(tokens):
            logs = model(input_ids=torch.tensor([row])).logits[0, -1].float().log_softmax(-1)
            first = logs if len(row) == begin else first
            row.append(int(logs.argmax()))
        likeliest = first.topk(top)
        names = (tokenizer.decode([token]) for token in likeliest.indices.tolist())
        return tokenizer.decode(row[begin:]), dict(zip(names, likeliest.values.tolist(), strict=True))


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.busy:  # one model, one thread
            self.server.asked += 1
            text, top = self.server.complete(body["prompt"], body["max_tokens"], body.get("logprobs", 0))
        payload = json.dumps({"choices": [{"text": text, "logprobs": {"top_logprobs": [top]}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(scorer: CausalScorer) -> Iterator[tuple[str, Server]]:
    """The address while the server runs."""
    server = Server(scorer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
