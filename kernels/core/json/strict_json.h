// Strict JSON: nlohmann's parser (RFC 8259) with what it lets pass turned into
// errors. Duplicate keys (it would silently keep the last), numbers outside the
// range of a double, NUL bytes (it takes them for the end of the text), ill-
// formed UTF-8, nesting past a limit and comments are InvalidArgument errors
// that name the source, the place and the value. NaN and Infinity are not JSON.
//
// Memory is proportional to the text: at most 16 bytes a byte of text.

#ifndef LT2_KERNELS_CORE_JSON_STRICT_JSON_H_
#define LT2_KERNELS_CORE_JSON_STRICT_JSON_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2 {

struct JsonLimits {
  int64_t max_bytes = int64_t{64} << 20;
  int max_depth = 64;
};

// `source` names the text in errors: a file's path or "--set model.heads".
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text,
                                         absl::string_view source,
                                         const JsonLimits& limits = {});

// True if `text` is well-formed UTF-8: no overlong forms, no surrogates,
// nothing past U+10FFFF.
bool IsValidUtf8(absl::string_view text);

// `text` for an error message: escaped, quoted, cut after 80 bytes.
std::string Quoted(absl::string_view text);

// What() of a nlohmann exception without its tag, cut to a readable length.
std::string ParserMessage(const std::exception& error);

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_JSON_STRICT_JSON_H_
