#!/usr/bin/env python3
"""Times other people's operators and models beside ours, on one GPU, in one run.

    peers.py --ours=PROGRAM --out=FOLDER [--time_limit=S] [--groups=G,...]

PROGRAM is bench/scaling's; it runs first (--preset=peers) and leaves
scaling.json in FOLDER. With --results=FILE that scaling.json is taken instead:
of --preset=paper, measured on the same machine just before. Then the same shapes go through

    sdpa   PyTorch's scaled_dot_product_attention, its FlashAttention-2 and
           cuDNN backends, and FlashAttention-2 with a window
    fla    the Triton operators of flash-linear-attention
    model  the same looped model in PyTorch, with fla's layers, its blocks compiled

as far as Python has torch and fla, and each peer is printed beside ours with
the ratio ours / theirs. What is not there, or refuses, is a row that says why.
Writes peers.jsonl (one row a line) and peers.md; the exit code is 0 unless the
command line or the folder is wrong.

A time is a median of spans between two CUDA events, of so many calls that a
span takes a millisecond; inputs are random and rotate through sets that
together are twice the L2 cache: as in bench/scaling/timer.h. Operators are
launched from Python, ours from C++: below some 50 microseconds that is what
differs.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
import warnings

sys.dont_write_bytecode = True  # this folder may be the source tree
from looped_torch import time_models  # noqa: E402

GROUPS = ("sdpa", "fla", "model")
MIXERS = ("full", "window", "gdn", "deltanet", "kda", "nsa")
# Of ours, if our program could not run: those of its preset.
DEFAULT = {"dim": 2048, "n_heads": 16, "n_layers": 2, "vocab_size": 64,
           "ffn_hidden": 5632, "default_sliding_window": 2048}
LENGTHS = (2048, 8192, 32768)
LOOPS = 4


class Clock:
    """What is left of the time."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


class Rows:
    """Rows as they come: to a file, and kept for the table."""

    def __init__(self, path):
        self.file = open(path, "w", encoding="utf-8")
        self.rows = []

    def add(self, **row):
        self.rows.append(row)
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        what = "%-22s %-17s %-12s %7s" % (
            row.get("peer", ""), row.get("phase", ""), row.get("mixer", ""),
            row.get("length", ""))
        if row.get("status") == "ok":
            print("%s  %s" % (what, short(row["median_s"])), flush=True)
        else:
            print("%s  %s: %s" % (what, row.get("status"),
                                  row.get("message", "")[:160]), flush=True)


def short(seconds):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return "%.3g %s" % (seconds / scale, unit)
    return "%.3g ns" % (seconds / 1e-9)


def run_ours(program, results, out, seconds, rows):
    """Runs our program; returns what its scaling.json says, or {}."""
    if results:
        with open(results, encoding="utf-8") as f:
            return json.load(f)
    if not program:
        rows.add(peer="ours", status="absent", message="no --ours=PROGRAM")
        return {}
    command = [program, "--preset=peers", "--out=" + out,
               "--time_limit=%d" % seconds]
    print(" ".join(command), flush=True)
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True,
                              timeout=seconds + 120, check=False)
        tail = done.stderr.strip().splitlines()[-1:]
        if done.returncode != 0:
            rows.add(peer="ours", status="error",
                     message=tail[0] if tail else str(done.returncode))
        with open(os.path.join(out, "scaling.json"), encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        rows.add(peer="ours", status="error", message=str(error)[:300])
        return {}


def failure(error):
    """Status and message of an exception that a peer raised."""
    text = " ".join(str(error).split())[:300] or type(error).__name__
    low = text.lower()
    if "out of memory" in low:
        return "out_of_memory", text
    refuses = "triton" in low or "hopper" in low or "not support" in low
    refuses = refuses or isinstance(error, (ImportError, NotImplementedError))
    return ("unsupported" if refuses else "error"), text


class Bench:
    """Times calls on the GPU, and writes rows."""

    def __init__(self, torch, rows, clock, row_seconds, only):
        self.torch = torch
        self.only = only
        self.rows = rows
        self.clock = clock
        self.row_seconds = row_seconds
        properties = torch.cuda.get_device_properties(0)
        self.l2 = getattr(properties, "L2_cache_size", 50 << 20)

    def mixers(self, *names):
        return [n for n in names if not self.only or n in self.only]

    def sets(self, one_set_bytes):
        return max(2, min(16, 2 * self.l2 // max(1, one_set_bytes) + 1))

    def span(self, call, first, n):
        cuda = self.torch.cuda
        start, stop = cuda.Event(enable_timing=True), cuda.Event(
            enable_timing=True)
        start.record()
        for i in range(n):
            call(first + i)
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) * 1e-3 / n

    def time(self, call):
        begin, calls = time.monotonic(), 0
        self.span(call, 0, 1)  # compiles
        seconds = self.span(call, 1, 1)
        seconds = min(seconds, self.span(call, 2, 1))
        calls, begin = 3, time.monotonic()
        n = max(1, min(50, math.ceil(1e-3 / max(seconds, 1e-9))))
        samples = []
        while len(samples) < 31:
            samples.append(self.span(call, calls, n))
            calls += n
            if time.monotonic() - begin > self.row_seconds:
                break
        return samples

    def row(self, make, **what):
        """`make` builds the inputs and returns the call to time."""
        if self.clock.left() < 0:
            self.rows.add(status="pending", message="the time was over", **what)
            return
        try:
            samples = self.time(make())
            self.rows.add(status="ok", median_s=statistics.median(samples),
                          samples_s=samples, **what)
        except Exception as error:  # whatever a peer throws is a row
            status, message = failure(error)
            self.rows.add(status=status, message=message, **what)
        try:
            self.torch.cuda.empty_cache()
        except RuntimeError as error:  # a kernel failed: nothing works now
            self.rows.add(peer=what.get("peer"), status="error",
                          message="the device is lost: " + str(error)[:200])
            self.clock.end = 0


def rotate(make_set, one_set_bytes, bench):
    sets = [make_set() for _ in range(bench.sets(one_set_bytes))]
    return lambda i: sets[i % len(sets)]


def both_phases(bench, make_inputs, forward, dout_like, **what):
    """Rows of a forward, and of forward and backward. make_inputs(grad)
    returns (a tuple of tensors, bytes)."""
    torch = bench.torch

    def make_forward():
        _, size = make_inputs(False)
        take = rotate(lambda: make_inputs(False)[0], size, bench)

        def call(i):
            with torch.no_grad():
                forward(*take(i))
        return call

    def make_both():
        inputs, size = make_inputs(True)
        dout = torch.rand_like(dout_like(inputs)) * 2 - 1
        take = rotate(lambda: make_inputs(True)[0], size, bench)

        def call(i):
            tensors = take(i)
            wanted = [t for t in tensors if t.requires_grad]
            torch.autograd.grad(forward(*tensors), wanted, dout)
        return call

    bench.row(make_forward, phase="forward", **what)
    bench.row(make_both, phase="forward_backward", **what)


def uniform(torch, *shape, dtype=None, low=-1.0, high=1.0, grad=False):
    t = torch.empty(*shape, device="cuda", dtype=torch.float32)
    t.uniform_(low, high)
    return t.to(dtype or torch.bfloat16).requires_grad_(grad)


def sdpa(bench, shape):
    torch = bench.torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel
    heads, dim = shape["n_heads"], shape["dim"] // shape["n_heads"]
    backends = [("flash", SDPBackend.FLASH_ATTENTION),
                ("cudnn", SDPBackend.CUDNN_ATTENTION)
                ] if bench.mixers("full") else []
    for length in LENGTHS:
        def inputs(grad, length=length):
            t = tuple(uniform(torch, 1, heads, length, dim, grad=grad)
                      for _ in range(3))
            return t, 3 * t[0].numel() * 2
        for name, backend in backends:
            def forward(q, k, v, backend=backend):
                with sdpa_kernel(backend):
                    return F.scaled_dot_product_attention(q, k, v,
                                                          is_causal=True)
            both_phases(bench, inputs, forward, lambda t: t[0],
                        peer="sdpa " + name, mixer="full", length=length)
        window = shape["default_sliding_window"]

        def tokens_first(grad, length=length):
            t = tuple(uniform(torch, 1, length, heads, dim, grad=grad)
                      for _ in range(3))
            return t, 3 * t[0].numel() * 2

        def windowed(q, k, v, length=length):
            return torch.ops.aten._flash_attention_forward(
                q, k, v, None, None, length, length, 0.0, True, False,
                window_size_left=window - 1, window_size_right=0)[0]
        if bench.mixers("window"):
            both_phases(bench, tokens_first, windowed, lambda t: t[0],
                        peer="flash window", mixer="window", length=length)


def fla_operators(bench, models):
    """Ours takes queries and keys of norm about 1, and so do these: the
    normalisation is not inside the operator."""
    torch = bench.torch

    def delta(mixer, length, per_channel, decay):
        c = models.get(mixer, {}).get(mixer, {})
        heads = c.get("n_heads", 16)
        d_k = c.get("key_dim", 1536 if mixer == "gdn" else 2048) // heads
        d_v = round(d_k * c.get("expand_v", 2 if mixer == "gdn" else 1))
        unit = math.sqrt(3 / d_k)

        def inputs(grad):
            q, k = (uniform(torch, 1, length, heads, d_k, low=-unit, high=unit,
                            grad=grad) for _ in range(2))
            v = uniform(torch, 1, length, heads, d_v, grad=grad)
            beta = uniform(torch, 1, length, heads, low=0.05, high=0.95,
                           dtype=torch.bfloat16, grad=grad)
            t = [q, k, v, beta]
            if decay:
                last = (d_k,) if per_channel else ()
                t.append(uniform(torch, 1, length, heads, *last, low=-0.2,
                                 high=-0.001, dtype=torch.float32, grad=grad))
            return tuple(t), sum(x.numel() * x.element_size() for x in t)
        return inputs

    def gdn(q, k, v, beta, g):
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule
        return chunk_gated_delta_rule(q, k, v, g=g, beta=beta)[0]

    def kda(q, k, v, beta, g):
        from fla.ops.kda import chunk_kda
        return chunk_kda(q, k, v, g=g, beta=beta)[0]

    def deltanet(q, k, v, beta):
        from fla.ops.delta_rule import chunk_delta_rule
        return chunk_delta_rule(q, k, v, beta)[0]

    def nsa_inputs(length):
        c = models.get("nsa", {})
        heads, dim = c.get("n_heads", 16), c.get("dim", 2048)
        kv = c.get("nsa", {}).get("n_kv_heads", 1)

        def inputs(grad):
            q = uniform(torch, 1, length, heads, dim // heads, grad=grad)
            k, v = (uniform(torch, 1, length, kv, dim // heads, grad=grad)
                    for _ in range(2))
            gates = [uniform(torch, 1, length, heads, low=0, high=1,
                             grad=grad and (windowed or i < 2))
                     for i in range(3)]
            t = (q, k, v, *gates)
            return t, sum(x.numel() * x.element_size() for x in t)
        return inputs

    # Its window is that of the package flash_attn: less work without it.
    try:
        import flash_attn  # noqa: F401
        nsa_name, windowed = "fla nsa", True
    except ImportError:
        nsa_name, windowed = "fla nsa, no window", False

    def nsa(q, k, v, g_cmp, g_slc, g_swa):
        from fla.ops.nsa import parallel_nsa
        c = models.get("nsa", {}).get("nsa", {})
        window = c.get("window_size", 512) if windowed else 0
        o = parallel_nsa(q=q, k=k, v=v, g_cmp=g_cmp, g_slc=g_slc,
                         g_swa=g_swa if windowed else None,
                         block_counts=c.get("block_counts", 16),
                         block_size=c.get("block_size", 64),
                         window_size=window)
        return o[0] if isinstance(o, tuple) else o

    operators = {"gdn": (gdn, False, True), "deltanet": (deltanet, False, False),
                 "kda": (kda, True, True)}
    for mixer in bench.mixers(*operators):
        forward, per_channel, decay = operators[mixer]
        for length in LENGTHS:
            both_phases(bench, delta(mixer, length, per_channel, decay),
                        forward, lambda t: t[2], peer="fla " + mixer,
                        mixer=mixer, length=length)
    for mixer in bench.mixers("nsa"):
        for length in LENGTHS:
            both_phases(bench, nsa_inputs(length), nsa, lambda t: t[0],
                        peer=nsa_name, mixer=mixer, length=length)


def table(ours, rows, notes):
    """Markdown: each peer beside ours."""
    mine = {}
    for row in ours.get("rows", []):
        # Models of peers have LOOPS loops; operators have none.
        if row["batch"] == 1 and row.get("loops", 1) in (
                (1,) if row["phase"].startswith("forward") else (LOOPS,)):
            mine[row["phase"], row["mixer"], row["length"]] = row
    lines = ["# Ours beside peers", ""] + notes + [
        "", "Batch 1; models with T = %d. Ratio: time of ours / time of theirs; "
        "**above 1 we are slower.**" % LOOPS, "",
        "| what | length | ours | peer | theirs | ours / theirs |",
        "|---|---:|---:|---|---:|---:|"]
    shown = set()
    for row in rows:
        if "phase" not in row:
            continue
        key = row["phase"], row["mixer"], row["length"]
        shown.add(key)
        own = mine.get(key, {})
        seconds = own.get("median_s")
        own_text = short(seconds) if seconds else own.get("status", "-")
        theirs, ratio = row["status"], "-"
        if row["status"] == "ok":
            theirs = short(row["median_s"])
            if seconds:
                ratio = "%.2f" % (seconds / row["median_s"])
        lines.append("| %s, %s | %d | %s | %s | %s | %s |" % (
            row["mixer"], row["phase"], row["length"], own_text, row["peer"],
            theirs, ratio))
    for key, row in mine.items():
        if key not in shown and key[2] in LENGTHS:
            lines.append("| %s, %s | %d | %s | none | - | - |" % (
                key[1], key[0], key[2],
                short(row["median_s"]) if row["median_s"] else row["status"]))
    messages = sorted({"%s, %s %s: %s" % (r.get("peer"), r.get("mixer", ""),
                                          r.get("phase", ""), r["message"])
                       for r in rows if r.get("message")})
    if messages:
        lines += [""] + ["- " + message for message in messages]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", default="", help="bench/scaling's program")
    parser.add_argument("--results", default="",
                        help="a scaling.json to compare with")
    parser.add_argument("--out", default=".", help="folder, must exist")
    parser.add_argument("--time_limit", type=float, default=400)
    parser.add_argument("--row_seconds", type=float, default=0.2)
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--mixers", default="",
                        help="only peers of these, comma-separated")
    flags = parser.parse_args()
    groups = [g for g in flags.groups.split(",") if g]
    for group in groups:
        if group not in GROUPS:
            parser.error("group %r is not one of %s" % (group,
                                                        ", ".join(GROUPS)))
    only = [m for m in flags.mixers.split(",") if m]
    for mixer in only:
        if mixer not in MIXERS:
            parser.error("mixer %r is not one of %s" % (mixer,
                                                        ", ".join(MIXERS)))
    if flags.results and not os.path.isfile(flags.results):
        parser.error("--results=%s is no file" % flags.results)
    if not os.path.isdir(flags.out):
        parser.error("--out=%s is no folder" % flags.out)
    warnings.filterwarnings("ignore")
    clock = Clock(flags.time_limit)
    rows = Rows(os.path.join(flags.out, "peers.jsonl"))
    ours = run_ours(flags.ours, flags.results, flags.out,
                    flags.time_limit / 4, rows)
    notes = []
    try:
        import torch
        if not torch.cuda.is_available():
            raise ImportError("torch finds no GPU")
        versions = ["%s, PyTorch %s, cuDNN %s" % (
            torch.cuda.get_device_name(), torch.__version__,
            torch.backends.cudnn.version())]
        for name in ("triton", "fla"):
            try:
                versions.append("%s %s" % (name,
                                           __import__(name).__version__))
            except Exception as error:  # fla can fail in many ways
                versions.append("no %s (%s)" % (name, str(error)[:100]))
        notes.append(", ".join(versions) + ".")
        print(notes[0], flush=True)
        bench = Bench(torch, rows, clock, flags.row_seconds, only)
        torch.manual_seed(0)
        models = ours.get("models", {})
        for group, run in (
                ("sdpa", lambda: sdpa(bench, {**DEFAULT,
                                              **models.get("full", {})})),
                ("fla", lambda: fla_operators(bench, models)),
                ("model", lambda: time_models(
                    bench, lambda m: {**DEFAULT, **models.get(m, {})},
                    LENGTHS[:2], LOOPS))):
            if group not in groups:
                continue
            try:
                run()
            except Exception as error:
                status, message = failure(error)
                rows.add(peer=group, status=status, message=message)
    except ImportError as error:
        notes.append("Peers are not timed: %s." % error)
        print(notes[-1], flush=True)
    text = table(ours, rows.rows, notes)
    with open(os.path.join(flags.out, "peers.md"), "w",
              encoding="utf-8") as file:
        file.write(text)
    print("\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
