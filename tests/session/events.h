// Reading what comes out of a session.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <variant>
#include <vector>

#include "omni/session.h"

namespace omni {

template <class What>
const What* as(const Event& e) {
  return std::get_if<What>(&e.what);
}

// Events up to the first of a kind, that one included.
template <class What>
std::vector<Event> up_to(Session& s) {
  std::vector<Event> out;
  while (auto event = s.next()) {
    if (const auto* failed = as<Failed>(*event)) ADD_FAILURE() << failed->error.what();
    out.push_back(std::move(*event));
    if (as<What>(out.back())) break;
  }
  return out;
}

}  // namespace omni
