// Units of sound, one after the other through one arena: on a device the later ones run what the
// first were recorded as, and shorter ones come between.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "models/devices.h"
#include "models/registry.h"

namespace omni {
namespace {

std::vector<float> encoded(const std::string& fixture, const char* name) {
  const Device* device = open_test_device(name);
  const Family family = load_family(
      {OMNI_SOURCE_DIR "/tests/fixtures/" + fixture + "/checkpoint", Precision::float32, device},
      {});
  const AudioSpec& spec = family.audio->spec();
  ThreadPool pool(1);
  Arena arena(device);
  ops::Context cx{pool, arena};
  std::mt19937 random(1);
  std::vector<float> all, room;
  for (const int less : {0, 0, 5, 0, 5, 5, 0}) {
    Arena::Scope scope(arena);
    Tensor mel = Tensor::zeros(DType::f32, {spec.unit_frames - less, spec.n_mels});
    for (int64_t i = 0; i < mel.numel(); ++i) mel.f32()[i] = float(random() % 2000) / 1000 - 1;
    const auto rows = ops::to_host(cx, family.audio->encode(cx, mel), room);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

TEST(AudioTower, UnitsOneAfterTheOther) {
  for (const char* fixture : {"qwen2_5_omni/a", "qwen3_omni/a"}) {
    const std::vector<float> host = encoded(fixture, "cpu");
    for (const char* device : test_devices()) {
      const std::vector<float> there = encoded(fixture, device);
      ASSERT_EQ(there.size(), host.size());
      for (size_t i = 0; i < host.size(); ++i)
        ASSERT_NEAR(there[i], host[i], 1e-4) << fixture << device << i;
    }
  }
}

}  // namespace
}  // namespace omni
