// A small text model for the tests of decoding.
#pragma once

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "models/registry.h"

namespace omni {

inline const TextModel& fixture_model() {
  static const Family family = load_family(
      {OMNI_SOURCE_DIR "/tests/fixtures/qwen2_5_omni/a/checkpoint", Precision::float32}, {});
  return *family.text;
}

// n rows of a lane with random ids, one after the other from a position on.
inline Rows random_rows(std::mt19937& random, int64_t n, int32_t from, Lane lane = Lane::text) {
  Rows rows;
  rows.lane = lane;
  for (int32_t i = 0; i < n; ++i) {
    rows.ids.push_back(int32_t(random() % 300));
    rows.positions.push_back(lane == Lane::vision
                                 ? Position{from + i / 6, from + i / 3 % 2, from + i % 3}
                                 : Position{from + i, from + i, from + i});
  }
  return rows;
}

}  // namespace omni
