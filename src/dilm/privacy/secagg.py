"""Secure sums by Flower's SecAgg+ (Bell et al. 2020): its workflow on the server, its mod with each holder.

Only the legacy client API of Flower has it. Its engine (SuperLink, SuperNode, `flwr run`) leaves daemons behind and is
not needed: here are the two ends of the protocol, and whoever calls carries the messages between them.

Three things of Flower's are not taken over. Its masks come from 32 bits of a key, which a curious server could try one
by one; ours from all of it. Its answers tell every holder's number of rows in the clear; ours all say 1. Its rounding
is left nothing to do, as answers stand on the grid already.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from dilm.errors import ResourceError
from dilm.privacy.federation import MODULUS, Scale

WEIGHT = 1
"""Of every holder's answer, and the most that one may have: sums are sums, and no count is told."""
SERVER_SIDE = "flwr.server.workflow.secure_aggregation.secaggplus_workflow"
HOLDER_SIDE = "flwr.client.mod.secure_aggregation.secaggplus_mod"

Carry = Callable[[Mapping[int, bytes]], Mapping[int, bytes]]
"""Messages by holder -> the answers of those who answered."""
Compute = Callable[[Mapping[str, Any], list[np.ndarray]], np.ndarray]
"""(what is asked, arrays) -> a holder's answer, on the grid: one vector."""


@dataclass(frozen=True)
class Question:
    """What holders are asked for a sum of."""

    asked: Mapping[str, bool | int | float | str]
    arrays: Sequence[np.ndarray]
    scale: Scale


@dataclass
class _Round:
    """In the place of one of Flower's strategies: asks all holders, and takes the mean of those who answered."""

    holders: Sequence[int]
    question: Question
    mean: np.ndarray | None = None
    answered: int = 0

    def configure_fit(self, *_: object) -> list[tuple[Any, Any]]:
        from flwr.common import FitIns, ndarrays_to_parameters

        asked = FitIns(ndarrays_to_parameters(list(self.question.arrays)), dict(self.question.asked))
        return [(SimpleNamespace(node_id=holder), asked) for holder in self.holders]

    def aggregate_fit(self, _: int, results: Sequence[tuple[Any, Any]], __: object) -> tuple[None, dict]:
        from flwr.common import parameters_to_ndarrays

        self.answered = len(results)
        self.mean = parameters_to_ndarrays(results[0][1].parameters)[0]
        return None, {}


def secure_sum(holders: Sequence[int], least: int, question: Question, carry: Carry) -> tuple[np.ndarray, int] | None:
    """The exact sum of what the holders' grids held, and how many there were; None where too few answered in time.

    Where a holder is lost after it gave the others shares of its keys, the rest is unmasked without it. Where one is
    lost before that, or too many, nothing is: Flower then ends the round, and another may be begun with those left.
    """
    prepare()
    from flwr.app import ConfigRecord, Context, RecordDict
    from flwr.common import ndarrays_to_parameters
    from flwr.compat.common.recorddict_compat import parameters_to_arrayrecord
    from flwr.server import LegacyContext
    from flwr.server.workflow import SecAggPlusWorkflow

    scale, told = question.scale, _Round(holders, question)
    workflow = SecAggPlusWorkflow(
        1.0,
        least / len(holders),
        max_weight=float(WEIGHT),
        clipping_range=scale.reach,
        quantization_range=scale.levels,
        modulus_range=MODULUS,
    )
    state = RecordDict()
    state.config_records["config"] = ConfigRecord({"current_round": 1})
    state.array_records["parameters"] = parameters_to_arrayrecord(ndarrays_to_parameters([]), False)
    context = LegacyContext(Context(0, 0, {}, state, {}), strategy=told)  # type: ignore[arg-type]
    workflow(_Grid(carry), context)  # type: ignore[arg-type]
    if told.mean is None or told.answered < least:
        return None
    return np.round(told.mean * told.answered / scale.step) * scale.step, told.answered


@dataclass(frozen=True)
class _Grid:
    """In the place of Flower's engine: hands messages to holders, and brings back what they answer."""

    carry: Carry

    def send_and_receive(self, messages: Any, **_: object) -> list[Any]:
        back = self.carry({message.metadata.dst_node_id: _packed(message) for message in messages})
        return [answer for answer in map(_unpacked, back.values()) if not answer.has_error()]


@dataclass
class Holder:
    """A holder's end of the protocol: keys and shares of one round after the other."""

    compute: Compute
    context: Any = None
    fault: Exception | None = None
    """Of the last computation."""

    def answer(self, message: bytes) -> bytes:
        """What goes back to the server: keys, shares, a masked answer, or shares of others' keys."""
        prepare()
        from flwr.app import Context, Error, Message, RecordDict

        self.context = self.context or Context(0, 0, {}, RecordDict(), {})
        asked = _unpacked(message)
        try:
            return _packed(import_module(HOLDER_SIDE).secaggplus_mod(asked, self.context, self._asked))
        except (KeyError, ValueError) as fault:  # as where somebody was lost before their keys were shared
            if self.fault:
                raise
            return _packed(Message(Error(0, f"The round cannot go on: {fault}"), reply_to=asked))

    def _asked(self, message: Any, _: Any) -> Any:
        """The one place where rows are touched: the answer that SecAgg+ then masks."""
        from flwr.app import Message
        from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
        from flwr.compat.common import recorddict_compat as compat

        asked = compat.recorddict_to_fitins(message.content, keep_input=True)
        try:
            answer = self.compute(asked.config, parameters_to_ndarrays(asked.parameters))
        except Exception as fault:
            self.fault = fault
            raise
        told = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([answer]), WEIGHT, {})
        return Message(compat.fitres_to_recorddict(told, False), reply_to=message)


def prepare() -> None:
    """Let masks in this process follow from all bits of their keys, and Flower do without its engine and its log.

    Raises ResourceError where Flower is missing.
    """
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when it is imported
    try:
        ends = [import_module(name) for name in (SERVER_SIDE, HOLDER_SIDE)]
        engine = import_module("flwr.supercore.task_identity").TaskIdentity
    except ImportError as fault:
        raise ResourceError(
            f"Federated runs need Flower, which is not installed here ({fault}).", "Run `pip install 'dilm[federate]'`."
        ) from fault
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    engine.run_id, engine.task_id, engine.node_id = 0, 0, 0  # without which no message can be made
    for end in ends:
        end.pseudo_rand_gen = stretched  # type: ignore[attr-defined]


def stretched(seed: bytes, modulus: int, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """A mask of whole numbers below a power of two, at most 2**32, from all bits of a key, by SHAKE-256.

    In the place of Flower's `pseudo_rand_gen`, which folds the key into 32 bits and asks Mersenne's twister.
    """
    sizes = [int(np.prod(shape)) for shape in shapes]
    drawn = np.frombuffer(hashlib.shake_256(seed).digest(4 * sum(sizes)), "<u4").astype(np.int64) & (modulus - 1)
    parts = np.split(drawn, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _packed(message: Any) -> bytes:
    from flwr.common.serde import message_to_proto

    return message_to_proto(message).SerializeToString()


def _unpacked(data: bytes) -> Any:
    from flwr.common.serde import message_from_proto
    from flwr.proto.message_pb2 import Message as Packed

    return message_from_proto(Packed.FromString(data))
