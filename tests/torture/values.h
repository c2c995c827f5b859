// Random values for properties and the arguments of signals, by what GObject says of them.
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

#include "torture/random.h"

namespace omni_test {

// The properties of an object that the plugin's own classes brought and that can be written.
std::vector<GParamSpec*> own_properties(GObject* object);
void set_random_property(GObject* object, GParamSpec* spec, Random& random);
// Calls `signal`, one of action_signals(), with random arguments.
void emit_random(GObject* object, guint signal, Random& random);
std::vector<guint> action_signals(GType type);

// Words, nonsense, the empty text, bytes that are no UTF-8, very long ones.
std::string random_text(Random& random);

}  // namespace omni_test
