// What is done to an element: one table of operations, each by the kind of thread that does it in
// real pipelines.
#pragma once

#include <vector>

#include "torture/random.h"
#include "torture/subject.h"

namespace omni_test {

enum class Role {
  data,     // pushes buffers and serialized events into sink pads
  control,  // the application: states, pads, links
  beside,   // anybody: properties, signals, queries, flushes, events from downstream
};

struct Operation {
  const char* name;
  Role role;
  unsigned weight;
  void (*run)(Subject& subject, Random& random);
};

const std::vector<Operation>& operations();
const Operation& draw_operation(Role role, Random& random);

// Every kind of event that a pad of this direction can be sent, with ordinary and odd contents.
std::vector<GstEvent* (*)(Random&)> events_for(GstPadDirection direction);

}  // namespace omni_test
