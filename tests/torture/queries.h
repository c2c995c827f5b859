#pragma once

#include <gst/gst.h>

#include "torture/random.h"

namespace omni_test {

GstQuery* random_query(Random& random);  // of any type

}  // namespace omni_test
