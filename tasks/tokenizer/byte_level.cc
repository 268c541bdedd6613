#include "tasks/tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "absl/strings/str_format.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

constexpr int kCharacters = 0x144;

struct Alphabet {
  std::array<uint16_t, 256> character_of_byte;
  std::array<int16_t, kCharacters> byte_of_character;
};

const Alphabet& GetAlphabet() {
  static const Alphabet alphabet = [] {
    Alphabet result;
    result.byte_of_character.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) ||
                             (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const int character = printable ? byte : next++;
      result.character_of_byte[byte] = static_cast<uint16_t>(character);
      result.byte_of_character[character] = static_cast<int16_t>(byte);
    }
    LT2_CHECK(next == kCharacters);
    return result;
  }();
  return alphabet;
}

}  // namespace

absl::StatusOr<std::string> ByteLevelToBytes(absl::string_view characters) {
  const Alphabet& alphabet = GetAlphabet();
  std::string bytes;
  bytes.reserve(characters.size());
  for (size_t at = 0; at < characters.size();) {
    const Utf8Step step = NextUtf8(characters.substr(at));
    if (step.kind != Utf8Step::kCodePoint) {
      return InvalidArgument(Quoted(characters), " is not UTF-8");
    }
    if (step.code_point >= kCharacters ||
        alphabet.byte_of_character[step.code_point] < 0) {
      return InvalidArgument(
          Quoted(characters), " has ",
          absl::StrFormat("U+%04X", step.code_point),
          ", which stands for no byte in GPT-2's alphabet of bytes");
    }
    bytes.push_back(
        static_cast<char>(alphabet.byte_of_character[step.code_point]));
    at += step.length;
  }
  return bytes;
}

std::string BytesToByteLevel(absl::string_view bytes) {
  const Alphabet& alphabet = GetAlphabet();
  std::string characters;
  for (char c : bytes) {
    const uint32_t character =
        alphabet.character_of_byte[static_cast<unsigned char>(c)];
    if (character < 0x80) {
      characters.push_back(static_cast<char>(character));
    } else {
      characters.push_back(static_cast<char>(0xC0 | character >> 6));
      characters.push_back(static_cast<char>(0x80 | (character & 0x3F)));
    }
  }
  return characters;
}

}  // namespace lt2::tasks
