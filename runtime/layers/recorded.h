// Work that is asked for again and again with tensors of the same shapes, such as a tower's for an
// image of one size: on a device recorded once a shape and then run as a whole, which spares the
// host its many launches. The first time of a shape runs unrecorded, so that everything has its
// memory, and libraries their plans, when the second is recorded. The recordings last with the
// context's arena, as do those of all others that it is used with; intermediate results lie in a
// second arena that nothing else uses, so that they have the same addresses each time.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/identity.h"
#include "ops/ops.h"

namespace omni {

class Recorded {
 public:
  using Tensors = std::vector<Tensor>;
  // Asks for the same ops each time that shapes and variant are equal, which read nothing but the
  // inputs and what lasts with whoever owns this; waits for nothing and runs nothing recorded.
  using Work = std::function<Tensors(ops::Context& cx, std::span<const Tensor> inputs)>;
  static constexpr size_t kMost = 32;  // recordings of an arena: the one longest unused goes

  // work(inputs). Inputs may lie on the host, and some be undefined. The results are valid until
  // anything recorded is run again with this arena, and on the host until the innermost Scope ends.
  Tensors operator()(ops::Context& cx, std::span<const Tensor> inputs, int64_t variant,
                     const Work& work) const;

 private:
  Identity owner_;
};

}  // namespace omni
