// Reader of what torch.save() made of dictionaries of tensors and numbers (spk_dict.pt): a zip
// archive of a pickle and raw storages. The pickle is read by a machine that knows dictionaries,
// tuples, strings, integers and tensors of stored floats, and refuses everything else: nothing in
// the file is ever executed. Memory and work are bounded: 100,000 objects, 64 of them in each
// other, and tensors of twice the file's size.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "core/tensor.h"

namespace omni {

struct PickledValue {
  enum Kind { none, integer, string, tensor, dictionary, tuple } kind = none;
  int64_t number = 0;  // also of bools
  std::string text;
  Tensor values;  // float32
  std::map<std::string, PickledValue> members;
};

// Throws not_found, corrupt_file, or unsupported (a pickle that asks for more than is known here).
PickledValue read_tensor_pickle(const std::filesystem::path& path);

}  // namespace omni
