// The rows of a sequence that are kept, in the pieces in which they were computed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "interface/kept_rows.h"

namespace omni {

class KeptList {
 public:
  using Pieces = std::vector<KeptRows>;
  const Pieces& pieces() const { return pieces_; }

  void append(const Pieces& more) { pieces_.insert(pieces_.end(), more.begin(), more.end()); }
  // Forgets rows from `length` on.
  void truncate(int64_t length) { pieces_ = part(0, length); }
  // Forgets rows [begin, end).
  void erase(int64_t begin, int64_t end) {
    Pieces rest = part(0, begin);
    for (KeptRows& piece : part(end, INT64_MAX)) rest.push_back(std::move(piece));
    pieces_ = std::move(rest);
  }

 private:
  Pieces part(int64_t begin, int64_t end) const {
    Pieces some;
    int64_t at = 0;
    for (const KeptRows& p : pieces_) {
      const int64_t n = p.values.dim(0), first = std::clamp<int64_t>(begin - at, 0, n),
                    last = std::clamp<int64_t>(end - at, 0, n);
      if (first < last) some.push_back({p.values.rows(first, last), p.made});
      at += n;
    }
    return some;
  }

  Pieces pieces_;
};

}  // namespace omni
