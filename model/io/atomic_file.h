// Files and folders that appear complete or not at all.
//
// A file is written under a temporary name in the same folder, synced, renamed
// over the target, and the folder is synced. A process that is killed at any
// moment leaves the old file or the new one. The same for a whole folder:
// an existing one is exchanged with the new one in one system call
// (renameat2 with RENAME_EXCHANGE). On file systems without it (NFS, Lustre)
// the old folder is first set aside; a kill between the two renames then leaves
// the old folder under its aside name, and CleanLeftovers, which a program
// calls before it reads, puts it back.
//
// Temporary names are ".NAME.lt2tmp-PID-N", aside names ".NAME.lt2old". A
// writer holds a lock (flock) on what it is writing, so that ListLeftovers and
// CleanLeftovers never touch the work of a live process. Errors name the path
// and the system's reason. A target that is a symbolic link is replaced, not
// followed.

#ifndef LT2_MODEL_IO_ATOMIC_FILE_H_
#define LT2_MODEL_IO_ATOMIC_FILE_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"

namespace lt2::model {

// The whole file. Larger than `max_bytes` is ResourceExhausted.
absl::StatusOr<std::string> ReadFile(
    absl::string_view path,
    int64_t max_bytes = std::numeric_limits<int64_t>::max());

absl::Status WriteFileAtomically(absl::string_view path,
                                 absl::string_view contents);

// Makes a folder and its parents; fine if it is there. Programs make the
// folder of their results before the work, so that none is lost for want of it.
absl::Status MakeFolder(const std::string& path);

// WriteFileAtomically in pieces, for files larger than memory should hold.
class AtomicFileWriter {
 public:
  static absl::StatusOr<std::unique_ptr<AtomicFileWriter>> Create(
      absl::string_view path);
  // Removes the temporary file unless committed.
  ~AtomicFileWriter();
  AtomicFileWriter(const AtomicFileWriter&) = delete;
  AtomicFileWriter& operator=(const AtomicFileWriter&) = delete;

  absl::Status Append(absl::string_view bytes);
  absl::Status Commit();

 private:
  AtomicFileWriter(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  const std::string path_;
  const std::string temporary_;
  int fd_;
};

// A folder that is built under a temporary name and put in place by Commit:
//
//   LT2_ASSIGN_OR_RETURN(auto folder, AtomicDirectory::Create("run/last"));
//   LT2_RETURN_IF_ERROR(WriteFileAtomically(folder->File("a.json"), text));
//   LT2_RETURN_IF_ERROR(folder->Commit());
class AtomicDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<AtomicDirectory>> Create(
      absl::string_view path);
  // Removes the temporary folder unless committed.
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  // The folder to write to, before Commit.
  const std::string& path() const { return temporary_; }
  std::string File(absl::string_view name) const;

  // Syncs all files and puts the folder in place of what was there.
  absl::Status Commit() { return Commit(/*can_exchange=*/true); }
  // For tests: as on a file system that cannot exchange two folders.
  absl::Status CommitWithoutExchange() { return Commit(false); }

 private:
  AtomicDirectory(std::string target, std::string temporary, int fd)
      : target_(std::move(target)), temporary_(std::move(temporary)), fd_(fd) {}
  absl::Status Commit(bool can_exchange);
  absl::Status ReplaceInTwoSteps();
  const std::string target_;
  const std::string temporary_;
  int fd_;
};

// Temporary files and folders in `directory` that no live process is writing,
// and old folders set aside: full paths, sorted.
absl::StatusOr<std::vector<std::string>> ListLeftovers(
    absl::string_view directory);

// Puts back folders that were set aside and not replaced; removes all other
// leftovers. Call it when a program starts, before reading.
absl::Status CleanLeftovers(absl::string_view directory);

}  // namespace lt2::model

#endif  // LT2_MODEL_IO_ATOMIC_FILE_H_
