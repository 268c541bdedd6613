// Which entries of a ranking can be told apart.
//
// Two entries saw the same examples, so they are compared as pairs: the
// bootstrap's p-value of "no difference". A ranking is cut into groups from the
// top: an entry opens a new group if it differs from the best of the current
// one (p-values of the column adjusted for false discoveries, at most 0.05),
// else it joins it. So "a a a b" says: the second and third cannot be told from
// the first, the fourth can.

#ifndef LT2_EVALS_RANKING_GROUPS_H_
#define LT2_EVALS_RANKING_GROUPS_H_

#include <string>
#include <vector>

#include "evals/ranking/run.h"

namespace lt2::evals {

// "a", "b", ... for rows of one column, best first; after "z" comes "aa".
std::vector<std::string> Groups(const std::vector<const Row*>& ranked);

}  // namespace lt2::evals

#endif  // LT2_EVALS_RANKING_GROUPS_H_
