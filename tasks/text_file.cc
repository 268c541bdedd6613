#include "tasks/text_file.h"

#include <lzma.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status.h"

namespace lt2::tasks {
namespace {

constexpr absl::string_view kSeparator = "<|endoftext|>";
constexpr size_t kChunk = 1 << 16;
constexpr uint64_t kLzmaMemory = uint64_t{256} << 20;

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Passes a file's bytes through liblzma, or straight through.
class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { lzma_end(&stream_); }

  absl::Status Init() {
    if (lzma_stream_decoder(&stream_, kLzmaMemory, LZMA_CONCATENATED) !=
        LZMA_OK) {
      return absl::InternalError("liblzma could not start");
    }
    return absl::OkStatus();
  }

  // Decodes `input`; `last` says that no more will come.
  absl::Status Decode(absl::string_view input, bool last, int64_t max_bytes,
                      std::string* text) {
    stream_.next_in = reinterpret_cast<const uint8_t*>(input.data());
    stream_.avail_in = input.size();
    uint8_t buffer[kChunk];
    while (true) {
      stream_.next_out = buffer;
      stream_.avail_out = sizeof(buffer);
      const lzma_ret result =
          lzma_code(&stream_, last ? LZMA_FINISH : LZMA_RUN);
      const size_t count = sizeof(buffer) - stream_.avail_out;
      if (static_cast<int64_t>(text->size() + count) > max_bytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat("more than ", max_bytes, " bytes decompressed"));
      }
      text->append(reinterpret_cast<const char*>(buffer), count);
      if (result == LZMA_STREAM_END) return absl::OkStatus();
      if (result != LZMA_OK && result != LZMA_BUF_ERROR) {
        return InvalidArgument("corrupt or unsupported xz data (liblzma ",
                               static_cast<int>(result), ")");
      }
      // No progress: more input is needed, and at the end there is none.
      if (stream_.avail_out != 0 && stream_.avail_in == 0) {
        if (!last) return absl::OkStatus();
        if (result == LZMA_BUF_ERROR) {
          return InvalidArgument("truncated xz data");
        }
      }
    }
  }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

absl::Status Read(std::FILE* file, bool compressed, int64_t max_bytes,
                  std::string* text) {
  Decoder decoder;
  if (compressed) LT2_RETURN_IF_ERROR(decoder.Init());
  std::string chunk(kChunk, '\0');
  bool last = false;
  while (!last) {
    const size_t count = std::fread(&chunk[0], 1, chunk.size(), file);
    if (std::ferror(file)) {
      return absl::DataLossError(
          absl::StrCat("cannot read: ", std::strerror(errno)));
    }
    last = count < chunk.size();
    const absl::string_view input(chunk.data(), count);
    if (compressed) {
      LT2_RETURN_IF_ERROR(decoder.Decode(input, last, max_bytes, text));
    } else {
      if (static_cast<int64_t>(text->size() + count) > max_bytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat("more than ", max_bytes, " bytes"));
      }
      text->append(input.data(), input.size());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& file_name,
                                         int64_t max_bytes) {
  const std::unique_ptr<std::FILE, FileCloser> file(
      std::fopen(file_name.c_str(), "rb"));
  if (file == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(file_name, ": cannot open: ", std::strerror(errno)));
  }
  std::string text;
  const absl::Status status =
      Read(file.get(), absl::EndsWith(file_name, ".xz"), max_bytes, &text);
  if (!status.ok()) return Annotate(status, file_name);
  return text;
}

absl::Status AppendDocuments(absl::string_view text, std::string* stream) {
  const size_t zero = text.find('\0');
  if (zero != absl::string_view::npos) {
    return InvalidArgument("byte ", zero,
                           " is 0, which is kept for document boundaries");
  }
  const auto append = [stream](absl::string_view document) {
    if (document.empty()) return;
    stream->push_back('\0');
    stream->append(document.data(), document.size());
  };
  size_t document = 0, from = 0;
  while (true) {
    const size_t found = text.find(kSeparator, from);
    if (found == absl::string_view::npos) break;
    const size_t end = found + kSeparator.size();
    const bool whole_line = (found == 0 || text[found - 1] == '\n') &&
                            (end == text.size() || text[end] == '\n');
    from = end;
    if (!whole_line) continue;
    append(text.substr(document, found - document));
    document = from = end < text.size() ? end + 1 : end;
  }
  append(text.substr(document));
  return absl::OkStatus();
}

}  // namespace lt2::tasks
