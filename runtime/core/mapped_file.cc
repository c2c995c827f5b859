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
[[noreturn]] void fail(const std::filesystem::path& path) {
  throw Error(ErrorCode::not_found, path.string() + ": " + std::strerror(errno));
}
}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    if (errno == 0) errno = EISDIR;
    ::close(fd);
    fail(path);
  }
  size_ = size_t(st.st_size);
  void* p = size_ ? ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  ::close(fd);
  if (p == MAP_FAILED) fail(path);
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
