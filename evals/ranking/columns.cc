#include "evals/ranking/columns.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

TaskColumn Program(int64_t stage, int64_t swaps) {
  TaskColumn c;
  c.name = "program" + std::to_string(swaps);
  c.family = "program";
  c.title = "State tracking and recall program, " + std::to_string(swaps) +
            " bits and swaps (stage " + std::to_string(stage) + ")";
  c.spec = {{"task", "program"}, {"stage", stage}};
  c.examples = swaps > 64 ? 64 : 128;
  return c;
}

TaskColumn Mqar(const std::string& name, const std::string& title,
                const json& settings) {
  TaskColumn c;
  c.name = name;
  c.family = "mqar";
  c.title = "Multi-query associative recall: " + title;
  c.spec = {{"task", "mqar"}, {"vocab", 256}, {"settings", settings}};
  c.examples = 128;
  return c;
}

TaskColumn WordProblem(const std::string& name, const std::string& group) {
  TaskColumn c;
  c.name = name;
  c.family = name;
  c.title =
      "Word problem of " + group + " at 32 factors, twice the training length";
  c.spec = {{"task", "word_problem"}, {"group", group}, {"max_length", 16}};
  c.examples = 256;
  return c;
}

TaskColumn Text(const std::string& name, const std::string& title,
                const std::string& file, bool carry_state) {
  TaskColumn c;
  c.name = name;
  c.family = "text";
  c.title = title;
  c.metric = Metric::kBitsPerByte;
  c.spec = {{"task", "text"},
            {"train_files", {file}},
            {"valid_files", {file}},
            {"length", 256}};
  c.split = tasks::Split::kValid;
  c.examples = 96;
  c.carry_state = carry_state;
  return c;
}

std::vector<TaskColumn> MakeColumns() {
  std::vector<TaskColumn> columns;
  columns.push_back(Mqar("mqar",
                         "4 to 32 pairs in 64 to 128 tokens, as trained",
                         {{{"length", 64}, {"pairs", 4}, {"weight", 1}},
                          {{"length", 64}, {"pairs", 16}, {"weight", 1}},
                          {{"length", 128}, {"pairs", 32}, {"weight", 2}}}));
  columns.push_back(Mqar("mqar240", "60 pairs in 240 tokens, beyond training",
                         {{{"length", 240}, {"pairs", 60}, {"weight", 1}}}));

  columns.push_back(WordProblem("a5", "A5"));
  columns.push_back(WordProblem("z60", "Z60"));

  TaskColumn parity;
  parity.name = "parity";
  parity.family = "parity";
  parity.title = "Parity of 40 to 256 bits, trained on 3 to 40";
  parity.spec = {{"task", "parity"},
                 {"train_min", 3},
                 {"train_max", 40},
                 {"test_min", 40},
                 {"test_max", 256}};
  parity.examples = 512;
  columns.push_back(parity);

  columns.push_back(Program(1, 8));
  columns.push_back(Program(3, 32));
  columns.push_back(Program(5, 128));

  columns.push_back(Text("text",
                         "Bytes of testdata/text/sample.txt, windows "
                         "of 256",
                         "testdata/text/sample.txt", false));
  for (bool carry : {false, true}) {
    for (const char* corpus : {"books", "textbook", "wikitext2"}) {
      const std::string file =
          std::string("corpus/") +
          (std::string(corpus) == "wikitext2"
               ? "wikitext2-valid.txt.xz"
               : "valid-" + std::string(corpus) + ".txt.xz");
      TaskColumn c = Text(std::string(corpus) + (carry ? "-stream" : ""),
                          "Validation corpus " + file +
                              (carry ? ", state carried" : ", windows of 256"),
                          file, carry);
      c.needs_data_dir = true;
      columns.push_back(c);
    }
  }
  return columns;
}

}  // namespace

const std::vector<TaskColumn>& Columns() {
  static const std::vector<TaskColumn>& columns =
      *new std::vector<TaskColumn>(MakeColumns());
  return columns;
}

}  // namespace lt2::evals
