#include "evals/curricula/run_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/core/hash.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

struct NamedStatus {
  RunStatus status;
  const char* name;
};
constexpr NamedStatus kStatuses[] = {{RunStatus::kPending, "pending"},
                                     {RunStatus::kPartial, "partial"},
                                     {RunStatus::kDone, "done"},
                                     {RunStatus::kFailed, "failed"}};

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

std::string Hex(uint64_t hash) { return absl::StrFormat("%016x", hash); }

// The end of a file, `bytes` at most.
std::string Tail(const std::string& path, int64_t bytes) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const int64_t size = file.tellg();
  const int64_t count = std::min(size, bytes);
  std::string text(count, '\0');
  file.seekg(size - count);
  file.read(text.data(), count);
  return text;
}

// Reads a log line by line into an outcome.
class LogReader {
 public:
  LogReader(const Preset& preset, RunOutcome* outcome)
      : preset_(preset), o_(*outcome) {}

  void Line(const nlohmann::json& line) {
    const int64_t step = line.at("step");
    o_.steps = std::max(o_.steps, step);
    if (line.contains("valid_loss")) {
      o_.accuracy = line.at("accuracy");
      StageOutcome& stage = Stage(line.at("stage"));
      stage.accuracy = o_.accuracy;
      stage.best = std::max(stage.best, o_.accuracy);
    } else if (line.contains("solved")) {
      const int64_t index = line.at("solved");
      StageOutcome& stage = Stage(index);
      stage.solved = true;
      stage.steps = line.at("stage_steps");
      begin_ = step;
      o_.highest_stage = std::max(o_.highest_stage, stage.number);
    } else if (line.contains("ended_by")) {
      o_.reason = line.at("ended_by");
    } else if (line.contains("test")) {
      o_.tests.push_back({line.at("task"), line.at("test_accuracy")});
    }
  }

  void Finish() {
    o_.n_max = preset_.StageSize(o_.highest_stage);
    if (!o_.stages.empty() && !o_.stages.back().solved) {
      o_.stages.back().steps = o_.steps - begin_;
    }
  }

 private:
  StageOutcome& Stage(int64_t index) {
    while (static_cast<int64_t>(o_.stages.size()) < index) {
      StageOutcome stage;
      stage.number =
          preset_.StageNumber(static_cast<int64_t>(o_.stages.size()) + 1);
      o_.stages.push_back(stage);
    }
    return o_.stages.at(index - 1);
  }

  const Preset& preset_;
  RunOutcome& o_;
  int64_t begin_ = 0;  // step at which the unsolved stage began
};

absl::Status ReadLog(const std::string& path, const Preset& preset,
                     RunOutcome* outcome) {
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LogReader reader(preset, outcome);
  uint64_t hash = kFnv1aEmpty;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // cut short by a kill
    ++number;
    auto line = nlohmann::json::parse(text.begin() + begin, text.begin() + end,
                                      nullptr, /*allow_exceptions=*/false);
    begin = end + 1;
    try {
      reader.Line(line);
    } catch (const nlohmann::json::exception& e) {
      return InvalidArgument(path, ", line ", number, ": ", e.what());
    }
    line.erase("tokens_per_second");
    line.erase("mfu");
    hash = Fnv1a(line.dump(), hash);
  }
  reader.Finish();
  if (number > 0) outcome->log_digest = Hex(hash);
  return absl::OkStatus();
}

}  // namespace

std::string Name(RunStatus status) {
  for (const NamedStatus& s : kStatuses) {
    if (s.status == status) return s.name;
  }
  return "?";
}

absl::StatusOr<RunStatus> StatusOf(const std::string& name) {
  for (const NamedStatus& s : kStatuses) {
    if (name == s.name) return s.status;
  }
  return InvalidArgument("no status '", name, "'");
}

std::string RunOutcome::label() const {
  PlannedRun run;
  run.row = row;
  run.axis = axis;
  run.write_strength = write_strength;
  return run.label();
}

absl::StatusOr<SessionNotes> ReadNotes(const std::string& folder) {
  SessionNotes notes;
  const std::string path = folder + "/run.json";
  if (!Exists(path)) return notes;
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  JsonReader reader(json, path);
  notes.seconds = reader.Float("seconds", 0, 0);
  notes.sessions = reader.Int("sessions", 0);
  notes.failed = reader.Bool("failed", false);
  notes.reason = reader.String("reason", "");
  notes.machine = reader.String("machine", "");
  LT2_RETURN_IF_ERROR(reader.Finish());
  return notes;
}

absl::Status WriteNotes(const std::string& folder, const SessionNotes& notes) {
  const nlohmann::json json = {{"seconds", notes.seconds},
                               {"sessions", notes.sessions},
                               {"failed", notes.failed},
                               {"reason", notes.reason},
                               {"machine", notes.machine}};
  // What a program printed need not be UTF-8.
  return model::WriteFileAtomically(
      folder + "/run.json",
      json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) +
          "\n");
}

std::string ConfigDigest(const nlohmann::json& config) {
  return Hex(Fnv1a(config.dump()));
}

absl::Status PrepareFolder(const std::string& folder, const PlannedRun& run) {
  LT2_RETURN_IF_ERROR(model::MakeFolder(folder));
  const std::string path = folder + "/config.json";
  if (!Exists(path)) {
    return model::WriteFileAtomically(path, run.config.dump(1) + "\n");
  }
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json there, ParseJson(text, path));
  if (there != run.config) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is of another preset or patch (it differs at ",
                     nlohmann::json::diff(there, run.config)[0]["path"].dump(),
                     "); choose another --out"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RunOutcome> ReadOutcome(const std::string& folder,
                                       const Preset& preset,
                                       const PlannedRun& run) {
  RunOutcome o;
  o.name = run.name;
  o.row = run.row;
  o.write_strength = run.write_strength;
  o.axis = run.axis;
  o.column = run.column;
  o.seed = run.seed;
  o.config_digest = ConfigDigest(run.config);
  LT2_ASSIGN_OR_RETURN(const SessionNotes notes, ReadNotes(folder));
  o.seconds = notes.seconds;
  o.sessions = notes.sessions;
  o.machine = notes.machine;
  const std::string log = folder + "/log.jsonl";
  if (Exists(log)) LT2_RETURN_IF_ERROR(ReadLog(log, preset, &o));
  if (Exists(folder + "/final/config.json")) {
    o.status = RunStatus::kDone;
    if (o.reason.empty()) o.reason = "steps";
  } else if (notes.failed) {
    o.status = RunStatus::kFailed;
    o.reason = notes.reason;
  } else if (!o.log_digest.empty() || o.sessions > 0) {
    o.status = RunStatus::kPartial;
  }
  return o;
}

int64_t StepsSoFar(const std::string& folder) {
  const std::string tail = Tail(folder + "/log.jsonl", 2048);
  const std::vector<std::string> lines = absl::StrSplit(tail, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const auto json = nlohmann::json::parse(*line, nullptr, false);
    if (json.is_object() && json.contains("step") &&
        json["step"].is_number_integer()) {
      return json["step"];
    }
  }
  return 0;
}

std::string LastWords(const std::string& folder) {
  const std::string tail = Tail(folder + "/output.txt", 4096);
  const std::vector<std::string> lines = absl::StrSplit(tail, '\n');
  std::string last;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (absl::StartsWith(*line, "train: ")) return line->substr(7);
    if (last.empty()) last = *line;
  }
  return last;
}

}  // namespace lt2::evals
