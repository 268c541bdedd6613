#include "kernels/core/json/strict_json.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"

namespace lt2 {
namespace {

using nlohmann::json;

// Builds the document. Pointers to the open containers stay valid: objects are
// node-based and an array does not grow while one of its elements is open.
class DocumentHandler : public nlohmann::json_sax<json> {
 public:
  DocumentHandler(absl::string_view source, int max_depth)
      : source_(source), max_depth_(max_depth) {}

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(int64_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(uint64_t value) override {
    return Add(value) != nullptr;
  }
  bool number_float(double value, const std::string&) override {
    return Add(value) != nullptr;
  }
  bool string(std::string& value) override {
    return Add(std::move(value)) != nullptr;
  }
  bool binary(json::binary_t&) override { return Fail("binary value"); }

  bool start_object(std::size_t) override { return Open(json::object()); }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    if (open_.back()->contains(name)) {
      keys_.back() = name;
      return Fail(
          absl::StrCat("duplicate key ", Quoted(absl::StrJoin(keys_, "."))));
    }
    keys_.back() = std::move(name);
    return true;
  }

  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception& error) override {
    return Fail(ParserMessage(error));
  }

  const absl::Status& status() const { return status_; }
  json Take() { return std::move(root_); }

 private:
  json* Add(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    json& member = parent[keys_.back()];
    member = std::move(value);
    return &member;
  }

  bool Open(json container) {
    if (static_cast<int>(open_.size()) >= max_depth_) {
      return Fail(absl::StrCat("nested deeper than ", max_depth_));
    }
    open_.push_back(Add(std::move(container)));
    keys_.emplace_back();
    return true;
  }

  bool Close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  bool Fail(const std::string& message) {
    status_ = InvalidArgument(source_, ": ", message);
    return false;
  }

  const absl::string_view source_;
  const int max_depth_;
  absl::Status status_;
  json root_;
  std::vector<json*> open_;
  std::vector<std::string> keys_;  // the current key of each open container
};

}  // namespace

std::string ParserMessage(const std::exception& error) {
  std::string message = error.what();
  // "[json.exception.parse_error.101] parse error at line 1, column 5: ..."
  const size_t tag = message.find("] ");
  if (message.rfind("[json.exception", 0) == 0 && tag != std::string::npos) {
    message.erase(0, tag + 2);
  }
  constexpr size_t kLongest = 240;
  if (message.size() > kLongest) {
    // The text that was read last may be long; the reason is at the end.
    message = absl::StrCat(message.substr(0, kLongest / 2), " ... ",
                           message.substr(message.size() - kLongest / 2));
  }
  return IsValidUtf8(message) ? message : absl::CHexEscape(message);
}

absl::StatusOr<json> ParseJson(absl::string_view text, absl::string_view source,
                               const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    return InvalidArgument(source, ": ", text.size(),
                           " bytes of JSON, at most ", limits.max_bytes,
                           " are read");
  }
  const size_t nul = text.find('\0');
  if (nul != absl::string_view::npos) {
    return InvalidArgument(source, ": NUL byte at offset ", nul);
  }
  DocumentHandler handler(source, limits.max_depth);
  if (!json::sax_parse(text.begin(), text.end(), &handler)) {
    return handler.status();
  }
  return handler.Take();
}

bool IsValidUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) -> uint32_t {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
    };
    const uint32_t first = byte(i);
    int length = 1;
    uint32_t code = first;
    if (first >= 0x80) {
      if (first >= 0xC2 && first < 0xE0) {
        length = 2;
        code = first & 0x1F;
      } else if (first >= 0xE0 && first < 0xF0) {
        length = 3;
        code = first & 0x0F;
      } else if (first >= 0xF0 && first < 0xF5) {
        length = 4;
        code = first & 0x07;
      } else {
        return false;
      }
      for (int j = 1; j < length; ++j) {
        const uint32_t next = byte(i + j);
        if ((next & 0xC0) != 0x80) return false;
        code = (code << 6) | (next & 0x3F);
      }
      if (length == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) {
        return false;
      }
      if (length == 4 && (code < 0x10000 || code > 0x10FFFF)) return false;
    }
    i += length;
  }
  return true;
}

std::string Quoted(absl::string_view text) {
  constexpr size_t kLongest = 80;
  const bool cut = text.size() > kLongest;
  const absl::string_view shown = text.substr(0, kLongest);
  return absl::StrCat("'",
                      !cut && IsValidUtf8(shown) ? absl::Utf8SafeCEscape(shown)
                                                 : absl::CHexEscape(shown),
                      cut ? "...'" : "'");
}

}  // namespace lt2
