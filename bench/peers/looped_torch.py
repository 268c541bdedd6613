"""The looped transformer of model/looped/looped_model.h in PyTorch, with the layers
of flash-linear-attention: what peers.py compiles and times."""


def looped_model(torch, mixer, config, loops):
    """A class; its constructor takes the length of the sequences."""
    import torch.nn.functional as F
    from torch import nn
    dim, heads = config["dim"], config["n_heads"]

    class RmsNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(dim))

        def forward(self, x):
            return F.rms_norm(x, (dim,), self.weight, 1e-6)

    class Softmax(nn.Module):
        def __init__(self, length):
            super().__init__()
            self.qkv = nn.Linear(dim, 3 * dim, bias=False)
            self.out = nn.Linear(dim, dim, bias=False)
            half = dim // heads // 2
            angle = torch.outer(
                torch.arange(length, dtype=torch.float32),
                10000.0 ** (-torch.arange(half, dtype=torch.float32) / half))
            self.register_buffer("cos", angle.cos()[None, :, None, :])
            self.register_buffer("sin", angle.sin()[None, :, None, :])

        def rope(self, x):
            a, b = x.float().chunk(2, -1)
            return torch.cat([a * self.cos - b * self.sin,
                              b * self.cos + a * self.sin], -1).to(x.dtype)

        def forward(self, x):
            b, s, _ = x.shape
            q, k, v = (t.view(b, s, heads, dim // heads)
                       for t in self.qkv(x).chunk(3, -1))
            q, k = self.rope(q), self.rope(k)
            o = F.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                is_causal=True)
            return self.out(o.transpose(1, 2).reshape(b, s, dim))

    class First(nn.Module):
        """fla's layers return a tuple."""

        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x)[0]

    def mixer_of(length):
        if mixer == "full":
            return Softmax(length)
        c = config.get(mixer, {})
        d_k = c.get("key_dim", dim) // c.get("n_heads", heads)
        if mixer == "gdn":
            from fla.layers import GatedDeltaNet
            return First(GatedDeltaNet(hidden_size=dim, num_heads=heads,
                                       head_dim=d_k,
                                       expand_v=c.get("expand_v", 2)))
        if mixer == "deltanet":
            from fla.layers import DeltaNet
            return First(DeltaNet(hidden_size=dim, num_heads=heads))
        if mixer == "kda":
            from fla.layers import KimiDeltaAttention
            return First(KimiDeltaAttention(hidden_size=dim, num_heads=heads,
                                            head_dim=d_k))
        raise NotImplementedError("no layer for " + mixer)

    class Block(nn.Module):
        def __init__(self, length):
            super().__init__()
            hidden = config["ffn_hidden"]
            self.norm1, self.norm2 = RmsNorm(), RmsNorm()
            self.mixer = mixer_of(length)
            self.w1 = nn.Linear(dim, hidden, bias=False)
            self.w3 = nn.Linear(dim, hidden, bias=False)
            self.w2 = nn.Linear(hidden, dim, bias=False)

        def forward(self, h):
            h = h + self.mixer(self.norm1(h))
            n = self.norm2(h)
            return h + self.w2(F.silu(self.w1(n)) * self.w3(n))

    class Looped(nn.Module):
        def __init__(self, length):
            super().__init__()
            self.embedding = nn.Embedding(config["vocab_size"], dim)
            self.blocks = nn.ModuleList(Block(length) for _ in
                                        range(config["n_layers"]))
            self.gates = nn.Parameter(torch.zeros(loops, dim))
            self.norm = RmsNorm()

        def forward(self, ids):
            h = self.embedding(ids)
            for loop in range(loops):
                before = h
                for block in self.blocks:
                    h = block(h)
                h = h + self.gates[loop] * before
            return F.linear(self.norm(h), self.embedding.weight).float()

    return Looped


def time_models(bench, shape_of, lengths, loops):
    """Rows of prefill and of a training step of each mixer's model."""
    torch = bench.torch
    import torch._dynamo
    import torch.nn.functional as F
    for mixer in bench.mixers("full", "gdn", "kda", "deltanet"):
        config = shape_of(mixer)
        for length in lengths:
            what = dict(mixer=mixer, length=length, loops=loops,
                        peer="torch.compile")

            def build(length=length, mixer=mixer, config=config):
                torch._dynamo.reset()
                torch.manual_seed(0)
                model = looped_model(torch, mixer, config, loops)(length)
                model = model.to("cuda", torch.bfloat16)
                ids = [torch.randint(0, config["vocab_size"], (1, length),
                                     device="cuda") for _ in range(4)]
                # Each block alone, as PyTorch advises for repeated blocks: the
                # whole model would be compiled with its loops unrolled.
                for block in model.blocks:
                    block.compile(dynamic=False)
                return model, ids

            def prefill(build=build):
                model, ids = build()

                def call(i):
                    with torch.no_grad():
                        model(ids[i % 4])
                return call

            def train(build=build):
                model, ids = build()
                adam = torch.optim.AdamW(model.parameters(), lr=1e-7,
                                         fused=True)

                def call(i):
                    adam.zero_grad()
                    loss = F.cross_entropy(model(ids[i % 4]).flatten(0, 1),
                                           ids[(i + 1) % 4].flatten())
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    adam.step()
                return call
            bench.row(prefill, phase="prefill", **what)
            bench.row(train, phase="train", **what)
