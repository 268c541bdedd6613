// A preset: a grid of trainings that makes one table, read from JSON.
//
//   {
//     "schema_version": 1,
//     "title": "what the table shows",
//     "extends": "figure9",        another preset, patched by this file
//     "run": {...},                configuration of //tools:train (model, data,
//                                  train, test) that all runs start from
//     "measure": "stage",          or "accuracy": what a cell shows
//     "stage_numbers": [0, 1, 2],  of the curriculum's tasks; 0 = a warm-up
//                                  that does not count; default 1, 2, 3, ...
//     "stage_sizes": [8, 16],      n of stage 1, 2, ...; for n_max
//     "success": 5,                stage or accuracy that counts as success
//     "rows": [{"name": "gdn",
//               "set": {"model": {"layer_pattern": "gdn"}},
//               "write_strength": ["gdn"]}],
//     "write_strengths": ["(0,1)", "(0,2)"],
//     "axis": {"name": "d", "keys": ["model.dim"], "values": [64, 128]},
//     "columns": {"name": "T", "keys": ["model.loop_count"],
//                 "values": [1, 2, 4, 8], "order": [4, 1, 2, 8]},
//     "seeds": [1, 2, 3]
//   }
//
// "set" and "extends" patch as RFC 7386 does: objects merge, anything else
// replaces, null removes. A row with "write_strength" becomes two: each mixer
// it names gets beta in (0,1), then in (0,2) (key allow_neg_eigval). "axis" is
// optional and multiplies the rows. In a key of "axis" or "columns" a `*`
// stands for every element of a list ("data.curriculum.*.base").
//
// The queue goes breadth first, so that what is there after any time makes a
// table: the first seed of every row before the second, the columns in their
// "order".

#ifndef LT2_EVALS_CURRICULA_PRESET_H_
#define LT2_EVALS_CURRICULA_PRESET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

// One training of the grid.
struct PlannedRun {
  std::string name;            // "gdn-neg-T4-s1"; its folder
  std::string row;             // "gdn"
  std::string write_strength;  // "(0,1)", "(0,2)" or "-"
  std::string axis;            // "d=64", or ""
  int64_t column = 0;          // 4 of T=4
  int64_t seed = 0;
  nlohmann::json config;  // of //tools:train

  // What the column's cells of one table row have in common.
  std::string label() const;
};

enum class Measure { kStage, kAccuracy };

struct Preset {
  std::string name, title;
  Measure measure = Measure::kStage;
  std::vector<int64_t> stage_numbers;  // of each task; empty: 1, 2, 3, ...
  std::vector<int64_t> stage_sizes;
  double success = 0;  // 0: no table of successes
  std::string column_name;
  std::vector<int64_t> columns;  // as a table shows them
  std::vector<PlannedRun> runs;  // in the order of the queue

  // The number of the curriculum's task `index` (from 1), 0 for a warm-up.
  int64_t StageNumber(int64_t index) const;
  // n of a stage number; 0 for 0 or if the preset does not say.
  int64_t StageSize(int64_t number) const;
};

// `name` is a preset of `folder`, or a path if it ends with ".json". `patch`
// is merged into every run's configuration last; pass an empty object for none.
absl::StatusOr<Preset> ReadPreset(const std::string& folder,
                                  const std::string& name,
                                  const nlohmann::json& patch);

// The same from memory; `source` names it in errors.
absl::StatusOr<Preset> ParsePreset(const nlohmann::json& json,
                                   const std::string& source,
                                   const nlohmann::json& patch);

// True if a comma-separated list of shell patterns is empty or one of them
// matches the run's name or its row.
bool Selected(absl::string_view globs, const PlannedRun& run);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_PRESET_H_
