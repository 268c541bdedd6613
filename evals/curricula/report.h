// Tables for people of the results of a preset.
//
//   model      write strength  T=1            T=4
//   gdn        (0,1)           4 [3..4] n=3   4 n=1 (1 partial)
//   gdn        (0,2)           5 [5..6] n=3   ...
//
// A cell: the median over seeds, the smallest and largest if they differ, the
// number of seeds that count. A partial run counts with what it has reached,
// which is a lower bound, and the cell says so; a failed or pending one does
// not count.
//
// Successes: the number of seeds that reached the preset's "success", against
// the twin with write strength (0,1), by Fisher's exact test, two-sided; q is p
// adjusted for the number of rows (Benjamini and Hochberg). A partial run that
// has not reached it is undecided and left out.

#ifndef LT2_EVALS_CURRICULA_REPORT_H_
#define LT2_EVALS_CURRICULA_REPORT_H_

#include <string>
#include <vector>

#include "evals/curricula/results.h"
#include "evals/stats/table.h"

namespace lt2::evals {

// The value of a run in a cell: its highest stage, or its accuracy: the mean
// over its tests if it has any, else that of the last evaluation.
double ValueOf(const RunOutcome& run, Measure measure);

// What the runs of a cell, the seeds, say together.
using Runs = std::vector<const RunOutcome*>;
struct CellValue {
  int seeds = 0;  // that count: done or partial
  int partial = 0, failed = 0;
  double median = 0, low = 0, high = 0;  // if seeds > 0
};
CellValue ValueOfCell(const Runs& runs, Measure measure);

// Runs that reached `success`, of those that are decided.
struct SuccessCount {
  int64_t reached = 0, decided = 0;
};
SuccessCount CountSuccesses(const Runs& runs, Measure measure, double success);

Table MainTable(const Results& results);
// No rows if no row has a twin or the preset names no success.
Table SuccessTable(const Results& results, double success);
// Each run that has begun: stage, steps and accuracy of each of its stages.
Table RunTable(const Results& results);

// All tables with headings, as text or Markdown. `success` 0: the results' own.
std::string Report(const Results& results, double success, bool markdown);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_REPORT_H_
