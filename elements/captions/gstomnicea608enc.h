// The element omnicea608enc.
#pragma once

#include <gst/gst.h>

GST_ELEMENT_REGISTER_DECLARE(omnicea608enc)
