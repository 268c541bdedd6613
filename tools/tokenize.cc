// bazel run //tools:tokenize -- TOKENIZER encode|decode|show|count [FILE...]
//     [--text=TEXT] [--parse_special]
// bazel run //tools:tokenize -- TOKENIZER info
//
// Text to token ids and back with a tokenizer's folder or file, or "bytes".
// Without a file, or for "-", reads the standard input; files may be .xz.

#include <cstdio>
#include <iostream>
#include <iterator>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/core/program.h"
#include "kernels/core/status.h"
#include "tasks/text_file.h"
#include "tools/tokenization/tokenization.h"

ABSL_FLAG(std::string, text, "", "this text instead of files");
ABSL_FLAG(bool, parse_special, false,
          "take special tokens such as <|endoftext|> in the text for what they "
          "name");

namespace lt2::tools {
namespace {

constexpr char kUsage[] =
    "Text to token ids and back.\n"
    "  tokenize TOKENIZER encode [FILE...]  ids, a line for each file\n"
    "  tokenize TOKENIZER decode [FILE...]  the bytes of ids\n"
    "  tokenize TOKENIZER show [FILE...]    a line for each token\n"
    "  tokenize TOKENIZER count [FILE...]   a line for each file\n"
    "  tokenize TOKENIZER info              size, special tokens, digest\n"
    "TOKENIZER: a folder with tokenizer.json or with encoder.json and "
    "vocab.bpe, a .json file, NAME.tiktoken, or the word bytes. --text=TEXT "
    "instead of a FILE; without either, the standard input.";

absl::StatusOr<std::vector<NamedText>> ReadInputs(
    const std::vector<char*>& arguments) {
  const std::string text = absl::GetFlag(FLAGS_text);
  std::vector<std::string> files(arguments.begin() + 3, arguments.end());
  if (!text.empty()) {
    if (!files.empty())
      return InvalidArgument("--text and files are two texts");
    return std::vector<NamedText>{{"--text", text}};
  }
  if (files.empty()) files.push_back("-");
  std::vector<NamedText> inputs;
  for (const std::string& file : files) {
    if (file == "-") {
      inputs.push_back(
          {file, std::string(std::istreambuf_iterator<char>(std::cin),
                             std::istreambuf_iterator<char>())});
    } else {
      LT2_ASSIGN_OR_RETURN(std::string contents, tasks::ReadTextFile(file));
      inputs.push_back({file, std::move(contents)});
    }
  }
  return inputs;
}

absl::Status Main(const std::vector<char*>& arguments) {
  if (arguments.size() < 3) {
    return InvalidArgument("expected TOKENIZER and what to do\n", kUsage);
  }
  const std::string command = arguments[2];
  LT2_ASSIGN_OR_RETURN(const auto tokenizer,
                       tasks::Tokenizer::Load(arguments[1]));
  const bool parse_special = absl::GetFlag(FLAGS_parse_special);
  std::string output;
  if (command == "info") {
    output = DescribeTokenizer(*tokenizer);
  } else if (command == "count") {
    LT2_ASSIGN_OR_RETURN(const auto inputs, ReadInputs(arguments));
    output = CountTokens(*tokenizer, inputs, parse_special);
  } else if (command == "encode" || command == "decode" || command == "show") {
    LT2_ASSIGN_OR_RETURN(const auto inputs, ReadInputs(arguments));
    for (const NamedText& input : inputs) {
      if (command == "encode") {
        output += EncodeText(*tokenizer, input.text, parse_special);
      } else if (command == "show") {
        output += ShowTokens(*tokenizer, input.text, parse_special);
      } else {
        const auto text = DecodeText(*tokenizer, input.text);
        if (!text.ok()) return Annotate(text.status(), input.name);
        output += *text;
      }
    }
  } else {
    return InvalidArgument("unknown command '", command, "'\n", kUsage);
  }
  std::fwrite(output.data(), 1, output.size(), stdout);
  if (std::fflush(stdout) != 0) return absl::DataLossError("standard output");
  return absl::OkStatus();
}

}  // namespace
}  // namespace lt2::tools

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(lt2::tools::kUsage);
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  const absl::Status status = lt2::tools::Main(arguments);
  if (!status.ok()) {
    std::fprintf(stderr, "tokenize: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
