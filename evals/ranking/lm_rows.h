// Rows of the leaderboard from results of //evals:lm, so that a model's
// synthetic and language scores stand in one line of the overview.

#ifndef LT2_EVALS_RANKING_LM_ROWS_H_
#define LT2_EVALS_RANKING_LM_ROWS_H_

#include <string>
#include <vector>

#include "evals/ranking/run.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

// Of each suite the metric that stands for it (configs.SUITE.primary), as a
// column with the suite's name. Errors name the file, and a file that
// //evals:lm did not write is one.
absl::StatusOr<std::vector<Row>> ParseLmRows(const nlohmann::json& json,
                                             const std::string& source);
absl::StatusOr<std::vector<Row>> ReadLmRows(const std::string& path);

}  // namespace lt2::evals

#endif  // LT2_EVALS_RANKING_LM_ROWS_H_
