#include "tasks/prefetch.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "gtest/gtest.h"
#include "tasks/task.h"

namespace lt2::tasks {
namespace {

std::unique_ptr<Task> Make() {
  return *CreateTask({{"task", "mqar"}, {"preset", "based_train"}});
}

bool Same(const Batch& a, const Batch& b) {
  return a.batch == b.batch && a.seq == b.seq && a.inputs == b.inputs &&
         a.targets == b.targets && a.groups == b.groups;
}

// Counts up; slow at first, so that later batches are ready earlier; fails
// from one index on.
class Counting : public Task {
 public:
  explicit Counting(int64_t bad, int64_t end) : bad_(bad), end_(end) {}
  absl::string_view name() const override { return "counting"; }
  int version() const override { return 1; }
  int64_t vocab_size() const override { return 1 << 20; }
  int64_t max_length(Split) const override { return 1; }
  int64_t num_examples(Split) const override { return end_; }
  double chance() const override { return 0; }
  nlohmann::json spec() const override { return {}; }
  absl::Status Generate(Split, uint64_t, int64_t index,
                        Example* example) const override {
    if (index >= bad_) return absl::InternalError("broken example");
    if (index % 4 == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
    example->inputs = {static_cast<int32_t>(index)};
    example->targets = {static_cast<int32_t>(index)};
    return absl::OkStatus();
  }

 private:
  int64_t bad_, end_;
};

TEST(Prefetcher, BatchesAreTheSameForAnyNumberOfThreads) {
  const auto task = Make();
  for (int threads : {0, 1, 3, 8}) {
    for (int64_t depth : {1, 2, 7}) {
      Prefetcher data(*task, {.seed = 4,
                              .batch = 3,
                              .threads = threads,
                              .depth = depth,
                              .start_index = 5});
      for (int64_t k = 0; k < 12; ++k) {
        EXPECT_EQ(data.position(), 5 + 3 * k);
        const auto batch = data.Next();
        ASSERT_TRUE(batch.ok()) << batch.status();
        const auto expected =
            MakeBatch(*task, Split::kTrain, 4, 5 + 3 * k, 3, 256);
        EXPECT_TRUE(Same(*batch, *expected)) << threads << " " << depth;
      }
    }
  }
}

TEST(Prefetcher, OrderHoldsWhenLaterBatchesAreReadyFirst) {
  const Counting task(1000, -1);
  Prefetcher data(task, {.batch = 1, .threads = 4, .depth = 8});
  for (int32_t k = 0; k < 60; ++k) EXPECT_EQ(data.Next()->inputs[0], k);
}

TEST(Prefetcher, ResumesAtItsPosition) {
  const auto task = Make();
  PrefetchOptions options{.seed = 1, .batch = 4, .seq = 256};
  Prefetcher whole(*task, options);
  for (int k = 0; k < 5; ++k) ASSERT_TRUE(whole.Next().ok());
  options.start_index = whole.position();
  Prefetcher resumed(*task, options);
  for (int k = 0; k < 5; ++k) {
    EXPECT_TRUE(Same(*whole.Next(), *resumed.Next()));
  }
}

TEST(Prefetcher, ErrorsComeWhenTheirBatchIsDueAndStay) {
  const Counting task(7, -1);
  for (int threads : {0, 1, 3}) {
    Prefetcher data(task, {.batch = 2, .threads = threads, .depth = 4});
    for (int k = 0; k < 3; ++k) ASSERT_TRUE(data.Next().ok()) << threads;
    for (int k = 0; k < 3; ++k) {
      EXPECT_EQ(data.Next().status().message(), "broken example");
      EXPECT_EQ(data.position(), 6);
    }
  }
}

TEST(Prefetcher, FiniteSplitEndsWithAPaddedBatch) {
  const Counting task(1000, 5);
  for (int threads : {0, 2}) {
    Prefetcher data(task, {.batch = 2, .threads = threads});
    ASSERT_TRUE(data.Next().ok());
    ASSERT_TRUE(data.Next().ok());
    const auto last = data.Next();
    ASSERT_TRUE(last.ok()) << last.status();
    EXPECT_EQ(last->targets, (std::vector<int32_t>{4, kIgnore}));
    EXPECT_EQ(data.Next().status().code(), absl::StatusCode::kOutOfRange);
  }
}

TEST(Prefetcher, MakesNoMoreThanItsDepth) {
  struct Spy : Counting {
    Spy() : Counting(1000, -1) {}
    absl::Status Generate(Split split, uint64_t seed, int64_t index,
                          Example* example) const override {
      ++made;
      return Counting::Generate(split, seed, index, example);
    }
    mutable std::atomic<int> made{0};
  } task;
  Prefetcher data(task, {.batch = 1, .threads = 3, .depth = 5});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE(task.made, 5);
  ASSERT_TRUE(data.Next().ok());
}

TEST(Prefetcher, StopsWhileThreadsWork) {
  const Counting task(1 << 19, -1);
  for (int i = 0; i < 20; ++i) {
    Prefetcher data(task, {.batch = 16, .threads = 3, .depth = 2});
    if (i % 2 == 0) {
      ASSERT_TRUE(data.Next().ok());
    }
  }
}

TEST(Prefetcher, BadOptionsAreErrors) {
  const auto task = Make();
  EXPECT_FALSE(Prefetcher(*task, {.batch = 0}).Next().ok());
  EXPECT_FALSE(Prefetcher(*task, {.batch = 1, .seq = 16}).Next().ok());
  EXPECT_FALSE(Prefetcher(*task, {.batch = 1, .start_index = -5}).Next().ok());
}

}  // namespace
}  // namespace lt2::tasks
