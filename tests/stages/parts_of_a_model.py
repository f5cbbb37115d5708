"""What each of several processes holds of a split model. Run by test_fsdp."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from dilm.runtime import fsdp
from dilm.runtime.optimize import AdamW, Schedule
from dilm.runtime.processes import Lockstep, crew

SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 48, "vocab_size": 300, "n_positions": 32}


def main() -> None:
    own = crew()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**SHAPE, bos_token_id=None, eos_token_id=None))
    weights = sum(weight.numel() for weight in model.parameters())
    fsdp.split(model, own.group(model.device))
    most = weights / own.size * 1.05
    tokens = torch.arange(20).view(2, 10) + own.rank
    update = AdamW(model.parameters(), Schedule(4, 1e-3), Lockstep(own))
    update(iter([model(tokens, labels=tokens).loss]), 1)
    moments = [state[name] for state in update.adam.state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert held(model.parameters()) < most
    assert held(weight.grad for weight in model.parameters()) < most
    assert held(moments) < 2 * most
    with fsdp.whole(model), torch.no_grad():
        assert sum(weight.numel() for weight in model.parameters()) == weights
        assert not any(isinstance(weight.data, fsdp.DTensor) for weight in model.parameters())
        if own.rank == 0:  # nobody else reads
            model(tokens)
    assert held(model.parameters()) < most


def held(tensors) -> int:
    """Numbers in this process."""
    return sum(tensor.to_local().numel() for tensor in tensors)


if __name__ == "__main__":
    main()
