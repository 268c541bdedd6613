#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "evals/stats/table.h"
#include "tools/description/description.h"

namespace lt2::tools {
namespace {

using evals::Align;

std::string Bytes(double bytes) { return Short(bytes) + "B"; }
std::string Bytes(int64_t bytes) { return Bytes(static_cast<double>(bytes)); }
std::string Count(int64_t n) { return Short(static_cast<double>(n)); }

std::string Plural(int64_t n, absl::string_view noun) {
  return absl::StrCat(n, " ", noun, n == 1 ? "" : "s");
}

// Loops down, layers across, a gap after every fifth layer.
std::string Picture(const Description& d) {
  constexpr int64_t kGroup = 5, kLine = 60;  // layers
  const int64_t layers = d.model.config.n_layers, loops = d.options.loops;
  const std::string last = absl::StrCat("loop ", loops);
  const size_t margin = std::max<size_t>(5, last.size()) + 2;
  auto padded = [&](std::string text) {
    text.resize(std::max(margin, text.size()), ' ');
    return text;
  };
  std::string out;
  for (int64_t first = 0; first < layers; first += kLine) {
    const int64_t end = std::min(layers, first + kLine);
    std::string header = padded("layer");
    for (int64_t i = first; i < end; i += kGroup) {
      header += absl::StrFormat("%-6d", i + 1);
    }
    header.erase(header.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, header, "\n");
    for (int64_t loop = 0; loop < loops; ++loop) {
      std::string row = padded(absl::StrCat("loop ", loop + 1));
      for (int64_t i = first; i < end; ++i) {
        if (i > first && (i - first) % kGroup == 0) row.push_back(' ');
        row.push_back(d.symbols[d.slots.kind[loop * layers + i]]);
      }
      absl::StrAppend(&out, row, "\n");
    }
    absl::StrAppend(&out, "\n");
  }
  return out;
}

std::string Kinds(const Description& d) {
  const Align right = Align::kRight;
  evals::Table table({{""},
                      {"mixer"},
                      {"window", right},
                      {"layers", right},
                      {"slots", right},
                      {"parameters", right},
                      {"FLOP/token", right},
                      {"state", right},
                      {"per token", right}});
  bool grows = false;
  for (size_t i = 0; i < d.slots.kinds.size(); ++i) {
    const model::SlotKind& kind = d.slots.kinds[i];
    grows |= kind.growth_bytes > 0;
    table.AddRow(
        {std::string(1, d.symbols[i]), kind.type,
         kind.window > 0 ? absl::StrCat(kind.window) : "-",
         absl::StrCat(kind.layers), absl::StrCat(kind.slots),
         Count(kind.parameters),
         Short(static_cast<double>(kind.flops) /
               static_cast<double>(d.options.length)),
         kind.fixed_state_bytes > 0 ? Bytes(kind.fixed_state_bytes) : "-",
         kind.growth_bytes > 0 ? "+ " + Bytes(kind.growth_bytes) : "-"});
  }
  std::string out = table.ToText();
  absl::StrAppend(&out,
                  "Parameters are of one layer; FLOP and states of one (loop, "
                  "layer) slot.\n");
  if (grows) {
    absl::StrAppend(&out,
                    "Capital letter: its state grows with the sequence.\n");
  }
  return out;
}

// Lines of a label, a number and a remark.
class Lines {
 public:
  void Add(absl::string_view label, absl::string_view number,
           absl::string_view remark = "") {
    std::string line =
        absl::StrFormat("  %-20s %9s   %s", label, number, remark);
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text_, line, "\n");
  }
  void Title(absl::string_view title) {
    absl::StrAppend(&text_, text_.empty() ? "" : "\n", title, "\n");
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What the model has of Ouro, in a line; "" if nothing.
std::string OuroLine(const model::ModelConfig& config) {
  using ExitRule = model::ModelConfig::ExitRule;
  using CacheSharing = model::ModelConfig::CacheSharing;
  std::vector<std::string> parts;
  if (config.sandwich_norm) parts.push_back("sandwich norms");
  if (config.loop_norm) parts.push_back("a norm after every loop");
  if (config.exit_gate) {
    parts.push_back(
        config.exit_rule == ExitRule::kThreshold
            ? absl::StrCat("exit gate, threshold ", config.exit_threshold)
        : config.exit_rule == ExitRule::kWeighted ? "exit gate, mean of loops"
                                                  : "exit gate, not used");
  }
  if (config.cache_sharing != CacheSharing::kNone) {
    parts.push_back(absl::StrCat(
        "decoding with the caches of the ",
        config.cache_sharing == CacheSharing::kLast ? "last" : "first",
        " loop"));
  }
  return parts.empty() ? "" : absl::StrCat(absl::StrJoin(parts, ", "), "\n");
}

std::string Totals(const Description& d) {
  const model::ModelConfig& config = d.model.config;
  const auto& [length, batch, loops, activation] = d.options;
  const double passes = static_cast<double>(d.cost.passes);
  Lines lines;
  lines.Title("Parameters");
  lines.Add("embedding", Count(d.cost.embedding_parameters),
            config.weight_tying ? "the output uses the same table"
                                : "with the output's own table");
  lines.Add("mixers", Count(d.cost.mixer_parameters));
  lines.Add("FFN", Count(d.cost.ffn_parameters));
  lines.Add("norms, loop gates", Count(d.cost.norm_parameters));
  lines.Add("total", Count(d.cost.parameters),
            absl::StrCat(Count(d.cost.parameters - d.cost.embedding_parameters),
                         " without the embedding"));

  lines.Title(absl::StrCat("FLOP per token, ", length, " tokens"));
  const double prefill = d.cost.flops_per_token(length);
  lines.Add("prefill", Short(prefill), "forward, logits of all tokens");
  lines.Add("training", Short(3 * prefill / passes), "forward and backward");
  lines.Add("decode", Count(d.decode.flops),
            absl::StrCat("token ", length, " alone"));

  const char* type = activation == DType::kBF16 ? "bf16" : "f32";
  lines.Title(absl::StrCat("Decoding, ", Plural(batch, "sequence"), " of ",
                           length, " tokens, ", type));
  lines.Add(
      "weights",
      Bytes(static_cast<double>(d.decode.weight_bytes) /
            static_cast<double>(batch)),
      absl::StrCat(
          "blocks read ", Plural(loops * d.cost.passes, "time"),
          batch > 1 ? absl::StrCat(", ", batch, " sequences at once") : ""));
  lines.Add("states", Bytes(d.decode.state_bytes), "read and written");
  lines.Add("total", Bytes(d.decode.bytes_per_token(batch)), "per token");

  lines.Title("State of one sequence");
  lines.Add("fixed", Bytes(d.cost.fixed_state_bytes));
  lines.Add("growth", Bytes(d.cost.growth_bytes), "per token");
  lines.Add(absl::StrCat("at ", length, " tokens"), Bytes(d.cost.state_bytes),
            batch > 1 ? absl::StrCat(Bytes(batch * d.cost.state_bytes),
                                     " of the batch")
                      : "");
  return lines.text();
}

}  // namespace

std::string Short(double number) {
  const char* const kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  int prefix = 0;
  double scaled = number;
  // 999.5 would print as 1000.
  while (std::abs(scaled) >= 999.5 && prefix < 6) {
    scaled /= 1000;
    ++prefix;
  }
  const double size = std::abs(scaled);
  if (prefix == 0 && size == std::floor(size)) {
    return absl::StrFormat("%.0f", scaled);
  }
  const int decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f%s", decimals, scaled, kPrefixes[prefix]);
}

std::string ToText(const Description& d) {
  const model::ModelConfig& config = d.model.config;
  std::string out = absl::StrCat(
      d.model.name, "\n", Plural(config.n_layers, "layer"), " x ",
      Plural(d.options.loops, "loop"),
      d.options.loops == config.loop_count
          ? ""
          : absl::StrCat(" (trained with ", config.loop_count, ")"),
      ", dim ", config.dim, ", ", Plural(config.n_heads, "head"),
      config.use_ffn ? absl::StrCat(", FFN ", config.ffn_hidden) : ", no FFN",
      ", vocabulary ", config.vocab_size, "\n", OuroLine(config), "\n",
      Picture(d));
  if (config.random_pattern()) {
    absl::StrAppend(
        &out, "The pattern is drawn anew for each step; this is step 0.\n",
        d.cost.passes == 1
            ? ""
            : absl::StrCat("An inference is ", d.cost.passes,
                           " passes, one for each draw; the totals "
                           "count all.\n"),
        "\n");
  }
  absl::StrAppend(&out, Kinds(d), "\n", Totals(d));
  return out;
}

}  // namespace lt2::tools
