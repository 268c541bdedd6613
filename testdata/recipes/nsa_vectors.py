"""Vectors of native sparse attention from flash-linear-attention's naive operators.

    python3 nsa_vectors.py FLA OUTDIR

FLA is a checkout of fla-org/flash-linear-attention, of which the functions of
fla/ops/nsa/naive.py run as they are; needs PyTorch and safetensors, no GPU. For
//kernels/sparse_attention:nsa_golden_test, in the folder that LT2_GOLDEN_DIR
names.

Each file: q [B,T,HQ,D], k [B,T,H,D], v, do [B,T,HQ,D]; kc, vc [B,T/block,H,D],
means of the complete blocks; o_cmp with dq_cmp, dkc, dvc, and o with dq, dk, dv
(of sum(o * do)); selected_idx [B,T,H,n]. f32.
"""
import os
import sys
import types

import torch
from safetensors.torch import save_file


def naive_functions(fla):
    """The module without what it imports and these functions do not use."""
    stubs = {name: types.ModuleType(name)
             for name in ("einops", "fla", "fla.ops", "fla.ops.utils",
                          "fla.ops.utils.pooling")}
    # The one pattern that the module uses: b t h d -> b t (h g) d.
    stubs["einops"].repeat = lambda x, _, g: x.repeat_interleave(g, 2)
    stubs["fla.ops.utils"].prepare_chunk_offsets = None
    stubs["fla.ops.utils.pooling"].mean_pooling = None
    sys.modules.update(stubs)
    space = {}
    with open(os.path.join(fla, "fla/ops/nsa/naive.py")) as f:
        exec("from __future__ import annotations\n" + f.read(), space)
    return space


def block_means(x, block):
    """[B, ceil(T/block), H, D]: the last block may be short."""
    return torch.stack([part.mean(1) for part in x.split(block, 1)], 1)


def main():
    fla, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    naive = naive_functions(fla)
    for seed, (B, T, H, G, D, block, n) in enumerate(
            [(2, 37, 2, 2, 16, 4, 4), (1, 130, 1, 16, 64, 16, 5)]):
        torch.manual_seed(20261 + seed)
        scale = D ** -0.5
        q = torch.randn(B, T, H * G, D, requires_grad=True)
        k, v = (torch.randn(B, T, H, D, requires_grad=True) for _ in range(2))
        do = torch.randn(B, T, H * G, D)
        # The choice: from the means of all blocks, also the last, short one.
        indices = naive["naive_nsa_topk"](q.detach(), block_means(k.detach(), block),
                                          n, block, scale)
        o = naive["naive_nsa_selection"](q, k, v, indices, block, scale)
        dq, dk, dv = torch.autograd.grad((o * do).sum(), (q, k, v))
        full = T // block
        kc, vc = (block_means(x.detach(), block)[:, :full].clone().requires_grad_()
                  for x in (k, v))
        o_cmp, _ = naive["naive_nsa_compression"](q, kc, vc, block, scale)
        # A query that sees no block has NaN in the softmax that it does not use.
        visible = torch.arange(T) >= block - 1
        kept, _ = naive["naive_nsa_compression"](q, kc, vc, block, scale)
        loss = (kept[:, visible] * do[:, visible]).sum()
        dq_cmp, dkc, dvc = torch.autograd.grad(loss, (q, kc, vc))
        tensors = dict(q=q, k=k, v=v, do=do, kc=kc, vc=vc, o_cmp=o_cmp,
                       dq_cmp=dq_cmp, dkc=dkc, dvc=dvc, o=o, dq=dq, dk=dk, dv=dv,
                       selected_idx=indices)
        path = f"{out}/nsa_B{B}_T{T}_H{H}_G{G}_D{D}.safetensors"
        save_file({name: t.detach().contiguous() for name, t in tensors.items()}, path,
                  metadata={"op": "nsa", "scale": str(scale), "block_size": str(block),
                            "top_n": str(n), "source": "fla naive_nsa_*"})
        print(path, "NaN:", [x for x, t in tensors.items() if torch.isnan(t.float()).any()])


main()
