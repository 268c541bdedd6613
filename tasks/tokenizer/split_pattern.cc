#include "tasks/tokenizer/split_pattern.h"

#include <string>
#include <utility>

#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/tokenizer/pattern_syntax.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {

const char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)"
    R"(|\s+(?!\S)|\s+)";
const char kCl100kPattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const char kO200kPattern[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

absl::StatusOr<std::unique_ptr<RE2>> CompileRe2(const std::string& pattern) {
  RE2::Options options(RE2::Quiet);
  // The classes of letters and numbers are large; a table that does not fit
  // makes matching slower, not wrong.
  options.set_max_mem(int64_t{32} << 20);
  auto re2 = std::make_unique<RE2>(pattern, options);
  if (!re2->ok()) {
    return InvalidArgument("RE2 refuses the pattern: ", re2->error());
  }
  return re2;
}

re2::StringPiece Piece(absl::string_view text) {
  return re2::StringPiece(text.data(), text.size());
}

// The end of a match that begins exactly at `begin`.
bool MatchHere(const RE2& re2, absl::string_view text, size_t begin,
               size_t* end) {
  re2::StringPiece match;
  if (!re2.Match(Piece(text), begin, text.size(), RE2::ANCHOR_START, &match,
                 1)) {
    return false;
  }
  *end = begin + match.size();
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SplitPattern>> SplitPattern::Compile(
    absl::string_view pattern) {
  LT2_ASSIGN_OR_RETURN(const std::vector<PatternAlternative> alternatives,
                       ParsePattern(pattern));
  auto result = std::unique_ptr<SplitPattern>(new SplitPattern());
  std::string all, run;
  const auto end_run = [&]() -> absl::Status {
    if (run.empty()) return absl::OkStatus();
    Part part;
    LT2_ASSIGN_OR_RETURN(part.re2, CompileRe2(run));
    if (RE2::FullMatch("", *part.re2)) {
      return InvalidArgument("pattern ", Quoted(pattern),
                             " matches the empty string");
    }
    result->parts_.push_back(std::move(part));
    run.clear();
    return absl::OkStatus();
  };
  for (const PatternAlternative& alternative : alternatives) {
    absl::StrAppend(&all, all.empty() ? "" : "|", alternative.re2);
    if (alternative.look_ahead == PatternAlternative::kNone) {
      absl::StrAppend(&run, run.empty() ? "" : "|", alternative.re2);
      continue;
    }
    LT2_RETURN_IF_ERROR(end_run());
    Part part;
    LT2_ASSIGN_OR_RETURN(part.re2, CompileRe2(alternative.re2));
    LT2_ASSIGN_OR_RETURN(part.next, CompileRe2(alternative.next));
    part.must = alternative.look_ahead == PatternAlternative::kMust;
    result->parts_.push_back(std::move(part));
  }
  LT2_RETURN_IF_ERROR(end_run());
  LT2_ASSIGN_OR_RETURN(result->anywhere_, CompileRe2(all));
  return result;
}

absl::StatusOr<std::unique_ptr<SplitPattern>> SplitPattern::Literal(
    absl::string_view text) {
  if (text.empty()) return InvalidArgument("the pattern is an empty string");
  if (WellFormedPrefix(text) != text.size()) {
    return InvalidArgument("the pattern ", Quoted(text), " is not UTF-8");
  }
  auto result = std::unique_ptr<SplitPattern>(new SplitPattern());
  Part part;
  const std::string quoted = RE2::QuoteMeta(Piece(text));
  LT2_ASSIGN_OR_RETURN(part.re2, CompileRe2(quoted));
  result->parts_.push_back(std::move(part));
  LT2_ASSIGN_OR_RETURN(result->anywhere_, CompileRe2(quoted));
  return result;
}

bool SplitPattern::MatchAt(absl::string_view text, size_t begin,
                           size_t* end) const {
  for (const Part& part : parts_) {
    if (!MatchHere(*part.re2, text, begin, end)) continue;
    if (part.next == nullptr) return true;
    // Give characters back, at most all but one.
    while (true) {
      size_t ignored;
      const bool in_next = MatchHere(*part.next, text, *end, &ignored);
      if (in_next == part.must) return true;
      size_t length = 0;
      LastCodePoint(text.substr(begin, *end - begin), &length);
      *end -= length;
      if (*end <= begin) break;
    }
  }
  return false;
}

bool SplitPattern::Find(absl::string_view text, size_t from, size_t* begin,
                        size_t* end) const {
  // Most texts are matched without gaps, so look here before anywhere.
  *begin = from;
  while (*begin < text.size()) {
    if (MatchAt(text, *begin, end)) return true;
    const size_t next = *begin + NextUtf8(text.substr(*begin)).length;
    re2::StringPiece match;
    if (!anywhere_->Match(Piece(text), next, text.size(), RE2::UNANCHORED,
                          &match, 1)) {
      return false;
    }
    *begin = match.data() - text.data();
  }
  return false;
}

}  // namespace lt2::tasks
