#include "model/io/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "kernels/core/philox.h"

namespace lt2::model {
namespace {

namespace fs = std::filesystem;

// A fresh folder for one test.
std::string Folder() {
  std::string pattern = ::testing::TempDir() + "/atomic.XXXXXX";
  LT2_CHECK(mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

int Entries(const std::string& folder) {
  int n = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    (void)entry;
    ++n;
  }
  return n;
}

TEST(AtomicFile, ReadsBackWhatWasWritten) {
  const std::string path = Folder() + "/x";
  for (const std::string& contents :
       {std::string(), std::string("a\0b", 3), std::string(300000, 'z')}) {
    ASSERT_TRUE(WriteFileAtomically(path, contents).ok());
    EXPECT_EQ(*ReadFile(path), contents);
  }
  EXPECT_EQ(Entries(fs::path(path).parent_path()), 1);
}

TEST(AtomicFile, AWriterThatIsDroppedLeavesTheOldFile) {
  const std::string folder = Folder();
  const std::string path = folder + "/x";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  {
    auto writer = AtomicFileWriter::Create(path);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Append("new").ok());
    EXPECT_EQ(Entries(folder), 2);
    // A live writer's file is not a leftover.
    EXPECT_TRUE(ListLeftovers(folder)->empty());
  }
  EXPECT_EQ(*ReadFile(path), "old");
  EXPECT_EQ(Entries(folder), 1);
}

TEST(AtomicFile, ErrorsNameThePathAndTheReason) {
  const std::string folder = Folder();
  const absl::Status missing = ReadFile(folder + "/nope").status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_TRUE(absl::StrContains(missing.message(), folder + "/nope"));
  EXPECT_TRUE(absl::StrContains(missing.message(), "errno 2"));
  const absl::Status no_folder =
      WriteFileAtomically(folder + "/no/such/file", "x");
  EXPECT_TRUE(absl::IsNotFound(no_folder)) << no_folder;
  EXPECT_TRUE(absl::StrContains(no_folder.message(), "/no/such/"));
  EXPECT_FALSE(ReadFile(folder).ok());
  EXPECT_FALSE(WriteFileAtomically(folder, "x").ok());
  EXPECT_FALSE(WriteFileAtomically(folder + "/", "x").ok());
  EXPECT_FALSE(AtomicDirectory::Create(folder + "/..").ok());
  EXPECT_FALSE(ListLeftovers(folder + "/nope").ok());
  EXPECT_EQ(Entries(folder), 0);
}

TEST(MakeFolder, MakesItsParentsAndSaysWhyNot) {
  const std::string path = Folder() + "/of/a folder";
  EXPECT_TRUE(MakeFolder(path).ok());
  EXPECT_TRUE(MakeFolder(path).ok());  // it is there
  EXPECT_TRUE(WriteFileAtomically(path + "/file", "x").ok());
  const std::string message(MakeFolder(path + "/file/under").message());
  EXPECT_NE(message.find(path + "/file/under"), std::string::npos) << message;
}

TEST(AtomicFile, ReadRefusesMoreThanTheLimit) {
  const std::string path = Folder() + "/x";
  ASSERT_TRUE(WriteFileAtomically(path, "12345").ok());
  EXPECT_TRUE(ReadFile(path, 5).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(path, 4).status()));
  // A file that does not say its size.
  EXPECT_FALSE(ReadFile("/proc/self/status", 10).ok());
  EXPECT_GT(ReadFile("/proc/self/status")->size(), 10);
}

TEST(AtomicFile, LongNamesWork) {
  const std::string path = Folder() + "/" + std::string(250, 'n');
  ASSERT_TRUE(WriteFileAtomically(path, "x").ok());
  EXPECT_EQ(*ReadFile(path), "x");
}

TEST(AtomicDirectory, ReplacesAWholeFolder) {
  for (bool exchange : {true, false}) {
    const std::string folder = Folder();
    const std::string target = folder + "/last";
    for (const char* name : {"first", "second"}) {
      auto directory = AtomicDirectory::Create(target + "/");
      ASSERT_TRUE(directory.ok());
      ASSERT_TRUE(WriteFileAtomically((*directory)->File(name), "x").ok());
      fs::create_directory((*directory)->File("sub"));
      ASSERT_TRUE(WriteFileAtomically((*directory)->File("sub/y"), "y").ok());
      const absl::Status status = exchange
                                      ? (*directory)->Commit()
                                      : (*directory)->CommitWithoutExchange();
      ASSERT_TRUE(status.ok()) << status;
    }
    EXPECT_FALSE(fs::exists(target + "/first"));
    EXPECT_EQ(*ReadFile(target + "/second"), "x");
    EXPECT_EQ(*ReadFile(target + "/sub/y"), "y");
    EXPECT_EQ(Entries(folder), 1);
  }
}

TEST(AtomicDirectory, DroppedLeavesTheOldFolder) {
  const std::string folder = Folder();
  const std::string target = folder + "/last";
  fs::create_directory(target);
  ASSERT_TRUE(WriteFileAtomically(target + "/old", "x").ok());
  {
    auto directory = AtomicDirectory::Create(target);
    ASSERT_TRUE(directory.ok());
    ASSERT_TRUE(WriteFileAtomically((*directory)->File("new"), "x").ok());
    EXPECT_TRUE(ListLeftovers(folder)->empty());
    ASSERT_TRUE(CleanLeftovers(folder).ok());
    EXPECT_TRUE(fs::exists((*directory)->File("new")));
  }
  EXPECT_EQ(Entries(folder), 1);
  EXPECT_TRUE(fs::exists(target + "/old"));
}

TEST(AtomicDirectory, AFileInTheWayIsAnError) {
  const std::string target = Folder() + "/last";
  ASSERT_TRUE(WriteFileAtomically(target, "a file").ok());
  auto directory = AtomicDirectory::Create(target);
  ASSERT_TRUE(directory.ok());
  const absl::Status status = (*directory)->Commit();
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::StrContains(status.message(), target));
  EXPECT_EQ(*ReadFile(target), "a file");
}

TEST(AtomicDirectory, CleaningPutsBackAFolderThatWasSetAside) {
  const std::string folder = Folder();
  fs::create_directory(folder + "/.last.lt2old");
  ASSERT_TRUE(WriteFileAtomically(folder + "/.last.lt2old/a", "x").ok());
  fs::create_directory(folder + "/.last.lt2tmp-1-0");
  ASSERT_TRUE(WriteFileAtomically(folder + "/.b.lt2tmp-1-1", "x").ok());
  ASSERT_TRUE(WriteFileAtomically(folder + "/.hidden", "mine").ok());
  EXPECT_EQ(ListLeftovers(folder)->size(), 3);
  ASSERT_TRUE(CleanLeftovers(folder).ok());
  EXPECT_EQ(*ReadFile(folder + "/last/a"), "x");
  EXPECT_EQ(*ReadFile(folder + "/.hidden"), "mine");
  EXPECT_EQ(Entries(folder), 2);
}

// Writes version after version until it is killed, and notes the last one whose
// commit has returned. A version is two files that must agree.
[[noreturn]] void WriteVersions(const std::string& target, bool exchange,
                                std::atomic<int>* committed) {
  for (int version = *committed + 1;; ++version) {
    auto directory = AtomicDirectory::Create(target);
    if (!directory.ok()) _exit(1);
    const std::string text = absl::StrCat(version, "\n");
    for (const char* name : {"a", "b"}) {
      std::string contents;
      while (contents.size() < 20000) contents += text;
      if (!WriteFileAtomically((*directory)->File(name), contents).ok()) {
        _exit(1);
      }
    }
    const absl::Status status = exchange
                                    ? (*directory)->Commit()
                                    : (*directory)->CommitWithoutExchange();
    if (!status.ok()) _exit(1);
    *committed = version;
  }
}

// The version in the folder, or -1 if it is not one complete version.
int ReadVersion(const std::string& target) {
  const absl::StatusOr<std::string> a = ReadFile(target + "/a");
  const absl::StatusOr<std::string> b = ReadFile(target + "/b");
  if (!a.ok() || !b.ok() || *a != *b || a->size() < 20000) return -1;
  int version = -1;
  LT2_CHECK(absl::SimpleAtoi(a->substr(0, a->find('\n')), &version));
  return version;
}

// However slow the machine, every other round lets the writer commit before the
// random delay begins; in between, the kill may come at any time after fork.
void KillAtRandomMoments(bool exchange, int rounds) {
  const std::string folder = Folder();
  const std::string target = folder + "/last";
  void* shared = mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* committed = new (shared) std::atomic<int>(-1);
  Philox rng(7, exchange);
  int version = -1;
  int left_something = 0;
  for (int round = 0; round < rounds; ++round) {
    *committed = version;
    const bool wait = round % 2 == 0;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) WriteVersions(target, exchange, committed);
    for (int i = 0; wait && i < 20000 && *committed == version; ++i) {
      usleep(1000);
    }
    usleep(static_cast<useconds_t>(rng.Below(15000)));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed by itself";
    ASSERT_TRUE(!wait || *committed > version) << "no progress";

    if (exchange) {
      ASSERT_GE(ReadVersion(target), *committed) << "before cleaning";
    }
    left_something += Entries(folder) > 1;
    ASSERT_TRUE(CleanLeftovers(folder).ok());
    const int found = ReadVersion(target);
    ASSERT_GE(found, *committed) << "round " << round;
    ASSERT_GE(found, 0);
    version = found;
    ASSERT_EQ(Entries(folder), 1) << "leftovers";
  }
  munmap(shared, sizeof(std::atomic<int>));
  // The kills did hit writers at work.
  EXPECT_GT(left_something, rounds / 4);
  EXPECT_GE(version, rounds / 2 - 1);
}

TEST(AtomicDirectory, AKillAtAnyMomentLeavesACompleteFolder) {
  KillAtRandomMoments(/*exchange=*/true, 100);
}

TEST(AtomicDirectory, AKillWithoutExchangeLeavesACompleteFolderAfterCleaning) {
  KillAtRandomMoments(/*exchange=*/false, 100);
}

}  // namespace
}  // namespace lt2::model
