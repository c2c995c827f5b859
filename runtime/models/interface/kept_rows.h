// Rows of a text model that a Talker reads: of each token the last hidden state plus its embedding,
// of media the hidden state alone; or as TextModel::kept_layer() says. They lie where they were
// computed; on a device they are there behind `made`, and whoever reads them with another queue
// waits for it before letting them go.
#pragma once

#include <memory>

#include "core/tensor.h"

namespace omni {

struct KeptRows {
  Tensor values;  // [n, hidden]
  std::shared_ptr<const Device::Mark> made = nullptr;
};

}  // namespace omni
