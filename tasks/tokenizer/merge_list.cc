#include "tasks/tokenizer/merge_list.h"

#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/tokenizer/tokenizer_parts.h"

namespace lt2::tasks {

absl::StatusOr<TokenIds> ReadVocabulary(const nlohmann::json& vocabulary,
                                        absl::string_view source) {
  if (!vocabulary.is_object()) {
    return InvalidArgument(source, ": expected an object of tokens and ids");
  }
  TokenIds ids;
  ids.reserve(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) {
    if (token.empty()) return InvalidArgument(source, ": an empty token");
    if (!id.is_number_integer() || id.get<double>() < 0 ||
        id.get<double>() >= kMaxTokens) {
      return InvalidArgument(source, ": token ", Quoted(token), " has the id ",
                             id.dump().substr(0, 80),
                             ", expected an integer from 0 to ",
                             kMaxTokens - 1);
    }
    ids.emplace(token, id.get<int32_t>());
  }
  return ids;
}

absl::Status MergeList::Add(absl::string_view left, absl::string_view right) {
  int32_t found[3];
  const std::string both = absl::StrCat(left, right);
  const absl::string_view names[3] = {left, right, both};
  for (int i = 0; i < 3; ++i) {
    const auto token = ids_.find(names[i]);
    if (token == ids_.end()) {
      return InvalidArgument("merge ", rules_.size(), " of ", Quoted(left),
                             " and ", Quoted(right), ": there is no token ",
                             Quoted(names[i]));
    }
    found[i] = token->second;
  }
  rules_.push_back(
      {found[0], found[1], found[2], static_cast<int32_t>(rules_.size())});
  return absl::OkStatus();
}

absl::Status MergeList::Add(absl::string_view line) {
  const size_t space = line.find(' ');
  if (space == absl::string_view::npos ||
      line.find(' ', space + 1) != absl::string_view::npos) {
    return InvalidArgument("expected two tokens with a space between, got ",
                           Quoted(line));
  }
  return Add(line.substr(0, space), line.substr(space + 1));
}

}  // namespace lt2::tasks
