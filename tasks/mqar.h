// Multi-query associative recall (MQAR; Arora et al., "Zoology", 2023).
//
// The input lists K key-value pairs and then asks for each key once:
//
//   k_1 v_1 ... k_K v_K | slot 0 | slot 1 | ... | slot G-1,  G = (L - 2K) / 2
//
// A slot is two positions. One slot holds one query at its first position;
// everything else in the slots is filler. The target at a query is the value
// of its key; nothing else is scored and no answer is in the query part.
//
//   keys     K distinct values, uniform in {1, ..., V/2 - 1}
//   values   K distinct values, uniform in {V/2, ..., V - 1}
//   slots    drawn one after the other without replacement with weights
//            w_g ~ (g+1)^(a-1); the j-th draw goes to key j. Sampled in one
//            pass as T_g = E_g / w_g with E_g ~ Exp(1): the slot of the j-th
//            smallest T_g is key j's (successive sampling).
//   filler   uniform in {0, ..., V-1} if random_non_queries, else 0
//
// With a = 0.01 earlier keys are asked earlier (P = 0.56 at 64/4, 0.69 where
// every slot is used, K = L/4): shuffling or sorting the slots would be a
// different task. mqar_test pins these statistics.
//
// Spec: {"task": "mqar", "vocab": 8192, "length": 64, "pairs": 4,
//        "power_a": 0.01, "random_non_queries": true, "num_passes": 1}
// Instead of length and pairs, a mixture of settings:
//        "settings": [{"length": 64, "pairs": 4, "weight": 100000}, ...]
// or a published one by name ("preset"; see MqarPresetNames). Training draws
// a setting for each example with probability weight / sum; validation and
// test go round the settings in fixed proportion. Each setting is a metric
// group "length/pairs".
//
// chance() = 1/K (for a mixture: settings weighted by their queries): the
// accuracy of answering with any value of the context.
//
// The slot times go through std::log and std::pow, whose last bit may differ
// between C libraries; that changes an example only where two times agree in
// their first 15 digits.

#ifndef LT2_TASKS_MQAR_H_
#define LT2_TASKS_MQAR_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

absl::StatusOr<std::unique_ptr<Task>> CreateMqar(const nlohmann::json& spec,
                                                 const TaskOptions& options);

// based_train, based_test: the recall-memory sweep of the Based paper.
// zoology_64_4, zoology_128_8, zoology_256_16, zoology_512_64: figure 2 of
// the Zoology paper (filler off).
std::vector<std::string> MqarPresetNames();

// OK if (inputs, targets) obeys the rules above: what makes an example valid
// whoever generated it. Random filler is not checked (any token is allowed).
absl::Status CheckMqar(const std::vector<int32_t>& inputs,
                       const std::vector<int32_t>& targets, int64_t vocab,
                       int64_t pairs, bool random_non_queries);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_MQAR_H_
