// What a model is and what it costs, from its configuration alone: nothing is
// allocated, so the largest models are described as quickly as small ones.

#ifndef LT2_TOOLS_DESCRIPTION_DESCRIPTION_H_
#define LT2_TOOLS_DESCRIPTION_DESCRIPTION_H_

#include <string>

#include "model/looped/accounting.h"
#include "nlohmann/json.hpp"
#include "tools/description/load.h"

namespace lt2::tools {

struct DescribeOptions {
  int64_t length = 4096;  // tokens of a sequence
  int64_t batch = 1;      // sequences that decode together
  int64_t loops = 0;      // 0: the model's loop_count
  DType activation = DType::kBF16;
};

struct Description {
  NamedConfig model;
  DescribeOptions options;  // loops filled in
  model::ModelCost cost;
  model::DecodeCost decode;
  model::SlotMap slots;
  // A letter for each kind of slot: capital if its state grows with the
  // sequence.
  std::string symbols;
};

absl::StatusOr<Description> Describe(const NamedConfig& model,
                                     const DescribeOptions& options);

// A picture, a table of the mixers and the totals, for people.
std::string ToText(const Description& description);
// Everything, exact.
nlohmann::json ToJson(const Description& description);

// 1234567 -> "1.23M": three digits and a prefix of thousands.
std::string Short(double number);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_DESCRIPTION_DESCRIPTION_H_
