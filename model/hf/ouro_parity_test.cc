// Ouro against its own code: folders and vectors of
// testdata/recipes/ouro_vectors.py, in LT2_GOLDEN_DIR/ouro_*.

#include <dirent.h>

#include <algorithm>
#include <cstdio>

#include "gtest/gtest.h"
#include "kernels/core/golden.h"
#include "kernels/core/testing.h"
#include "model/hf/export_folder.h"
#include "model/hf/hf_folder.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::RmsRatio;
using testing::ToDoubles;

// Both sides are f32: rounding in other orders through at most 16 blocks. The
// largest measured is 9.4e-7.
constexpr double kLimit = 1e-5;
// A sum nearer to the threshold than this may fall on either side.
constexpr double kTie = 1e-5;

std::vector<std::string> Folders() {
  const std::string root = testing::Env("LT2_GOLDEN_DIR");
  std::vector<std::string> folders;
  DIR* dir = root.empty() ? nullptr : opendir(root.c_str());
  if (dir == nullptr) return folders;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.rfind("ouro_", 0) == 0) folders.push_back(root + "/" + name);
  }
  closedir(dir);
  std::sort(folders.begin(), folders.end());
  return folders;
}

struct Vectors {
  explicit Vectors(const std::string& folder) {
    auto read = ReadGolden(folder + "/vectors.safetensors");
    LT2_CHECK(read.ok(), read.status().ToString());
    all = *std::move(read);
  }
  const std::vector<double>& operator[](const char* name) const {
    return all.at(name).values;
  }
  int64_t Dim(const char* name, int i) const {
    return all.at(name).shape.dim(i);
  }
  // Part i of the first dimension.
  std::vector<double> Part(const char* name, int64_t i) const {
    const std::vector<double>& v = all.at(name).values;
    const int64_t size = static_cast<int64_t>(v.size()) / Dim(name, 0);
    return {v.begin() + i * size, v.begin() + (i + 1) * size};
  }
  std::map<std::string, GoldenTensor> all;
};

class Comparison {
 public:
  Comparison(LoopedModel& model, const Vectors& vectors)
      : model_(model),
        ctx_(model.ctx()),
        v_(vectors),
        batch_(vectors.Dim("ids", 0)),
        seq_(vectors.Dim("ids", 1)) {
    ids_ = testing::ToTensor(ctx_, DType::kI32, {batch_, seq_}, v_["ids"]);
  }

  void Run() {
    const int64_t loops = v_.Dim("hidden", 0);
    ASSERT_EQ(model_.config().loop_count, loops);
    std::map<std::string, std::vector<double>> seen;
    ForwardOptions options;
    options.exit_rule = ModelConfig::ExitRule::kWeighted;
    options.observer = [&](int64_t loop, int64_t layer, absl::string_view name,
                           const Var& value) {
      if (layer < 0) {
        seen[absl::StrCat(name, loop)] = ToDoubles(ctx_, value.value());
      }
    };
    const auto weighted = Logits(ids_, options);
    Expect("weighted logits", weighted, v_["logits_weighted"]);
    for (int64_t t = 0; t < loops; ++t) {
      Expect("hidden", seen[absl::StrCat("h", t + 1)], v_.Part("hidden", t));
      Expect("gate", seen[absl::StrCat("exit_logit", t + 1)],
             v_.Part("gate", t));
      ForwardOptions fixed;
      fixed.loops = t + 1;
      fixed.exit_rule = ModelConfig::ExitRule::kLast;
      Expect("logits of a step", Logits(ids_, fixed),
             v_.Part("logits_step", t));
    }
    const std::vector<double> pdf =
        seen[absl::StrCat("exit_probability", loops)];
    Expect("exit probability", pdf, v_["pdf"]);
    Thresholds();
    Expect("cached logits", Cached(7), v_["logits_cached"]);
    Expect("cached logits, all one by one", Cached(1), v_["logits_cached"]);
    std::printf("  largest relative error %.1e; %ld exits compared, %ld ties\n",
                worst_, static_cast<long>(exits_), static_cast<long>(ties_));
  }

 private:
  std::vector<double> Logits(const Tensor& ids, const ForwardOptions& options) {
    Tape tape(ctx_, Tape::kInference);
    const Var logits = model_.Logits(tape, ids, options);
    LT2_CHECK(tape.ok(), tape.status().ToString());
    return ToDoubles(ctx_, logits.value());
  }

  void Expect(const char* what, const std::vector<double>& got,
              const std::vector<double>& want) {
    const double error = RmsRatio(got, want);
    worst_ = std::max(worst_, error);
    EXPECT_LE(error, kLimit) << what;
  }

  void Thresholds() {
    const int64_t n = batch_ * seq_, vocab = model_.config().vocab_size;
    const int64_t loops = v_.Dim("hidden", 0);
    for (int64_t k = 0; k < v_.Dim("thresholds", 0); ++k) {
      const double threshold = v_["thresholds"][k];
      std::vector<double> steps;
      ForwardOptions options;
      options.exit_rule = ModelConfig::ExitRule::kThreshold;
      options.exit_threshold = threshold;
      options.observer = [&](int64_t, int64_t, absl::string_view name,
                             const Var& value) {
        if (name == "exit_step") steps = ToDoubles(ctx_, value.value());
      };
      std::vector<double> got = Logits(ids_, options);
      std::vector<double> want = v_.Part("logits_threshold", k);
      const std::vector<double> want_steps = v_.Part("exit_step", k);
      for (int64_t i = 0; i < n; ++i) {
        double sum = 0, margin = 1;
        for (int64_t t = 0; t < loops; ++t) {
          sum += v_["pdf"][t * n + i];
          margin = std::min(margin, std::abs(sum - threshold));
        }
        // The last sum is 1: at threshold 1 only the others can tie.
        if (threshold == 1) margin = 1;
        if (margin < kTie) {
          ++ties_;
          std::fill_n(got.begin() + i * vocab, vocab, 0);
          std::fill_n(want.begin() + i * vocab, vocab, 0);
          continue;
        }
        ++exits_;
        EXPECT_EQ(steps[i], want_steps[i])
            << "token " << i << ", threshold " << threshold;
      }
      Expect("logits by threshold", got, want);
    }
  }

  std::vector<double> Cached(int64_t prompt) {
    auto state = DecodeState::Create(model_, batch_, seq_);
    LT2_CHECK(state.ok());
    const int64_t vocab = model_.config().vocab_size;
    std::vector<double> all(batch_ * seq_ * vocab);
    for (int64_t at = 0; at < seq_;) {
      const int64_t n = at == 0 ? prompt : 1;
      std::vector<double> piece;
      for (int64_t b = 0; b < batch_; ++b) {
        for (int64_t i = 0; i < n; ++i) {
          piece.push_back(v_["ids"][b * seq_ + at + i]);
        }
      }
      ForwardOptions options;
      options.state = state->get();
      const auto logits = Logits(
          testing::ToTensor(ctx_, DType::kI32, {batch_, n}, piece), options);
      for (int64_t b = 0; b < batch_; ++b) {
        std::copy_n(logits.begin() + b * n * vocab, n * vocab,
                    all.begin() + (b * seq_ + at) * vocab);
      }
      at += n;
    }
    return all;
  }

  LoopedModel& model_;
  Context& ctx_;
  const Vectors& v_;
  const int64_t batch_, seq_;
  Tensor ids_;
  double worst_ = 0;
  int64_t exits_ = 0, ties_ = 0;
};

constexpr char kSkip[] =
    "no LT2_GOLDEN_DIR/ouro_* (testdata/recipes/ouro_vectors.py): this test "
    "checked nothing";

TEST(OuroParity, ComputesWhatOurosCodeComputes) {
  if (Folders().empty()) GTEST_SKIP() << kSkip;
  for (const std::string& folder : Folders()) {
    std::printf("%s\n", folder.c_str());
    SCOPED_TRACE(folder);
    auto ctx = CpuContext();
    const auto loaded = LoadModelFolder(*ctx, folder);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    // Ouro's default: the last loop unless the gates are sure.
    EXPECT_EQ(loaded->model->config().exit_rule,
              ModelConfig::ExitRule::kThreshold);
    Comparison(*loaded->model, Vectors(folder)).Run();
  }
}

TEST(OuroParity, ExportedFoldersComputeTheSame) {
  if (Folders().empty()) GTEST_SKIP() << kSkip;
  for (const std::string& folder : Folders()) {
    SCOPED_TRACE(folder);
    auto ctx = CpuContext();
    const auto loaded = LoadModelFolder(*ctx, folder);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const Vectors vectors(folder);
    for (const FolderLayout layout :
         {FolderLayout::kOuro, FolderLayout::kOurs}) {
      const std::string out = ::testing::TempDir() + "/ouro_export";
      ExportOptions options;
      options.layout = layout;
      options.dtype = DType::kF32;
      options.shard_bytes = layout == FolderLayout::kOuro ? 40000 : 0;
      const absl::Status exported =
          ExportModelFolder(*loaded->model, out, options);
      ASSERT_TRUE(exported.ok()) << exported;
      const auto again = LoadModelFolder(*ctx, out);
      ASSERT_TRUE(again.ok()) << again.status();
      Comparison(*again->model, vectors).Run();
    }
  }
}

// Half of the weights' rotation the other way, as the other layout of rotary
// positions has it: the same assertion must fail.
TEST(OuroParity, AnotherRotationShows) {
  if (Folders().empty()) GTEST_SKIP() << kSkip;
  const std::string folder = Folders()[0];
  auto ctx = CpuContext();
  LoadOptions options;
  options.model = {{"rope_layout", "interleaved"}};
  const auto loaded = LoadModelFolder(*ctx, folder, options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Vectors vectors(folder);
  Tape tape(*ctx, Tape::kInference);
  ForwardOptions last;
  last.exit_rule = ModelConfig::ExitRule::kLast;
  const Var logits = loaded->model->Logits(
      tape,
      testing::ToTensor(*ctx, DType::kI32,
                        {vectors.Dim("ids", 0), vectors.Dim("ids", 1)},
                        vectors["ids"]),
      last);
  ASSERT_TRUE(tape.ok());
  EXPECT_GT(
      RmsRatio(ToDoubles(*ctx, logits.value()),
               vectors.Part("logits_step", vectors.Dim("logits_step", 0) - 1)),
      100 * kLimit);
}

}  // namespace
}  // namespace lt2::model
