// Programs: state tracking and recall at once (section 3.6 of the LT2 paper).
//
// An array of m random bits, five variables that point to distinct places in
// it, and n swaps of two distinct variables; after every swap the bit that
// variable `a` points to is asked for. As a program (m = 8, n = 2; training
// example 18 of seed 1):
//
//   bits = [ 1 , 1 , 0 , 1 , 0 , 0 , 1 , 1 ]
//   a , b , c , d , e = 3 , 6 , 1 , 7 , 4
//   a , e = e , a                        now a = 4, e = 3
//   assert bits [ a ] == ?               target: 0
//   a , c = c , a                        now a = 1, c = 4
//   assert bits [ a ] == ?               target: 1
//
// The question mark is read as it is; its target is the bit, at that same
// position. Answers never enter the input, so this is tagging. Nothing else is
// scored.
//
// Bits, places and swaps are uniform: m fair bits, five distinct places in
// random order, and for each swap an ordered pair of distinct variables.
//
// Encodings. The paper does not give its tokenisation, so we define two:
//
//   "merged" (default), m + 12 + 3n tokens
//        BITS b_0 ... b_{m-1} VARS a i_a b i_b c i_c d i_d e i_e
//        then for each swap: x y ?
//      The program above, written as tokens:
//        BITS 1 1 0 1 0 0 1 1 VARS a #3 b #6 c #1 d #7 e #4 a e ? a c ?
//   "words", 2m + 24 + 16n tokens (for 5 variables)
//        every word and sign of the program, and a newline token at the end
//        of each line
//
// Nor does it say whether a number is one token. Here it is, unless "base" is
// given: then it is written in digits of that base, most significant first, as
// many as numbers - 1 has (base 16: a #0 #3 b #0 #6 ...), which makes sequences
// 5 (digits - 1) longer. With one token a number, a stage of twice the bits
// asks for places whose names the model has never seen; digits it has.
//
// Token numbers, the same in every stage: 0 padding; 1, 2 the bits 0 and 1;
// 3 `?`; 4 BITS or `bits`; 5 VARS; then, in "words" only, 6 `=`, 7 `[`,
// 8 `]`, 9 `,`, 10 `assert`, 11 `==`, 12 newline; then the variables' names;
// then the numbers 0, ..., numbers-1, or the digits 0, ..., base-1. Bits and
// numbers are different tokens.
//
// A program of the paper reads few of its bits: five are pointed to, however
// many there are. With "assigns": k the swaps come after k statements that
// point `a` to a place drawn anew (it may be that of another variable), each
// with its question, so that up to k more bits are read:
//
//   a = 17                               merged: a #17 ?
//   assert bits [ a ] == ?
//
// With "rounds": r the variables are placed anew r times, `VARS ...` with its
// assignments and swaps, over one array (m + 1 + r (11 + 3n) tokens, merged).
//
// Those are other tasks, for teaching places; results in the paper's are on
// programs without.
//
// Spec: {"task": "program", "bits": 8, "swaps": 8, "encoding": "merged",
//        "variables": 5, "numbers": 256, "base": 16}
// or with "min_bits": m uniform from min_bits to bits, in each example anew
// (swaps as given), or with "assigns" or "rounds";
// or {"task": "program", "stage": k}: bits = swaps = 8 * 2^(k-1), k = 1..6;
// or {"task": "program", "stages": [1, 2, 3]}: each example one of these with
// equal probability, and one metric group a stage. vocab_size() depends on
// encoding, variables, numbers and base only, so a curriculum can go from one
// stage to the next.
//
// Floors: guessing 0.50 (chance()); "a never moves" 0.60 + 0.4 * mean_i 0.5^i
// (0.650 for n = 8); the majority of the five bits pointed to 0.6875.

#ifndef LT2_TASKS_PROGRAM_H_
#define LT2_TASKS_PROGRAM_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tasks/task.h"

namespace lt2::tasks {

inline constexpr int kProgramStages = 6;

absl::StatusOr<std::unique_ptr<Task>> CreateProgram(const nlohmann::json& spec,
                                                    const TaskOptions& options);

// The tokens as text, in the notation of the worked example above (a newline
// token becomes a newline; numbers of the merged encoding get a '#').
std::string ProgramText(const std::vector<int32_t>& tokens, bool words,
                        int64_t variables);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_PROGRAM_H_
