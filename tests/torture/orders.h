// Every event in every state: a script in the place of chance.
#pragma once

#include <functional>
#include <string>

#include "torture/subject.h"

namespace omni_test {

// Sends each event to each pad of the topology in each state that a stream can be in, and asks
// after each state whether the element does its job as `wanted`. Says what is not as it should be;
// empty if all is. `on_step` is told what comes next.
std::string run_orders(const Topology& topology, const Subject::Outcome& wanted,
                       const std::function<void(const char*)>& on_step);

}  // namespace omni_test
