#!/usr/bin/env python3
"""A second scorer for //evals:lm: Ouro's own code, one sequence at a time.

    score_reference.py --code=DIR --tokenizer=DIR --make=FOLDER
        makes a small random Ouro; DIR has tokenizer.json of SmolLM2
    score_reference.py --code=DIR --model=FOLDER --data_dir=DATA --out=OUT
        scores the items of OUT/samples_TASK.jsonl, which
        //evals:lm --model=FOLDER --data_dir=DATA --out=OUT wrote, and compares

CODE holds modeling_ouro.py and configuration_ouro.py (ouro_vectors.py). Needs
torch and tokenizers. Nothing is shared with the C++ program: the questions are
put together from the data files here, the tokens are those of the package
tokenizers, and every request is a forward of its own over all of its tokens:
no cache, padding, batch or shared context. --harness lets
lm-evaluation-harness's HFLM answer the requests instead (needs lm_eval and
transformers); then cutting, windows and generation are its, too. HFLM has no
streams, so it skips them.

Compared, item by item: the requests' texts, log-likelihoods, greedy flags,
generated texts, whether each metric counts the item as right; and each task's
scores and standard errors in results.json. Exit code 1 if a log-likelihood or
score differs by more than LIMIT, or anything else at all.
"""

import argparse
import collections
import json
import lzma
import math
import os
import re
import shutil
import sys

import tokenizers
import torch

import ouro_vectors as ouro

# Both sides compute in f32. Of a log-likelihood L: LIMIT * max(1, |L|); of a
# score: LIMIT of itself.
LIMIT = 1e-4
# Words that the random model says more often than others: only so are some of
# the answers greedy, and some generated texts stopped before their longest.
COMMON = {" yes": 4, " no": 4, "\n": 2.5, "<|endoftext|>": 2.5}


def special_tokens(folder):
    """Begin and end of text."""
    with open(os.path.join(folder, "tokenizer_config.json")) as f:
        config = json.load(f)
    return config["bos_token"], config["eos_token"]


def make(args):
    """A random Ouro whose logits are not flat, with the tokenizer's files."""
    tokenizer = tokenizers.Tokenizer.from_file(
        os.path.join(args.tokenizer, "tokenizer.json"))
    config = {**ouro.BASE, "vocab_size": tokenizer.get_vocab_size(),
              "total_ut_steps": 4, "torch_dtype": "float32"}
    model = ouro.build(ouro.ouro_classes(args.code), config)
    weights = ouro.random_weights(model, torch.float32, seed=5)
    weights["lm_head.weight"] *= 2
    for word, factor in COMMON.items():
        (token,) = tokenizer.encode(word).ids
        weights["lm_head.weight"][token] *= factor
    ouro.write_folder(args.make, config, weights, shards=1)
    shutil.copyfile(os.path.join(args.tokenizer, "tokenizer.json"),
                    os.path.join(args.make, "tokenizer.json"))
    # Begin and end of text are two tokens, so that they can be told apart.
    with open(os.path.join(args.make, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast",
                   "bos_token": "<|im_start|>",
                   "eos_token": "<|endoftext|>"}, f)


# The tasks: what is asked about an item. requests are (context, continuation);
# of texts and generation only one of the two is used.
Item = collections.namedtuple("Item", "requests choices gold")


def with_examples(item, kind, examples):
    """The same item after other items with their answers."""
    before = ""
    for e in examples:
        answer = " " + e.choices[0] if kind == "generate" else ""
        before += "".join(e.requests[e.gold or 0]) + answer + "\n\n"
    return item._replace(requests=[(before + c if c else c, a)
                                   for c, a in item.requests])


def choose(context, choices, gold, unconditional=False):
    requests = [(context, " " + c) for c in choices]
    if unconditional:
        requests += [("", c) for c in choices]
    return Item(requests, choices, gold)


def arc(d):
    return choose(f"Question: {d['question']}\nAnswer:", d["choices"]["text"],
                  d["choices"]["label"].index(d["answerKey"]), True)


def hellaswag(d):
    return choose(d["query"], d["choices"], d["gold"])


def piqa(d):
    return choose(f"Question: {d['goal']}\nAnswer:", [d["sol1"], d["sol2"]],
                  d["label"])


def boolq(d):
    return choose(f"{d['passage']}\nQuestion: {d['question']}?\nAnswer:",
                  ["no", "yes"], int(d["answer"]))


def winogrande(d):
    begin, end = d["sentence"].split("_", 1)
    ending = " " + end.strip()
    return Item([(begin + d[f"option{i}"], ending) for i in (1, 2)], None,
                int(d["answer"]) - 1)


def lambada(d):
    context, word = d["text"].rsplit(" ", 1)
    return Item([(context, " " + word)], [word], None)


def squad(d):
    return Item([(f"Title: {d['title']}\n\nBackground: {d['context']}\n\n"
                  f"Question: {d['question']}\n\nAnswer:", "")],
                d["answers"]["text"], None)


def text(d):
    return Item([("", d)], None, None)


TASKS = {
    "arc_easy": ("choice", "eval/arc_easy.jsonl", arc),
    "arc_challenge": ("choice", "eval/arc_challenge.jsonl", arc),
    "hellaswag": ("choice", "eval/hellaswag.jsonl", hellaswag),
    "piqa": ("choice", "eval/piqa.jsonl", piqa),
    "boolq": ("choice", "eval/boolq.jsonl", boolq),
    "winogrande": ("choice", "eval/winogrande.jsonl", winogrande),
    "lambada_openai": ("word", "eval/lambada_openai.jsonl", lambada),
    "squad_recall": ("generate", "eval/squad_dev_sample.jsonl", squad),
    "textbook": ("text", "corpus/valid-textbook.txt.xz", text),
    "textbook_streaming": ("stream", "corpus/valid-textbook.txt.xz", text),
    "wikitext2": ("text", "corpus/wikitext2-valid.txt.xz", text),
    "wikitext2_streaming": ("stream", "corpus/wikitext2-valid.txt.xz", text),
}
GENERATED = 48  # tokens of squad_recall, up to the end of the line


def documents(path):
    if path.endswith(".jsonl"):
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.strip()]
    with lzma.open(path, "rt", encoding="utf-8", newline="") as f:
        whole = f.read()
    pieces = re.split(r"^<\|endoftext\|>\n", whole, flags=re.M)
    if "wikitext" in path:  # an article begins at its title
        pieces = [p for piece in pieces
                  for p in re.split(r"^(?= = [^=\n]+ = \n)", piece, flags=re.M)]
    return [p for p in pieces if p.strip()]


class Reference:
    """Answers requests by the definitions, with nothing but forwards."""

    def __init__(self, model, folder, max_length):
        self.model, self.max_length = model, max_length
        self.tokenizer = tokenizers.Tokenizer.from_file(
            os.path.join(folder, "tokenizer.json"))
        self.begin, self.end = map(self.tokenizer.token_to_id,
                                   special_tokens(folder))

    def encode(self, s):
        return self.tokenizer.encode(s, add_special_tokens=False).ids

    def log_p(self, ids, last):
        """ln p of the tokens after each of the last `last` ids, in f64."""
        with torch.no_grad():
            z = self.model(input_ids=torch.tensor([ids]), use_cache=False,
                           logits_to_keep=last).logits[0]
        return torch.log_softmax(z.double(), -1)

    def score(self, context, continuation):
        """Of ids: ln p(continuation | context), and is it greedy?"""
        ids = context + continuation
        p = self.log_p(ids[:-1], len(continuation))
        target = torch.tensor(continuation)
        return (p.gather(1, target[:, None]).sum().item(),
                bool((p.argmax(-1) == target).all()))

    def pair(self, context, continuation):
        if not context:
            return [self.begin], self.encode(continuation)
        stripped = context.rstrip()
        continuation = context[len(stripped):] + continuation
        ids = self.encode(stripped + continuation)
        n = len(self.encode(stripped))
        # What does not fit is taken from the left; the last is never read.
        return ids[max(0, len(ids) - 1 - self.max_length):n], ids[n:]

    def loglikelihood(self, context, continuation):
        return self.score(*self.pair(context, continuation))

    def rolling(self, s):
        """Windows of max_length, the last one moved back until it is full."""
        ids = [self.begin] + self.encode(s)
        total, n = 0.0, self.max_length
        for at in range(1, len(ids), n):
            end = min(at + n, len(ids))
            total += self.score(ids[max(0, end - n - 1):at], ids[at:end])[0]
        return total

    def stream(self, s):
        return self.score([self.begin], self.encode(s))[0]

    def generate(self, context):
        ids = self.encode(context)[-(self.max_length - GENERATED):]
        made, said = [], ""
        while len(made) < GENERATED and "\n" not in said:
            made.append(int(self.log_p(ids + made, 1)[0].argmax()))
            if made[-1] == self.end:
                made.pop()
                break
            said = self.tokenizer.decode(made, skip_special_tokens=False)
        return said.split("\n")[0]


class Harness:
    """The same by lm-evaluation-harness's wrapper of transformers' models."""

    def __init__(self, model, folder, max_length):
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM
        from transformers import PreTrainedTokenizerFast
        begin, end = special_tokens(folder)
        fast = PreTrainedTokenizerFast(
            tokenizer_file=os.path.join(folder, "tokenizer.json"),
            bos_token=begin, eos_token=end)
        self.lm = HFLM(pretrained=model, tokenizer=fast, batch_size=1,
                       max_length=max_length)
        self.instance = Instance

    def ask(self, kind, *arguments):
        request = self.instance(request_type=kind, doc={}, idx=0,
                                arguments=arguments)
        return getattr(self.lm, kind)([request], disable_tqdm=True)[0]

    def pair(self, context, continuation):
        return self.lm._encode_pair(context, continuation)

    def loglikelihood(self, context, continuation):
        return self.ask("loglikelihood", context, continuation)

    def rolling(self, s):
        return self.ask("loglikelihood_rolling", s)

    def generate(self, context):
        return self.ask("generate_until", context,
                        {"until": ["\n"], "max_gen_toks": GENERATED,
                         "do_sample": False})


def right_by(item, sums, tokens):
    """Which metrics count the item as right."""

    def best(values):
        return int(values.index(max(values)) == item.gold)

    if item.choices is None:
        return {"acc": best(sums)}
    n = len(item.choices)
    out = {"acc": best(sums[:n]),
           "acc_norm": best([s / len(c) for s, c in zip(sums, item.choices)]),
           "acc_bytes": best([s / len(c.encode())
                              for s, c in zip(sums, item.choices)]),
           "acc_tokens": best([s / t for s, t in zip(sums, tokens)])}
    if len(sums) > n:
        out["acc_mutual_info"] = best([a - b
                                       for a, b in zip(sums[:n], sums[n:])])
    return out


def shown(value):
    s = repr(value)
    return s if len(s) < 100 else f"{s[:48]} ... {s[-48:]}"


class Comparison:
    """Of one task: counts, and what its scores should be."""

    def __init__(self, name):
        self.name = name
        self.items = self.requests = self.greedy = 0
        self.worst = self.worst_relative = self.worst_score = 0.0
        self.wrong = collections.Counter()
        self.parts = collections.defaultdict(list)

    def differs(self, what, place, mine, theirs):
        self.wrong[what] += 1
        print(f"{self.name} {place}: {what}: {shown(mine)} here, "
              f"{shown(theirs)} there")

    def check(self, what, place, mine, theirs):
        if mine != theirs:
            self.differs(what, place, mine, theirs)

    def number(self, what, place, mine, theirs, unit):
        """The difference, in units of |mine| or of `unit` if that is more."""
        error = abs(mine - theirs) / max(abs(mine), unit)
        if not error <= LIMIT:  # NaN too
            self.differs(what, place, mine, theirs)
        return error

    def item(self, scorer, kind, item, sample):
        place = sample["place"]
        self.items += 1
        self.requests += len(item.requests)
        wanted = ([["", "(doc)"]] if kind in ("text", "stream") else
                  [list(r) for r in item.requests])
        self.check("number of requests", place, len(wanted),
                   len(sample["resps"]))
        for mine, theirs in zip(wanted, sample["arguments"]):
            self.check("request", place, mine, theirs)
        if kind == "generate":
            said = scorer.generate(item.requests[0][0])
            self.check("text", place, said, sample["resps"][0][0])
            self.greedy += sample["resps"][0][1] != "length"
            right = int(any(a.lower() in said.strip().lower()
                            for a in item.choices))
            self.check("right", place, right,
                       sample["metrics"]["contains,none"])
            self.parts["contains"].append((right, 1))
            return
        if kind in ("choice", "word"):
            answers = [scorer.loglikelihood(*r) for r in item.requests]
            sums = [a[0] for a in answers]
            greedy = answers[0][1]
            for (_, mine), (_, theirs) in zip(answers, sample["resps"]):
                self.greedy += mine
                self.check("greedy flag", place, mine, theirs)
        else:
            ask = scorer.rolling if kind == "text" else scorer.stream
            sums, greedy = [ask(item.requests[0][1])], None
        for mine, (theirs, _) in zip(sums, sample["resps"]):
            error = self.number("log-likelihood", place, mine, theirs, 1)
            self.worst = max(self.worst, abs(mine - theirs))
            self.worst_relative = max(self.worst_relative, error)
        tokens = [len(scorer.pair(*r)[1]) for r in item.requests if r[0]]
        self.add(kind, item, sums, tokens, greedy, sample)

    def add(self, kind, item, sums, tokens, greedy, sample):
        """What the item is for the task's scores."""
        if kind == "choice":
            for metric, right in right_by(item, sums, tokens).items():
                self.check("right", sample["place"], right,
                           sample["metrics"][metric + ",none"])
                self.parts[metric].append((right, 1))
            return
        continuation = item.requests[0][1]
        size = len(continuation.encode())
        self.parts["bits_per_byte"].append((-sums[0] / math.log(2), size))
        if kind == "word":
            self.parts["acc"].append((int(greedy), 1))
            self.parts["perplexity"].append((-sums[0], 1))
        else:
            words = len(re.split(r"\s+", continuation))
            self.parts["byte_perplexity"].append((-sums[0], size))
            self.parts["word_perplexity"].append((-sums[0], words))

    def scores(self, found):
        """`found`: the task's entry in results.json."""
        for metric, parts in self.parts.items():
            top, bottom = map(sum, zip(*parts))
            value = top / bottom
            if "perplexity" in metric:
                value = math.exp(value)
            elif metric != "bits_per_byte" and len(parts) > 1:
                s2 = sum((p - value)**2 for p, _ in parts) / (len(parts) - 1)
                self.score(metric + "_stderr", math.sqrt(s2 / len(parts)),
                           found)
            self.score(metric, value, found)

    def row(self):
        wrong = ", ".join(f"{n} {what}" for what, n in self.wrong.items())
        return (f"{self.name:20s} {self.items:5d} {self.requests:8d}  "
                f"{self.greedy:6d}  {self.worst:.1e} "
                f"({self.worst_relative:.1e} of it)   {self.worst_score:.1e}  "
                f"{wrong or 'none'}")

    def score(self, metric, mine, found):
        error = self.number("score", metric, mine, found[metric + ",none"],
                            1e-9)
        self.worst_score = max(self.worst_score, error)


def compare(args):
    with open(os.path.join(args.out, "results.json")) as f:
        results = json.load(f)
    with open(os.path.join(args.model, "config.json")) as f:
        model = ouro.build(ouro.ouro_classes(args.code), json.load(f))
    ouro.set_weights(model, ouro.read_folder(args.model))
    if results["config"]["loops"] != model.config.total_ut_steps:
        model.early_exit_step = results["config"]["loops"] - 1
    scorer = (Harness if args.harness else Reference)(
        model, args.model, results["config"]["max_length"])
    print("Largest differences; greedy: of how many answers greedy decoding is "
          "the same,\nhow many generated texts ended before their longest\n"
          f"{'task':20s} items requests  greedy  log-likelihood             "
          "score    disagreements")
    done = wrong = 0
    for name, (kind, file, build) in TASKS.items():
        path = os.path.join(args.out, f"samples_{name}.jsonl")
        if not os.path.exists(path) or (args.harness and kind == "stream"):
            continue
        docs = documents(os.path.join(args.data_dir, file))
        comparison = Comparison(name)
        with open(path, encoding="utf-8") as f:
            for line in f:
                sample = json.loads(line)
                item = with_examples(
                    build(docs[sample["doc_id"]]), kind,
                    [build(docs[i]) for i in sample["fewshot_ids"]])
                comparison.item(scorer, kind, item, sample)
        if not comparison.items:
            sys.exit(f"{path} is empty")
        comparison.scores(results["results"][name])
        print(comparison.row(), flush=True)
        done += 1
        wrong += sum(comparison.wrong.values())
    if not done:
        sys.exit(f"no samples_TASK.jsonl of a known task in {args.out}")
    if wrong:
        sys.exit(f"NOT the same (limit of numbers {LIMIT:g})")
    print(f"the same, numbers within {LIMIT:g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--code", required=True,
                        help="folder with modeling_ouro.py")
    parser.add_argument("--make", help="folder to make a random model in")
    parser.add_argument("--tokenizer", help="folder with tokenizer.json")
    parser.add_argument("--model", help="folder of the model")
    parser.add_argument("--data_dir", help="folder with eval/ and corpus/")
    parser.add_argument("--out", help="folder that //evals:lm wrote")
    parser.add_argument("--harness", action="store_true",
                        help="score with lm_eval's HFLM")
    args = parser.parse_args()
    args.code = os.path.abspath(args.code)
    if args.make:
        make(args)
    else:
        compare(args)


if __name__ == "__main__":
    main()
