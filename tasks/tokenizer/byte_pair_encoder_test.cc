#include "tasks/tokenizer/byte_pair_encoder.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "tasks/tokenizer/byte_level.h"
#include "tasks/tokenizer/unicode.h"

namespace lt2::tasks {
namespace {

std::vector<std::string> Bytes() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    tokens.emplace_back(1, static_cast<char>(byte));
  }
  return tokens;
}

// Random rules over 'a'..'d', many of which overlap.
struct Vocabulary {
  std::vector<std::string> tokens = Bytes();
  std::vector<MergeRule> rules;

  Vocabulary(uint64_t seed, int merges) {
    Philox rng(seed, 0, 0);
    std::vector<int32_t> usable = {'a', 'b', 'c', 'd'};
    while (static_cast<int>(rules.size()) < merges) {
      const int32_t left = usable[rng.Next() % usable.size()];
      const int32_t right = usable[rng.Next() % usable.size()];
      const std::string both = tokens[left] + tokens[right];
      if (both.size() > 12 ||
          std::find(tokens.begin(), tokens.end(), both) != tokens.end()) {
        continue;
      }
      const int32_t id = static_cast<int32_t>(tokens.size());
      rules.push_back({left, right, id, static_cast<int32_t>(rules.size())});
      tokens.push_back(both);
      usable.push_back(id);
    }
  }

  // The definition, literally.
  std::vector<int32_t> Encode(const std::string& piece) const {
    std::vector<int32_t> ids;
    for (char byte : piece) ids.push_back(static_cast<unsigned char>(byte));
    while (true) {
      const MergeRule* best = nullptr;
      size_t place = 0;
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        for (const MergeRule& rule : rules) {
          if (rule.left == ids[i] && rule.right == ids[i + 1] &&
              (best == nullptr || rule.rank < best->rank)) {
            best = &rule;
            place = i;
          }
        }
      }
      if (best == nullptr) return ids;
      ids[place] = best->result;
      ids.erase(ids.begin() + place + 1);
    }
  }
};

std::string RandomPiece(uint64_t seed, uint64_t index, size_t size) {
  Philox rng(seed, index, 1);
  std::string piece;
  for (size_t i = 0; i < size; ++i) {
    piece.push_back(static_cast<char>('a' + rng.Next() % 4));
  }
  return piece;
}

TEST(BytePairEncoder, MergesAsTheDefinitionDoesForShortAndLongPieces) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const Vocabulary vocabulary(seed, 60);
    const auto encoder =
        BytePairEncoder::Create(vocabulary.tokens, vocabulary.rules, false);
    ASSERT_TRUE(encoder.ok()) << encoder.status();
    for (size_t size : {0, 1, 2, 3, 5, 8, 26, 27, 47, 48, 49, 50, 97, 200}) {
      for (uint64_t index = 0; index < 20; ++index) {
        const std::string piece = RandomPiece(seed + 10, index, size);
        for (int repeat = 0; repeat < 2; ++repeat) {  // the second is cached
          std::vector<int32_t> ids;
          encoder->Encode(piece, &ids);
          EXPECT_EQ(ids, vocabulary.Encode(piece)) << piece;
        }
      }
    }
  }
}

TEST(BytePairEncoder, RanksMeanAllCutsOfAToken) {
  // "abc" can come from "ab"+"c" and from "a"+"bc".
  std::vector<std::string> tokens = Bytes();
  tokens.push_back("bc");
  tokens.push_back("ab");
  tokens.push_back("abc");
  const std::vector<MergeRule> rules = MergesOfRanks(tokens);
  EXPECT_EQ(rules.size(), 4u);
  const auto encoder = BytePairEncoder::Create(tokens, rules, true);
  ASSERT_TRUE(encoder.ok());
  std::vector<int32_t> ids;
  encoder->Encode("xabcab", &ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{'x', 258, 257}));
}

TEST(BytePairEncoder, AWholePieceComesBeforeItsMerges) {
  std::vector<std::string> tokens = Bytes();
  tokens.push_back("ab");
  tokens.push_back("xyz");  // that no merge makes
  const std::vector<MergeRule> rules = {{'a', 'b', 256, 0}};
  for (bool whole : {false, true}) {
    const auto encoder = BytePairEncoder::Create(tokens, rules, whole);
    ASSERT_TRUE(encoder.ok());
    std::vector<int32_t> ids;
    encoder->Encode("xyz", &ids);
    EXPECT_EQ(ids, whole ? std::vector<int32_t>{257}
                         : (std::vector<int32_t>{'x', 'y', 'z'}));
  }
}

TEST(BytePairEncoder, LeavesOutBytesThatAreNoToken) {
  std::vector<std::string> tokens = Bytes();
  tokens['-'] = "";
  tokens.push_back("ab");
  const std::vector<MergeRule> rules = {{'a', 'b', 256, 0}};
  const auto encoder = BytePairEncoder::Create(tokens, rules, false);
  ASSERT_TRUE(encoder.ok());
  EXPECT_EQ(encoder->MissingBytes(), "-");
  for (const char* piece : {"-", "--", "-a-b-", "ab-"}) {
    std::vector<int32_t> ids;
    encoder->Encode(piece, &ids);
    EXPECT_EQ(ids.size(), piece[1] == 'a' || piece[0] == 'a' ? 1u : 0u);
  }
}

TEST(BytePairEncoder, EncodersDoNotShareCachedPieces) {
  std::vector<std::string> tokens = Bytes();
  tokens.push_back("ab");
  const auto with =
      BytePairEncoder::Create(tokens, {{'a', 'b', 256, 0}}, false);
  tokens.back() = "bb";
  const auto without =
      BytePairEncoder::Create(tokens, {{'b', 'b', 256, 0}}, false);
  ASSERT_TRUE(with.ok() && without.ok());
  for (int repeat = 0; repeat < 3; ++repeat) {
    std::vector<int32_t> first, second;
    with->Encode("ab", &first);
    without->Encode("ab", &second);
    EXPECT_EQ(first.size(), 1u);
    EXPECT_EQ(second.size(), 2u);
  }
}

TEST(BytePairEncoder, TimeGrowsInStepWithTheLengthOfAPiece) {
  // Rules for runs of "a" to 2^11 make every level of merging happen.
  std::vector<std::string> tokens = Bytes();
  std::vector<MergeRule> rules;
  int32_t last = 'a';
  for (int level = 0; level < 11; ++level) {
    tokens.push_back(tokens[last] + tokens[last]);
    const int32_t id = static_cast<int32_t>(tokens.size()) - 1;
    rules.push_back({last, last, id, level});
    last = id;
  }
  const auto encoder = BytePairEncoder::Create(tokens, rules, false);
  ASSERT_TRUE(encoder.ok());
  const auto seconds = [&](size_t size) {
    double best = 1e9;
    for (int repeat = 0; repeat < 3; ++repeat) {
      std::vector<int32_t> ids;
      const auto begin = std::chrono::steady_clock::now();
      encoder->Encode(std::string(size, 'a'), &ids);
      const std::chrono::duration<double> time =
          std::chrono::steady_clock::now() - begin;
      EXPECT_EQ(ids.size(), size >> 11);
      best = std::min(best, time.count());
    }
    return best;
  };
  // 16 times the length in 16 times the time, 20 with log n; quadratic is 256.
  const double small = seconds(size_t{1} << 16);
  EXPECT_LT(seconds(size_t{1} << 20), 100 * small);
}

TEST(BytePairEncoder, ManyThreadsGiveTheSame) {
  const Vocabulary vocabulary(7, 60);
  const auto encoder =
      BytePairEncoder::Create(vocabulary.tokens, vocabulary.rules, false);
  ASSERT_TRUE(encoder.ok());
  std::vector<std::vector<int32_t>> results(4);
  std::vector<std::thread> threads;
  for (auto& ids : results) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; i < 2000; ++i) {
        encoder->Encode(RandomPiece(3, i % 500, 1 + i % 30), &ids);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& ids : results) EXPECT_EQ(ids, results[0]);
}

TEST(BytePairEncoder, WrongVocabulariesAreErrors) {
  std::vector<std::string> tokens = Bytes();
  tokens.push_back("ab");
  tokens.push_back("ab");
  EXPECT_FALSE(BytePairEncoder::Create(tokens, {}, false).ok());
  tokens.pop_back();
  const MergeRule rule = {'a', 'b', 256, 0};
  EXPECT_TRUE(BytePairEncoder::Create(tokens, {rule}, false).ok());
  EXPECT_FALSE(BytePairEncoder::Create(tokens, {rule, rule}, false).ok());
}

TEST(ByteLevel, IsTheAlphabetOfGpt2) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) {
    bytes.push_back(static_cast<char>(byte));
  }
  const std::string characters = BytesToByteLevel(bytes);
  EXPECT_EQ(characters.size(), 94u + 2 * 162);
  EXPECT_EQ(*ByteLevelToBytes(characters), bytes);
  EXPECT_EQ(BytesToByteLevel(" \n\xAD"), "\u0120\u010A\u0143");
  EXPECT_FALSE(ByteLevelToBytes(" ").ok());
  EXPECT_FALSE(ByteLevelToBytes("\u0144").ok());
  EXPECT_FALSE(ByteLevelToBytes("\xFF").ok());
}

TEST(Utf8, StepsAreMaximalSubparts) {
  const auto kind = [](absl::string_view text) { return NextUtf8(text).kind; };
  EXPECT_EQ(kind("\xC0\x80"), Utf8Step::kInvalid);
  EXPECT_EQ(kind("\xED\xA0\x80"), Utf8Step::kInvalid);
  EXPECT_EQ(kind("\xF4\x90\x80\x80"), Utf8Step::kInvalid);
  EXPECT_EQ(kind("\xE0\x80"), Utf8Step::kInvalid);
  EXPECT_EQ(kind("\x80"), Utf8Step::kInvalid);
  EXPECT_EQ(kind("\xF0\x9F\x8C"), Utf8Step::kIncomplete);
  EXPECT_EQ(NextUtf8("\xF0\x9F\x8C\x8D").code_point, 0x1F30Du);
  EXPECT_EQ(NextUtf8("\xF0\x9F\x8Cx").length, 3u);
  EXPECT_EQ(LastCodePoint("a\xC3\xA9"), 0xE9u);
  EXPECT_EQ(LastCodePoint("\xA9"), 0xFFFFFFFFu);
  EXPECT_EQ(WellFormedPrefix("abcdefghij\xC3\xA9\xFFz"), 12u);
}

TEST(Nfc, ComposesOrdersAndKeeps) {
  EXPECT_EQ(NormalizeNfc("e\u0301"), "\u00E9");
  EXPECT_EQ(NormalizeNfc("\u1100\u1161\u11A8"), "\uAC01");  // Hangul
  EXPECT_EQ(NormalizeNfc("\u212B"), "\u00C5");              // the angstrom sign
  EXPECT_EQ(NormalizeNfc("a\u0315\u0300"), "\u00E0\u0315");  // marks in order
  EXPECT_EQ(NormalizeNfc("\u0958"), "\u0915\u093C");  // never composed again
  EXPECT_EQ(NormalizeNfc("\uFB01"), "\uFB01");        // not compatibility
  EXPECT_EQ(NormalizeNfc(std::string("\0\u0344", 3)),
            std::string("\0\u0308\u0301", 5));
  // A jamo that is not one of the final consonants, though it is before them.
  for (const char* text : {"\uAC00\u11A7", "\u1134\uAE14\u11A7", "\u11A7\u0301",
                           "\u11A7", "\u11A7\u11A7"}) {
    EXPECT_EQ(NormalizeNfc(text), text);
  }
  EXPECT_EQ(NormalizeNfc("\u1100\u1161\u11A7e\u0301"), "\uAC00\u11A7\u00E9");
  // Marks in the worst order, many of them.
  std::string marks = "a";
  for (int i = 0; i < 100000; ++i) marks += i % 2 ? "\u0316" : "\u0301";
  EXPECT_EQ(NormalizeNfc(marks).size(), marks.size() - 1);
}

}  // namespace
}  // namespace lt2::tasks
