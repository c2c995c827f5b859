#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "omni/error.h"

namespace omni {

namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& reason) {
  throw Error(ErrorCode::not_found, path.string() + ": " + reason);
}

// What is not a regular file.
std::string kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "something else";
}

// Closes when it goes, and leaves errno as it was.
class Descriptor {
 public:
  // Without waiting: a FIFO's writer may never come.
  explicit Descriptor(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  ~Descriptor() {
    const int before = errno;
    if (fd_ >= 0) ::close(fd_);
    errno = before;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(path);
  struct stat st {};
  if (file.get() < 0 || ::fstat(file.get(), &st) != 0) {
    const int reason = errno;
    fail(path, std::strerror(reason));
  }
  if (!S_ISREG(st.st_mode)) fail(path, "is " + kind_of(st.st_mode) + " and not a file");
  size_ = size_t(st.st_size);
  if (size_ == 0) return;
  void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (p == MAP_FAILED) {
    const int reason = errno;
    fail(path, std::strerror(reason));
  }
  data_ = static_cast<const std::byte*>(p);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release_pages(const void* data, size_t bytes) {
  const auto page = size_t(::sysconf(_SC_PAGESIZE));
  const size_t before = (page - uintptr_t(data) % page) % page;  // to the first whole page
  if (before + page > bytes) return;
  auto* first = const_cast<char*>(static_cast<const char*>(data)) + before;
  ::madvise(first, (bytes - before) / page * page, MADV_DONTNEED);
}

std::string read_text_file(const std::filesystem::path& path, size_t limit) {
  const MappedFile file(path);
  if (file.size() > limit)
    throw Error(ErrorCode::corrupt_file, path.string() + ": " + std::to_string(file.size()) +
                                             " bytes, at most " + std::to_string(limit) +
                                             " are read");
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

}  // namespace omni
