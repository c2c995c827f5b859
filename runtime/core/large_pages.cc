#include "core/large_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

namespace omni {

namespace {

constexpr size_t kPage = size_t{2} << 20;
constexpr size_t kSlab = size_t{32} << 20;  // what small tensors share

size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// A mapping, zeroed by the system page by page as it is touched.
class Slab {
 public:
  // What does not fill a large page at its end lies in small ones: as a rule of matrices of 10 MB
  // a large one would be half empty.
  explicit Slab(size_t bytes) : size_(round_up(bytes, size_t(::sysconf(_SC_PAGESIZE)))) {
    // One page more, for a beginning on a border of pages; what is before and behind goes back at
    // once.
    void* mapped =
        ::mmap(nullptr, size_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
      throw Error(ErrorCode::out_of_memory,
                  "no memory for " + std::to_string(size_) + " bytes of weights");
    auto* begin = static_cast<char*>(mapped);
    data_ = begin + (kPage - uintptr_t(begin) % kPage) % kPage;
    if (data_ > begin) ::munmap(begin, size_t(data_ - begin));
    if (const size_t behind = size_t(begin + kPage - data_)) ::munmap(data_ + size_, behind);
    ::madvise(data_, size_, MADV_HUGEPAGE);
  }
  ~Slab() { ::munmap(data_, size_); }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // nullptr where it does not fit any more.
  void* take(size_t bytes) {
    if (bytes > size_ - used_) return nullptr;
    void* p = data_ + used_;
    used_ += round_up(bytes, 64);
    used_ = std::min(used_, size_);
    return p;
  }

 private:
  char* data_;
  size_t size_, used_ = 0;
};

}  // namespace

Tensor zeros_in_large_pages(DType dtype, Shape shape) {
  static std::mutex lock;
  static std::weak_ptr<Slab> shared;  // under lock
  const size_t bytes = size_t(shape.numel()) * size_of(dtype);
  std::shared_ptr<Slab> slab;
  void* data = nullptr;
  if (bytes <= kSlab / 4) {
    std::lock_guard guard(lock);
    if ((slab = shared.lock())) data = slab->take(bytes);
    if (!data) {
      slab = std::make_shared<Slab>(kSlab);
      data = slab->take(bytes);
      shared = slab;
    }
  } else {
    slab = std::make_shared<Slab>(bytes);
    data = slab->take(bytes);
  }
  return Tensor::view(data, dtype, shape, slab);
}

}  // namespace omni
