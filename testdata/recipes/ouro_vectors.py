#!/usr/bin/env python3
"""Small random Ouro models and what Ouro's own code makes of them.

    ouro_vectors.py --code=DIR --out=DIR      makes OUT/ouro_NAME/ folders
    ouro_vectors.py --code=DIR --check=FOLDER compares an exported folder

CODE holds modeling_ouro.py and configuration_ouro.py as they come with the
released models (ByteDance/Ouro-1.4B); they are not part of this repository.
Needs torch. What those files import from transformers is taken from there, or,
where transformers is not installed, from the stand-ins below: base classes, the
causal mask and the default rotary frequencies, so that a torch without
transformers is enough. Everything else is Ouro's own code. Run with torch 1.13
alone and with torch 2.2.2 and transformers 4.57.1 (4.55 cannot make Ouro's
cache); the vectors of the two differ by 8e-7 at most.

A folder has config.json, the weights as Ouro stores them, and
vectors.safetensors: for B sequences of S tokens and T loops, f32 but for I32
ids and exit_step,

    ids [B,S]            hidden [T,B,S,D]     gate [T,B,S]    pdf [T,B,S]
    logits_step [T,B,S,V]    exit_at_step = 0..T-1
    thresholds [K]       exit_step [K,B,S]    logits_threshold [K,B,S,V]
    logits_weighted [B,S,V]
    logits_cached [B,S,V]    7 tokens at once, then one at a time, threshold 1

//model/hf:ouro_parity_test reads them from LT2_GOLDEN_DIR. With --check, FOLDER
is a folder that //tools:export wrote from one of these, with its
vectors.safetensors copied into it.
"""

import argparse
import importlib
import json
import os
import struct
import sys
import types

import torch

THRESHOLDS = [0.3, 0.5, 0.7, 0.9, 1.0]
PREFILL = 7


def have_transformers():
    try:
        importlib.import_module("transformers.masking_utils")
        return True
    except ImportError:
        return False


def stand_ins():
    """Modules with the names that Ouro's files import."""

    def module(name, **members):
        m = types.ModuleType(name)
        m.__dict__.update(members)
        sys.modules[name] = m
        return m

    class Anything:
        """A base class or annotation that nothing here uses."""

        def __class_getitem__(cls, _):
            return cls

    def passes(*args, **kwargs):
        """A decorator without effect, with or without arguments."""
        if len(args) == 1 and callable(args[0]) and not kwargs:
            return args[0]
        return lambda f: f

    class Config:
        def __init__(self, tie_word_embeddings=False, **rest):
            self.tie_word_embeddings = tie_word_embeddings
            self.pad_token_id = rest.pop("pad_token_id", None)
            self._attn_implementation = "eager"
            self.__dict__.update(rest)

    class Model(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.config = config

        def post_init(self):
            pass

    class Output:
        def __init__(self, **fields):
            self.hidden_states = self.attentions = None
            self.__dict__.update(fields)

    def mask(config, input_embeds, cache_position, past_key_values=None,
             window=None, **_):
        keys = int(cache_position[-1]) + 1
        at = cache_position[:, None]
        key = torch.arange(keys)[None, :]
        seen = key <= at
        if window is not None:
            seen &= key > at - window
        bias = torch.zeros(seen.shape, dtype=input_embeds.dtype)
        bias.masked_fill_(~seen, torch.finfo(input_embeds.dtype).min)
        return bias[None, None]

    def sliding_mask(config, **rest):
        return mask(config, window=config.sliding_window, **rest)

    def frequencies(config, device=None, **_):
        dim = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads)
        exponent = torch.arange(0, dim, 2, dtype=torch.int64).float() / dim
        return 1.0 / (config.rope_theta**exponent), 1.0

    module("transformers")
    module("transformers.activations",
           ACT2FN={"silu": torch.nn.functional.silu})
    module("transformers.cache_utils", Cache=Anything)
    module("transformers.generation", GenerationMixin=type("G", (), {}))
    module("transformers.integrations", use_kernel_forward_from_hub=passes)
    module("transformers.masking_utils", create_causal_mask=mask,
           create_sliding_window_causal_mask=sliding_mask)
    module("transformers.modeling_flash_attention_utils",
           FlashAttentionKwargs=Anything)
    generic = {f"GenericFor{n}": type(n, (), {}) for n in (
        "QuestionAnswering", "SequenceClassification", "TokenClassification")}
    module("transformers.modeling_layers",
           GradientCheckpointingLayer=torch.nn.Module, **generic)
    module("transformers.modeling_outputs", BaseModelOutputWithPast=Output,
           CausalLMOutputWithPast=Output)
    module("transformers.modeling_rope_utils",
           ROPE_INIT_FUNCTIONS={"default": frequencies},
           dynamic_rope_update=passes,
           rope_config_validation=lambda config: None)
    module("transformers.modeling_utils", ALL_ATTENTION_FUNCTIONS={},
           PreTrainedModel=Model)
    module("transformers.processing_utils", Unpack=Anything)
    module("transformers.utils", TransformersKwargs=Anything,
           can_return_tuple=passes, auto_docstring=passes,
           logging=types.SimpleNamespace(
               get_logger=lambda name: types.SimpleNamespace(
                   warning_once=print)))
    module("transformers.utils.generic", check_model_inputs=passes)
    module("transformers.configuration_utils", PretrainedConfig=Config,
           layer_type_validation=lambda types: None)


def ouro_classes(code):
    if not have_transformers():
        stand_ins()
        print("without transformers: base classes and mask are stand-ins")
    package = types.ModuleType("ouro_code")
    package.__path__ = [code]
    sys.modules["ouro_code"] = package
    config = importlib.import_module("ouro_code.configuration_ouro")
    model = importlib.import_module("ouro_code.modeling_ouro")
    return config.OuroConfig, model.OuroForCausalLM


# safetensors, written and read by hand: a header and the bytes.
TYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16",
         torch.int32: "I32"}


def raw(t):
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def write_tensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, []
    at = 0
    for name, t in tensors.items():
        data.append(raw(t))
        header[name] = {"dtype": TYPES[t.dtype], "shape": list(t.shape),
                        "data_offsets": [at, at + len(data[-1])]}
        at += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def read_tensors(path):
    with open(path, "rb") as f:
        bytes_ = f.read()
    n = struct.unpack("<Q", bytes_[:8])[0]
    names = {v: k for k, v in TYPES.items()}
    out = {}
    for name, info in json.loads(bytes_[8:8 + n]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + n + o for o in info["data_offsets"])
        flat = torch.frombuffer(bytearray(bytes_[begin:end]),
                                dtype=names[info["dtype"]])
        out[name] = flat.reshape(info["shape"])
    return out


def read_folder(folder):
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return read_tensors(os.path.join(folder, "model.safetensors"))
    with open(index) as f:
        shards = set(json.load(f)["weight_map"].values())
    out = {}
    for shard in sorted(shards):
        out.update(read_tensors(os.path.join(folder, shard)))
    return out


def set_weights(model, weights):
    """The weights of a folder, as f32; all of them and nothing else."""
    mine = dict(model.named_parameters())
    if model.config.tie_word_embeddings:
        mine.pop("lm_head.weight", None)
        model.lm_head.weight = model.model.embed_tokens.weight
    if set(mine) != set(weights):
        sys.exit(f"tensors differ: {sorted(set(mine) ^ set(weights))}")
    with torch.no_grad():
        for name, p in mine.items():
            if p.shape != weights[name].shape:
                sys.exit(f"{name}: {tuple(weights[name].shape)}, the model "
                         f"has {tuple(p.shape)}")
            p.copy_(weights[name].float())


def vectors(model, ids):
    with torch.no_grad():
        out = {"ids": ids.to(torch.int32)}
        _, hidden, gate = model.model(input_ids=ids, use_cache=False)
        out["hidden"] = torch.stack(hidden)
        gates = torch.stack(gate).squeeze(-1)
        out["gate"] = gates
        loops = len(hidden)
        # The definition of the probabilities, in f64: Ouro's code computes but
        # does not return them.
        lam = torch.sigmoid(gates.double())
        rest = torch.cumprod(1 - lam, 0)
        pdf = lam.clone()
        pdf[1:] = lam[1:] * rest[:-1]
        pdf[-1] = rest[-2] if loops > 1 else torch.ones_like(rest[0])
        out["pdf"] = pdf.float()

        def logits(**how):
            return model(input_ids=ids, use_cache=False, **how).logits

        steps = [logits(exit_at_step=t) for t in range(loops)]
        out["logits_step"] = torch.stack(steps)
        chosen, by_threshold = [], []
        for threshold in THRESHOLDS:
            z = logits(exit_threshold=threshold)
            by_threshold.append(z)
            same = torch.stack([(z == s).all(-1) for s in steps]).float()
            if not (same.sum(0) == 1).all():
                sys.exit("logits of a threshold are not those of one loop")
            chosen.append(same.argmax(0))
        out["thresholds"] = torch.tensor(THRESHOLDS)
        out["exit_step"] = torch.stack(chosen).to(torch.int32)
        out["logits_threshold"] = torch.stack(by_threshold)
        # A threshold in the configuration comes before the weighted exit.
        kept, model.early_exit_threshold = model.early_exit_threshold, None
        out["logits_weighted"] = logits(use_weighted_exit=True)
        model.early_exit_threshold = kept

        cache, pieces = None, []
        begin = 0
        while begin < ids.shape[1]:
            end = PREFILL if begin == 0 else begin + 1
            r = model(input_ids=ids[:, begin:end], past_key_values=cache,
                      use_cache=True,
                      cache_position=torch.arange(begin, end))
            cache = r.past_key_values
            pieces.append(r.logits)
            begin = end
        out["logits_cached"] = torch.cat(pieces, 1)
    return out


BASE = dict(model_type="ouro", architectures=["OuroForCausalLM"],
            hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, head_dim=16, intermediate_size=96,
            vocab_size=101, hidden_act="silu", rms_norm_eps=1e-6,
            rope_theta=1000000.0, rope_scaling=None,
            max_position_embeddings=512, tie_word_embeddings=False,
            use_sliding_window=False, total_ut_steps=3,
            early_exit_threshold=1.0, attention_dropout=0.0, pad_token_id=0,
            bos_token_id=0, eos_token_id=0)

CASES = {
    "mha": (dict(torch_dtype="float32"), torch.float32, 1),
    "gqa_tied_bf16": (dict(num_key_value_heads=2, tie_word_embeddings=True,
                           torch_dtype="bfloat16"), torch.bfloat16, 3),
    "window_f16": (dict(use_sliding_window=True, sliding_window=5,
                        max_window_layers=1, total_ut_steps=4,
                        layer_types=["full_attention", "sliding_attention"],
                        torch_dtype="float16"), torch.float16, 1),
}


def random_weights(model, dtype, seed):
    """Weights that make every part of the model matter."""
    g = torch.Generator().manual_seed(seed)
    out = {}
    for name, p in model.named_parameters():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if "norm" in name:
            t = 0.5 + torch.rand(p.shape, generator=g)
        elif name == "model.early_exit_gate.bias":
            t = torch.full(p.shape, -0.5)
        elif name == "model.early_exit_gate.weight":
            t = 0.2 * torch.randn(p.shape, generator=g)
        elif name == "model.embed_tokens.weight":
            t = torch.randn(p.shape, generator=g)
        else:
            t = torch.randn(p.shape, generator=g) * p.shape[-1]**-0.5
        out[name] = t.to(dtype)
    return out


def write_folder(folder, config, weights, shards):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
    if shards == 1:
        write_tensors(os.path.join(folder, "model.safetensors"), weights)
        return
    names = sorted(weights)
    index = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        mine = names[i::shards]
        write_tensors(os.path.join(folder, file), {n: weights[n] for n in mine})
        index.update({n: file for n in mine})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {}, "weight_map": index}, f, indent=2)


def build(classes, config):
    config_class, model_class = classes
    keys = {k: v for k, v in config.items()
            if k not in ("model_type", "architectures", "lt2")}
    made = config_class(**keys)
    made._attn_implementation = "eager"
    return model_class(made).eval()


def make(classes, out):
    for seed, (name, (changes, dtype, shards)) in enumerate(CASES.items()):
        config = {**BASE, **changes}
        model = build(classes, config)
        weights = random_weights(model, dtype, seed + 1)
        set_weights(model, weights)
        g = torch.Generator().manual_seed(seed + 10)
        ids = torch.randint(0, config["vocab_size"], (2, 23), generator=g)
        found = vectors(model, ids)
        folder = os.path.join(out, "ouro_" + name)
        write_folder(folder, config, weights, shards)
        write_tensors(os.path.join(folder, "vectors.safetensors"), found)
        left = [int((found["exit_step"] == t).sum())
                for t in range(config["total_ut_steps"])]
        print(f"{folder}: tokens that leave after each loop, over all "
              f"thresholds: {left}")


def check(classes, folder):
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    model = build(classes, config)
    set_weights(model, read_folder(folder))
    want = read_tensors(os.path.join(folder, "vectors.safetensors"))
    got = vectors(model, want["ids"].long())
    worst = 0.0
    for name, t in want.items():
        if t.dtype == torch.int32:
            if not torch.equal(t, got[name]):
                sys.exit(f"{name} differs")
            continue
        error = ((t - got[name]).norm() / t.norm()).item()
        worst = max(worst, error)
        print(f"{name:18s} relative error {error:.2e}")
    print(f"worst {worst:.2e}")
    if worst > 1e-5:
        sys.exit("the export is not the model that it was made from")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--code", required=True,
                        help="folder with modeling_ouro.py")
    parser.add_argument("--out", help="folder to make ouro_NAME folders in")
    parser.add_argument("--check", help="exported folder to compare")
    args = parser.parse_args()
    torch.manual_seed(0)
    classes = ouro_classes(os.path.abspath(args.code))
    if args.out:
        make(classes, args.out)
    if args.check:
        check(classes, args.check)


if __name__ == "__main__":
    main()
