#include "model/io/atomic_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"

namespace lt2::model {
namespace {

constexpr absl::string_view kTemporaryMark = ".lt2tmp-";
constexpr absl::string_view kAsideMark = ".lt2old";

absl::Status SystemError(absl::string_view doing, absl::string_view path,
                         int error) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot ", doing, " '", path,
                                                 "' (errno ", error, ")"));
}

absl::Status SystemError(absl::string_view doing, absl::string_view path,
                         const std::error_code& error) {
  return SystemError(doing, path, error.value());
}

// "run/last/" is "run/last".
std::string WithoutSlash(absl::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path);
}

std::string Parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// "folder/name" is "folder/.nameSUFFIX", of the first `length` bytes of name.
std::string Hidden(const std::string& path, size_t length,
                   absl::string_view suffix) {
  const size_t base = path.rfind('/') + 1;  // npos + 1 is 0
  return absl::StrCat(path.substr(0, base), ".", path.substr(base, length),
                      suffix);
}

std::string TemporaryName(const std::string& path) {
  static std::atomic<int> counter{0};
  // File systems take names of up to 255 bytes.
  return Hidden(
      path, 200,
      absl::StrCat(kTemporaryMark, getpid(), "-", counter.fetch_add(1)));
}

absl::Status CheckTarget(const std::string& path) {
  const std::string base = path.substr(path.rfind('/') + 1);
  if (base.empty() || base == "." || base == "..") {
    return InvalidArgument("'", path, "' is not the name of a file or folder");
  }
  return absl::OkStatus();
}

absl::Status Sync(int fd, const std::string& path) {
  if (fsync(fd) == 0) return absl::OkStatus();
  // Some file systems cannot sync a folder; nothing more can be done there.
  if (errno == EINVAL || errno == ENOTSUP) return absl::OkStatus();
  return SystemError("sync", path, errno);
}

absl::Status SyncPath(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open to sync", path, errno);
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  return Sync(fd, path);
}

int Rename(const std::string& from, const std::string& to, unsigned flags) {
  if (flags == 0) return std::rename(from.c_str(), to.c_str());
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from.c_str(),
                                  AT_FDCWD, to.c_str(), flags));
}

bool IsLocked(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  return flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

absl::Status Remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  // Somebody else may be cleaning too.
  if (error && error.value() != ENOENT) {
    return SystemError("remove", path, error);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(absl::string_view path_view,
                                     int64_t max_bytes) {
  const std::string path(path_view);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path, errno);
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError("inspect", path, errno);
  if (S_ISDIR(info.st_mode)) return SystemError("read", path, EISDIR);
  std::string contents;
  if (info.st_size > 0 && info.st_size <= max_bytes) {
    contents.reserve(info.st_size);
  }
  // Not only st_size bytes: /proc files and pipes report 0.
  char chunk[1 << 16];
  while (true) {
    const ssize_t got = read(fd, chunk, sizeof(chunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read", path, errno);
    if (got == 0) return contents;
    if (static_cast<int64_t>(contents.size()) + got > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "'", path, "' is larger than the limit of ", max_bytes, " bytes"));
    }
    contents.append(chunk, got);
  }
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return SystemError("make folder", path, error.value());
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(absl::string_view path,
                                 absl::string_view contents) {
  LT2_ASSIGN_OR_RETURN(auto file, AtomicFileWriter::Create(path));
  LT2_RETURN_IF_ERROR(file->Append(contents));
  return file->Commit();
}

absl::StatusOr<std::unique_ptr<AtomicFileWriter>> AtomicFileWriter::Create(
    absl::string_view path_view) {
  const std::string path(path_view);
  LT2_RETURN_IF_ERROR(CheckTarget(path));
  while (true) {
    std::string temporary = TemporaryName(path);
    const int fd =
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      flock(fd, LOCK_EX | LOCK_NB);  // where locks exist
      return std::unique_ptr<AtomicFileWriter>(
          new AtomicFileWriter(path, std::move(temporary), fd));
    }
    // EEXIST: left by a killed process that had the same number.
    if (errno != EEXIST) return SystemError("create", temporary, errno);
  }
}

AtomicFileWriter::~AtomicFileWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_.c_str());
}

absl::Status AtomicFileWriter::Append(absl::string_view bytes) {
  LT2_CHECK(fd_ >= 0, "append after commit");
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", temporary_, errno);
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status AtomicFileWriter::Commit() {
  LT2_CHECK(fd_ >= 0, "commit twice");
  LT2_RETURN_IF_ERROR(Sync(fd_, temporary_));
  if (Rename(temporary_, path_, 0) != 0) {
    return SystemError("replace", path_, errno);
  }
  close(fd_);
  fd_ = -1;
  return SyncPath(Parent(path_));
}

absl::StatusOr<std::unique_ptr<AtomicDirectory>> AtomicDirectory::Create(
    absl::string_view path_view) {
  const std::string path = WithoutSlash(path_view);
  LT2_RETURN_IF_ERROR(CheckTarget(path));
  while (true) {
    std::string temporary = TemporaryName(path);
    if (mkdir(temporary.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      return SystemError("create folder", temporary, errno);
    }
    const int fd = open(temporary.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return SystemError("open", temporary, errno);
    flock(fd, LOCK_EX | LOCK_NB);
    return std::unique_ptr<AtomicDirectory>(
        new AtomicDirectory(path, std::move(temporary), fd));
  }
}

AtomicDirectory::~AtomicDirectory() {
  if (fd_ < 0) return;
  close(fd_);
  Remove(temporary_).IgnoreError();
}

std::string AtomicDirectory::File(absl::string_view name) const {
  return absl::StrCat(temporary_, "/", name);
}

absl::Status AtomicDirectory::Commit(bool can_exchange) {
  LT2_CHECK(fd_ >= 0, "commit twice");
  std::error_code error;
  auto walk = std::filesystem::recursive_directory_iterator(temporary_, error);
  const std::filesystem::recursive_directory_iterator end;
  for (; !error && walk != end; walk.increment(error)) {
    if (walk->is_symlink()) continue;
    LT2_RETURN_IF_ERROR(SyncPath(walk->path().string()));
  }
  if (error) return SystemError("list", temporary_, error);
  LT2_RETURN_IF_ERROR(Sync(fd_, temporary_));

  bool old_remains = false;
  if (Rename(temporary_, target_, 0) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) {
      return SystemError("replace", target_, errno);
    }
    // There is a folder with files.
    old_remains = true;
    if (!can_exchange || Rename(temporary_, target_, RENAME_EXCHANGE) != 0) {
      const bool unsupported = !can_exchange || errno == EINVAL ||
                               errno == ENOSYS || errno == ENOTSUP;
      if (!unsupported) return SystemError("replace", target_, errno);
      old_remains = false;
      LT2_RETURN_IF_ERROR(ReplaceInTwoSteps());
    }
  }
  close(fd_);
  fd_ = -1;
  LT2_RETURN_IF_ERROR(SyncPath(Parent(target_)));
  return old_remains ? Remove(temporary_) : absl::OkStatus();
}

absl::Status AtomicDirectory::ReplaceInTwoSteps() {
  const std::string aside = Hidden(target_, std::string::npos, kAsideMark);
  LT2_RETURN_IF_ERROR(Remove(aside));
  const int old_fd = open(target_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (old_fd < 0) return SystemError("open", target_, errno);
  const auto closer = absl::MakeCleanup([old_fd] { close(old_fd); });
  flock(old_fd, LOCK_EX | LOCK_NB);  // so that nobody puts it back meanwhile
  if (Rename(target_, aside, 0) != 0) {
    return SystemError("set aside", target_, errno);
  }
  if (Rename(temporary_, target_, 0) != 0) {
    const int reason = errno;
    Rename(aside, target_, 0);
    return SystemError("replace", target_, reason);
  }
  LT2_RETURN_IF_ERROR(SyncPath(Parent(target_)));
  return Remove(aside);
}

absl::StatusOr<std::vector<std::string>> ListLeftovers(
    absl::string_view directory) {
  const std::string folder = WithoutSlash(directory);
  std::vector<std::string> found;
  std::error_code error;
  auto entry = std::filesystem::directory_iterator(folder, error);
  const std::filesystem::directory_iterator end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool ours =
        name[0] == '.' && (absl::StrContains(name, kTemporaryMark) ||
                           absl::EndsWith(name, kAsideMark));
    const std::string path = absl::StrCat(folder, "/", name);
    if (ours && !IsLocked(path)) found.push_back(path);
  }
  if (error) return SystemError("list", folder, error);
  std::sort(found.begin(), found.end());
  return found;
}

absl::Status CleanLeftovers(absl::string_view directory) {
  LT2_ASSIGN_OR_RETURN(const std::vector<std::string> leftovers,
                       ListLeftovers(directory));
  for (const std::string& path : leftovers) {
    if (absl::EndsWith(path, kAsideMark)) {
      const size_t base = path.rfind('/') + 1;
      const std::string target = absl::StrCat(
          path.substr(0, base),
          path.substr(base + 1, path.size() - base - 1 - kAsideMark.size()));
      if (Rename(path, target, RENAME_NOREPLACE) == 0) continue;
      // RENAME_NOREPLACE may be unsupported where RENAME_EXCHANGE is.
      std::error_code error;
      if (!std::filesystem::exists(target, error) && !error) {
        if (Rename(path, target, 0) == 0) continue;
        return SystemError("put back", target, errno);
      }
    }
    LT2_RETURN_IF_ERROR(Remove(path));
  }
  return absl::OkStatus();
}

}  // namespace lt2::model
