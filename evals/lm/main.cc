// bazel run //evals:lm -- --model=DIR [flags]
//
// Evaluates a model on language suites (README.md).
//
// Exit codes: 0 done, 1 error, 130 stopped by Ctrl-C (run again to go on).

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "evals/lm/load_model.h"
#include "evals/lm/looped_language_model.h"
#include "evals/lm/report.h"
#include "evals/lm/ruler_documents.h"
#include "evals/ranking/run.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"
#include "model/looped/accounting.h"
#include "tasks/tokenizer/model_tokenizer.h"
#include "tasks/tokenizer/tokenizer.h"

ABSL_FLAG(std::string, model, "", "folder of the model");
ABSL_FLAG(std::string, tokenizer, "",
          "folder or file of the tokenizer, or bytes; default the model's: in "
          "its folder, or that it was trained with");
ABSL_FLAG(std::vector<std::string>, tasks, {},
          "suites, comma-separated; default all that have their data");
ABSL_FLAG(bool, list, false, "list the suites and stop");
ABSL_FLAG(std::string, data_dir, "",
          "folder with eval/ and corpus/; default $LT2_DATA_DIR");
ABSL_FLAG(std::string, suites, "",
          "folder of suites; default the repository's");
ABSL_FLAG(int64_t, limit, 0, "only the first n items of each suite");
ABSL_FLAG(std::string, sample, "",
          "n:seed, a random sample of n items of each suite");
ABSL_FLAG(int64_t, num_fewshot, -1, "examples; default the suite's number");
ABSL_FLAG(uint64_t, fewshot_seed, 1234, "which examples");
ABSL_FLAG(int64_t, max_length, 0,
          "tokens read at once; default the length that the model was trained "
          "with if its folder tells, else 2048");
ABSL_FLAG(int64_t, loops, 0, "loop count; default the model's");
ABSL_FLAG(int64_t, rows, 0, "rows of a block; 0: 4, on a GPU 64");
ABSL_FLAG(int64_t, batch, 0,
          "requests at a time; 0: 16 for each row; changes no score");
ABSL_FLAG(absl::optional<bool>, share_context, absl::nullopt,
          "run a context once for all its continuations; default not on a GPU");
ABSL_FLAG(std::string, device, "cpu", "cpu or cuda");
ABSL_FLAG(int, threads, 0, "0: one for each core; changes no score");
ABSL_FLAG(std::string, out, ".",
          "folder of results.json and samples_TASK.jsonl");
ABSL_FLAG(std::string, cache, "",
          "folder of responses; default lm_cache in --out; none: no cache");

namespace lt2::evals {
namespace {

std::atomic<bool> stop_requested{false};

// A second Ctrl-C ends the program at once.
void OnInterrupt(int) { stop_requested = true; }

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The suites to run, and in `skipped` those that cannot.
absl::StatusOr<std::vector<std::shared_ptr<const Suite>>> FindSuites(
    const std::string& folder, const std::string& data_dir,
    std::vector<std::string>* skipped) {
  LT2_ASSIGN_OR_RETURN(const std::vector<std::string> known,
                       ListSuites(folder));
  std::vector<std::shared_ptr<const Suite>> suites;
  const std::vector<std::string> wanted = absl::GetFlag(FLAGS_tasks);
  for (const std::string& name : wanted.empty() ? known : wanted) {
    const bool is_file =
        name.size() > 5 && name.substr(name.size() - 5) == ".json";
    if (!is_file &&
        std::find(known.begin(), known.end(), name) == known.end()) {
      return InvalidArgument("--tasks: no suite '", name,
                             "'; there are: ", absl::StrJoin(known, ", "),
                             ", or a .json file");
    }
    LT2_ASSIGN_OR_RETURN(
        auto suite,
        LoadSuite(is_file ? name : absl::StrCat(folder, "/", name, ".json")));
    const std::string file = absl::StrCat(data_dir, "/", suite->file);
    if (wanted.empty() &&
        (!suite->generator.empty() || access(file.c_str(), R_OK) != 0)) {
      skipped->push_back(absl::StrCat(
          name, ": ",
          suite->generator.empty() ? "no " + file : "made only by name"));
      continue;
    }
    suites.push_back(std::move(suite));
  }
  if (suites.empty()) {
    return InvalidArgument("no suite has its data in '", data_dir,
                           "'; give --data_dir=FOLDER with eval/ and corpus/");
  }
  return suites;
}

// What its training called it, else its folder.
std::string NameOf(const std::string& folder, const nlohmann::json& config) {
  const auto name = config.find("name");
  if (name != config.end() && name->is_string()) return *name;
  const std::filesystem::path path =
      std::filesystem::absolute(folder).lexically_normal();
  return path.has_filename() ? path.filename().string()
                             : path.parent_path().filename().string();
}

absl::Status ParseSample(LmRunOptions* options) {
  options->limit = absl::GetFlag(FLAGS_limit);
  const std::string sample = absl::GetFlag(FLAGS_sample);
  if (options->limit < 0 || (options->limit > 0 && !sample.empty())) {
    return InvalidArgument("give --limit >= 0 or --sample, not both");
  }
  if (sample.empty()) return absl::OkStatus();
  const std::vector<std::string> parts = absl::StrSplit(sample, ':');
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &options->sample) ||
      !absl::SimpleAtoi(parts[1], &options->sample_seed) ||
      options->sample < 1) {
    return InvalidArgument("--sample: expected n:seed with n >= 1, got '",
                           sample, "'");
  }
  return absl::OkStatus();
}

void List(const std::string& folder) {
  const auto names = ListSuites(folder);
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const auto suite = LoadSuite(folder + "/" + name + ".json");
    std::printf("%-20s %s\n", name.c_str(),
                suite.ok() ? (*suite)->title.c_str()
                           : std::string(suite.status().message()).c_str());
  }
}

absl::Status Main(const std::string& command, const std::string& suite_folder) {
  const double start = Now();
  LmRunInfo info;
  LmRunOptions options;
  LT2_RETURN_IF_ERROR(ParseSample(&options));
  options.data_dir = absl::GetFlag(FLAGS_data_dir);
  if (options.data_dir.empty() && std::getenv("LT2_DATA_DIR") != nullptr) {
    options.data_dir = std::getenv("LT2_DATA_DIR");
  }
  if (absl::GetFlag(FLAGS_num_fewshot) >= 0) {
    options.shots = absl::GetFlag(FLAGS_num_fewshot);
  }
  options.shot_seed = absl::GetFlag(FLAGS_fewshot_seed);
  options.batch = absl::GetFlag(FLAGS_batch);
  options.stop = &stop_requested;
  const std::string folder = absl::GetFlag(FLAGS_model);
  if (folder.empty()) return InvalidArgument("give --model=FOLDER");
  LT2_ASSIGN_OR_RETURN(
      const auto suites,
      FindSuites(suite_folder, options.data_dir, &info.skipped));
  const std::string out = absl::GetFlag(FLAGS_out);
  LT2_RETURN_IF_ERROR(model::MakeFolder(out));

  const std::string device = absl::GetFlag(FLAGS_device);
  if (device != "cpu" && device != "cuda") {
    return InvalidArgument("--device: expected cpu or cuda, got '", device,
                           "'");
  }
  ContextOptions context;
  context.threads = absl::GetFlag(FLAGS_threads);
  if (context.threads <= 0) {
    context.threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  LT2_ASSIGN_OR_RETURN(
      auto ctx, Context::Create(device == "cuda" ? Device::kCUDA : Device::kCPU,
                                context));
  LT2_ASSIGN_OR_RETURN(const ModelFolder loaded, ReadModelFolder(*ctx, folder));
  for (const std::string& note : loaded.notes) {
    std::fprintf(stderr, "%s\n", note.c_str());
  }
  const model::ModelConfig& config = loaded.model->config();
  info.tokenizer = absl::GetFlag(FLAGS_tokenizer);
  if (info.tokenizer.empty()) {
    LT2_ASSIGN_OR_RETURN(
        info.tokenizer,
        tasks::TokenizerOfModel(folder, loaded.config, options.data_dir));
  }
  LT2_ASSIGN_OR_RETURN(const auto tokenizer,
                       tasks::Tokenizer::Load(info.tokenizer));

  LoopedLmOptions lm;
  lm.loops = absl::GetFlag(FLAGS_loops);
  lm.rows = absl::GetFlag(FLAGS_rows);
  if (lm.rows == 0) lm.rows = device == "cuda" ? 64 : 4;
  if (device == "cuda") lm.text_rows = lm.rows;
  lm.share_context =
      absl::GetFlag(FLAGS_share_context).value_or(device == "cpu");
  if (options.batch == 0) options.batch = 16 * lm.rows;
  lm.max_length = absl::GetFlag(FLAGS_max_length);
  if (lm.max_length <= 0) lm.max_length = loaded.trained_length;
  info.model_digest = loaded.digest;
  LT2_ASSIGN_OR_RETURN(auto language_model,
                       LoopedLanguageModel::Create(*loaded.model, *tokenizer,
                                                   info.model_digest, lm));

  RegisterDocumentGenerator(
      "ruler", [&](const nlohmann::json& spec, const LanguageModel& lm_model,
                   const std::string& data_dir) {
        return RulerDocuments(spec, lm_model, *tokenizer, data_dir);
      });

  info.model = NameOf(folder, loaded.config);
  info.tokenizer_digest = tokenizer->digest();
  info.build = absl::StrCat("g++ ", __VERSION__,
                            LT2_HAVE_CUDA ? " with CUDA" : " without CUDA");
  info.program_digest = ProgramDigest();
  info.machine = ctx->info().name;
  info.device = device;
  info.dtype = Name(loaded.model->activation());
  info.command = command;
  info.layer_pattern = config.layer_pattern;
  info.trained_loops = config.loop_count;
  info.loops = lm.loops > 0 ? lm.loops : loaded.model->default_loops();
  info.write_strength = WriteStrength(config);
  LT2_ASSIGN_OR_RETURN(const model::ModelCost cost,
                       model::Cost(config, lm.max_length, info.loops,
                                   loaded.model->activation()));
  info.parameters = cost.parameters;
  info.flops_per_token = cost.flops_per_token(lm.max_length);
  info.state_bytes = cost.state_bytes;
  info.max_length = lm.max_length;
  info.limit = options.limit;
  info.sample = options.sample;
  info.sample_seed = options.sample_seed;
  info.date = static_cast<double>(std::time(nullptr));

  std::string cache_folder = absl::GetFlag(FLAGS_cache);
  if (cache_folder.empty()) cache_folder = out + "/lm_cache";
  if (cache_folder == "none") cache_folder.clear();
  LT2_ASSIGN_OR_RETURN(
      auto cache,
      ResponseCache::Open(cache_folder, absl::StrCat(language_model->digest(),
                                                     info.program_digest)));
  if (cache->damaged_lines() > 0) {
    std::fprintf(stderr, "%s: %lld damaged lines are not used\n",
                 cache->path().c_str(),
                 static_cast<long long>(cache->damaged_lines()));
  }
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);

  const bool terminal = isatty(STDERR_FILENO) != 0;
  std::vector<SuiteResult> results;
  for (size_t i = 0; i < suites.size(); ++i) {
    const double began = Now();
    double shown = began;
    options.progress = [&](const Suite& suite, int64_t done, int64_t total) {
      // Without a terminal a line now and then.
      if (done != total && Now() - shown < (terminal ? 0.2 : 30.0)) return;
      shown = Now();
      std::fprintf(
          stderr, "%s[%zu/%zu] %s: %lld of %lld requests, about %.0f s left%s",
          terminal ? "\r\033[K" : "", i + 1, suites.size(), suite.name.c_str(),
          static_cast<long long>(done), static_cast<long long>(total),
          (Now() - began) / static_cast<double>(done) *
              static_cast<double>(total - done),
          terminal && done != total ? "" : "\n");
    };
    auto result = RunSuite(*language_model, suites[i], *cache, options);
    if (!result.ok()) {
      if (absl::IsCancelled(result.status()) && !cache->path().empty()) {
        return absl::CancelledError(
            absl::StrCat(result.status().message(), "; ", cache->size(),
                         " responses are kept in ", cache->path(),
                         ": the same command goes on from there"));
      }
      return result.status();
    }
    results.push_back(*std::move(result));
    LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
        absl::StrCat(out, "/samples_", suites[i]->name, ".jsonl"),
        LmSamples(results.back(), info)));
  }
  info.seconds = Now() - start;
  info.tokens_computed = language_model->tokens_computed();
  std::fputs(LmTable(results, info).c_str(), stdout);
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
      out + "/results.json", LmJson(results, info).dump() + "\n"));
  std::printf("wrote %s/results.json and samples_TASK.jsonl\n", out.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace lt2::evals

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Evaluates a model on language suites.\n  lm --model=DIR "
      "[--tasks=arc_easy,piqa] [--data_dir=DIR] [--sample=n:seed] [--list]");
  absl::ParseCommandLine(argc, argv);
  std::string command = "bazel run //evals:lm";
  if (argc > 1) {
    command += " -- " + absl::StrJoin(argv + 1, argv + argc, " ");
  }
  // The repository's files are where Bazel starts the program.
  std::string suites = absl::GetFlag(FLAGS_suites);
  char directory[4096];
  if (suites.empty() && getcwd(directory, sizeof(directory)) != nullptr) {
    suites = std::string(directory) + "/evals/lm/suites";
  }
  lt2::EnterCallersDirectory();
  if (absl::GetFlag(FLAGS_list)) {
    lt2::evals::List(suites);
    return 0;
  }
  const absl::Status status = lt2::evals::Main(command, suites);
  if (status.ok()) return 0;
  std::fprintf(stderr, "\nlm: %s\n", std::string(status.message()).c_str());
  return absl::IsCancelled(status) ? 130 : 1;
}
