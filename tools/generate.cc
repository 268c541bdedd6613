// bazel run //tools:generate -- --model=FOLDER --prompt=TEXT [options]
//
// Writes text with a model: one prompt with its answer as it grows, the prompts
// of a file, or a conversation. README.md of this folder has examples.
//
// The answer goes to standard output, figures and notes to standard error.
// Exit codes: 0 done, 1 error.

#include <cstdio>
#include <iostream>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_format.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"
#include "tools/generation/text_generation.h"

ABSL_FLAG(std::string, model, "", "the model's folder");
ABSL_FLAG(std::string, tokenizer, "",
          "a tokenizer's folder or file, or bytes; default the model's");
ABSL_FLAG(std::string, data_dir, "",
          "where a relative data.tokenizer starts; default $LT2_DATA_DIR");
ABSL_FLAG(std::string, prompt, "", "what to continue");
ABSL_FLAG(std::string, prompt_file, "", "the same, the whole of a file");
ABSL_FLAG(std::string, prompts_file, "",
          "many prompts: JSONL, or one prompt a line");
ABSL_FLAG(std::string, out, "",
          "JSONL file for the answers to --prompts_file; default standard "
          "output");
ABSL_FLAG(bool, echo, false, "write the prompt before its answer");

ABSL_FLAG(bool, chat, false,
          "a conversation by the model's chat template; with --prompt one "
          "answer, else turn by turn from standard input");
ABSL_FLAG(std::string, system, "", "system message of a conversation");
ABSL_FLAG(std::string, chat_template, "",
          "'chatml' or a file, instead of the folder's template");

ABSL_FLAG(int64_t, max_tokens, 256, "most tokens of an answer");
ABSL_FLAG(bool, stop_at_end, true, "stop at the token that ends a text");
ABSL_FLAG(double, temperature, 1, "0: the most likely token");
ABSL_FLAG(int, top_k, 0, "of the k most likely tokens; 0: all");
ABSL_FLAG(double, top_p, 1, "of the likeliest with this probability together");
ABSL_FLAG(double, min_p, 0, "of those this likely relative to the likeliest");
ABSL_FLAG(double, repetition_penalty, 1, "against tokens of the text; 1: none");
ABSL_FLAG(uint64_t, seed, 1, "of the random draws");

ABSL_FLAG(std::string, save_state, "",
          "file for the state after the prompt, to go on from later");
ABSL_FLAG(std::string, load_state, "",
          "file with a state: --prompt goes on behind its text");
ABSL_FLAG(int64_t, context, 0,
          "room for so many tokens at least; a conversation has 4096 unless "
          "given");
ABSL_FLAG(int64_t, chunk, 512, "tokens of a prompt taken in at once");
ABSL_FLAG(int64_t, batch, 8, "prompts of a file at once");
ABSL_FLAG(int64_t, loops, 0, "0: the model's");
ABSL_FLAG(std::string, device, "cpu", "cpu or cuda");
ABSL_FLAG(std::string, activation, "",
          "type of activations, f32 or bf16; default f32 on the CPU, bf16 on "
          "a GPU");
ABSL_FLAG(int, threads, 0, "CPU threads; 0 = all");

namespace lt2::tools {
namespace {

constexpr char kUsage[] =
    "Writes text with a model.\n"
    "  generate --model=FOLDER --prompt=TEXT [--max_tokens=N] [--seed=N]\n"
    "  generate --model=FOLDER --prompts_file=FILE [--out=FILE]\n"
    "  generate --model=FOLDER --chat [--system=TEXT] [--prompt=TEXT]\n"
    "--stop=TEXT, any number of times, ends an answer before TEXT.";

// Takes the --stop flags out of argv: an absl flag keeps only the last.
std::vector<std::string> TakeStops(int* argc, char** argv) {
  std::vector<std::string> stops;
  int kept = 0;
  for (int i = 0; i < *argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--stop" && i + 1 < *argc) {
      stops.push_back(argv[++i]);
    } else if (argument.rfind("--stop=", 0) == 0) {
      stops.push_back(argument.substr(7));
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  return stops;
}

absl::StatusOr<TextOptions> ReadOptions(std::vector<std::string> stops) {
  TextOptions options;
  options.sampling.temperature =
      static_cast<float>(absl::GetFlag(FLAGS_temperature));
  options.sampling.top_k = absl::GetFlag(FLAGS_top_k);
  options.sampling.top_p = static_cast<float>(absl::GetFlag(FLAGS_top_p));
  options.sampling.min_p = static_cast<float>(absl::GetFlag(FLAGS_min_p));
  options.sampling.repetition_penalty =
      static_cast<float>(absl::GetFlag(FLAGS_repetition_penalty));
  options.sampling.seed = absl::GetFlag(FLAGS_seed);
  options.max_tokens = absl::GetFlag(FLAGS_max_tokens);
  options.stops = std::move(stops);
  options.stop_ids = absl::GetFlag(FLAGS_stop_at_end);
  options.loops = absl::GetFlag(FLAGS_loops);
  options.chunk = absl::GetFlag(FLAGS_chunk);
  options.batch = absl::GetFlag(FLAGS_batch);
  options.capacity = absl::GetFlag(FLAGS_context);
  options.save = absl::GetFlag(FLAGS_save_state);
  options.load = absl::GetFlag(FLAGS_load_state);
  const int ways = !absl::GetFlag(FLAGS_prompts_file).empty() +
                   !absl::GetFlag(FLAGS_prompt_file).empty() +
                   !absl::GetFlag(FLAGS_prompt).empty();
  if (ways > 1) {
    return InvalidArgument(
        "--prompt, --prompt_file and --prompts_file exclude each other");
  }
  const bool states = !options.save.empty() || !options.load.empty();
  if (states && (absl::GetFlag(FLAGS_chat) ||
                 !absl::GetFlag(FLAGS_prompts_file).empty())) {
    return InvalidArgument(
        "--save_state and --load_state are for one prompt, not for --chat or "
        "--prompts_file");
  }
  return options;
}

absl::StatusOr<std::unique_ptr<Context>> MakeContext() {
  const std::string device = absl::GetFlag(FLAGS_device);
  if (device != "cpu" && device != "cuda") {
    return InvalidArgument("--device is '", device, "', must be cpu or cuda");
  }
  ContextOptions options;
  options.threads = absl::GetFlag(FLAGS_threads);
  if (options.threads <= 0) {
    options.threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  return Context::Create(device == "cuda" ? Device::kCUDA : Device::kCPU,
                         options);
}

absl::StatusOr<TextModel> LoadModel(Context& ctx) {
  TextModelOptions options;
  options.folder = absl::GetFlag(FLAGS_model);
  options.tokenizer = absl::GetFlag(FLAGS_tokenizer);
  options.data_dir = absl::GetFlag(FLAGS_data_dir);
  if (options.data_dir.empty() && std::getenv("LT2_DATA_DIR") != nullptr) {
    options.data_dir = std::getenv("LT2_DATA_DIR");
  }
  options.loops = absl::GetFlag(FLAGS_loops);
  const std::string activation = absl::GetFlag(FLAGS_activation);
  if (activation == "f32") {
    options.activation = DType::kF32;
  } else if (activation == "bf16") {
    options.activation = DType::kBF16;
  } else if (!activation.empty()) {
    return InvalidArgument("--activation is '", activation,
                           "', must be f32 or bf16");
  }
  LT2_ASSIGN_OR_RETURN(TextModel model, LoadTextModel(ctx, options));
  for (const std::string& note : model.notes) {
    std::fprintf(stderr, "note: %s\n", note.c_str());
  }
  return model;
}

absl::StatusOr<model::ChatTemplate> LoadTemplate() {
  const std::string name = absl::GetFlag(FLAGS_chat_template);
  if (name == "chatml") return model::ChatTemplate::ChatMl();
  if (name.empty()) {
    auto chat = model::ChatTemplate::FromFolder(absl::GetFlag(FLAGS_model));
    if (absl::IsNotFound(chat.status())) {
      return Annotate(chat.status(),
                      "--chat_template=chatml or FILE is needed");
    }
    return chat;
  }
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(name));
  return model::ChatTemplate::Parse(text, name);
}

void Show(absl::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintReport(const GenerationReport& report) {
  std::fprintf(stderr, "%s; states of %lld bytes\n",
               Describe(report.timing).c_str(),
               static_cast<long long>(report.state_bytes));
  if (report.snapshot_bytes > 0) {
    std::fprintf(stderr, "saved a state of %lld bytes\n",
                 static_cast<long long>(report.snapshot_bytes));
  }
}

absl::Status RunFile(TextModel& model, const TextOptions& options,
                     const model::ChatTemplate* chat) {
  const std::string path = absl::GetFlag(FLAGS_prompts_file);
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const std::vector<TextRequest> requests,
                       ParseRequests(text, path));
  GenerationReport report;
  LT2_ASSIGN_OR_RETURN(const std::vector<TextResult> results,
                       GenerateTexts(
                           model, requests, options, chat,
                           [&](int64_t done) {
                             std::fprintf(stderr, "%lld of %zu prompts\n",
                                          static_cast<long long>(done),
                                          requests.size());
                           },
                           &report));
  std::string lines;
  for (const TextResult& result : results) lines += ToJsonLine(result);
  const std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty()) {
    Show(lines);
  } else {
    LT2_RETURN_IF_ERROR(model::WriteFileAtomically(out, lines));
  }
  PrintReport(report);
  return absl::OkStatus();
}

absl::Status RunChat(TextModel& model, TextOptions options,
                     const model::ChatTemplate& chat) {
  if (options.capacity == 0) options.capacity = 4096;
  Conversation talk(model, options, chat, absl::GetFlag(FLAGS_system));
  auto turn = [&](const std::string& text) -> absl::Status {
    GenerationReport report;
    LT2_RETURN_IF_ERROR(talk.Say(text, Show, &report).status());
    Show("\n");
    PrintReport(report);
    return absl::OkStatus();
  };
  const std::string prompt = absl::GetFlag(FLAGS_prompt);
  if (!prompt.empty()) return turn(prompt);
  std::string line;
  while (std::fputs("> ", stderr), std::getline(std::cin, line)) {
    if (!line.empty()) LT2_RETURN_IF_ERROR(turn(line));
  }
  std::fputs("\n", stderr);
  return absl::OkStatus();
}

absl::Status Main(std::vector<std::string> stops) {
  if (absl::GetFlag(FLAGS_model).empty()) {
    return InvalidArgument("--model is missing\n", kUsage);
  }
  LT2_ASSIGN_OR_RETURN(const TextOptions options,
                       ReadOptions(std::move(stops)));
  const bool chatting = absl::GetFlag(FLAGS_chat);
  const bool file = !absl::GetFlag(FLAGS_prompts_file).empty();
  absl::StatusOr<model::ChatTemplate> chat = LoadTemplate();
  // A file of prompts may do without; a template that is there must be right.
  if (!chat.ok() && (chatting || (file && !absl::IsNotFound(chat.status())))) {
    return chat.status();
  }
  LT2_ASSIGN_OR_RETURN(auto ctx, MakeContext());
  LT2_ASSIGN_OR_RETURN(TextModel model, LoadModel(*ctx));
  if (file) return RunFile(model, options, chat.ok() ? &*chat : nullptr);
  if (chatting) return RunChat(model, options, *chat);
  TextRequest request;
  request.id = 0;
  request.prompt = absl::GetFlag(FLAGS_prompt);
  const std::string path = absl::GetFlag(FLAGS_prompt_file);
  if (!path.empty()) {
    LT2_ASSIGN_OR_RETURN(request.prompt, model::ReadFile(path));
  }
  if (absl::GetFlag(FLAGS_echo)) Show(request.prompt);
  GenerationReport report;
  LT2_ASSIGN_OR_RETURN(
      const TextResult result,
      GenerateText(model, request, options, nullptr, Show, &report));
  if (options.max_tokens > 0) Show("\n");
  if (result.finish_reason == "stop_string") {
    std::fprintf(stderr, "stopped before %s\n",
                 Quoted(result.stop_string).c_str());
  } else if (result.finish_reason == "stop_id") {
    std::fprintf(stderr, "the text is at its end\n");
  }
  PrintReport(report);
  return absl::OkStatus();
}

}  // namespace
}  // namespace lt2::tools

int main(int argc, char** argv) {
  std::vector<std::string> stops = lt2::tools::TakeStops(&argc, argv);
  absl::SetProgramUsageMessage(lt2::tools::kUsage);
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  absl::Status status;
  if (rest.size() > 1) {
    status = lt2::InvalidArgument("unexpected argument '", rest[1], "'");
  } else {
    status = lt2::tools::Main(std::move(stops));
  }
  if (!status.ok()) {
    std::fprintf(stderr, "generate: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
