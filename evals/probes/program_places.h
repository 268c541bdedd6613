// The places of the array that a program speaks of, and what a model makes of
// them (tasks/program.h, merged encoding).

#ifndef LT2_EVALS_PROBES_PROGRAM_PLACES_H_
#define LT2_EVALS_PROBES_PROGRAM_PLACES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/core/status.h"
#include "model/looped/looped_model.h"
#include "tasks/task.h"

namespace lt2::evals {

// A token that has to do with a place.
struct PlaceToken {
  int64_t at = 0, place = 0;
};
struct ProgramPlaces {
  std::vector<PlaceToken> numbers;    // where the variables point first
  std::vector<PlaceToken> questions;  // what each `?` asks for, in order
};
// Of the merged encoding (tasks/program.h); InvalidArgument for other tokens.
absl::StatusOr<ProgramPlaces> PlacesOf(absl::Span<const int32_t> tokens,
                                       int64_t variables);

// By place, 0..n-1.
struct PlaceCounts {
  std::vector<int64_t> asked, correct;
  // Of attention: sum over the questions of the largest weight that any head,
  // layer and loop gives the bit asked for, from the token `?`. And the same
  // from the token of each number in the program (`numbers` of them) to its
  // bit, and to it and the two on either side. Zero without softmax attention.
  std::vector<double> from_question, from_number, near_number;
  std::vector<int64_t> numbers;
};

// Of the first `examples` test examples. An answer is correct if the right bit
// is the most likely token.
absl::StatusOr<PlaceCounts> CountPlaces(model::LoopedModel& model,
                                        const tasks::Task& task, int64_t bits,
                                        int64_t examples);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_PROGRAM_PLACES_H_
