#include "vad/turn_model.h"

#include <map>
#include <mutex>

#include "engine/find_model.h"

namespace omni {

std::shared_ptr<const TurnModel> open_turn_model(const std::string& path_or_name) {
  static std::mutex lock;
  static std::map<std::filesystem::path, std::weak_ptr<const TurnModel>> open;
  const std::filesystem::path folder = find_model(path_or_name, "turn-model-path");
  std::lock_guard guard(lock);
  std::erase_if(open, [](const auto& entry) { return entry.second.expired(); });
  auto model = open[folder].lock();
  if (!model) open[folder] = model = std::make_shared<const TurnModel>(folder);
  return model;
}

}  // namespace omni
