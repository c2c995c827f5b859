// The element omniebuttdenc.
#pragma once

#include <gst/gst.h>

GST_ELEMENT_REGISTER_DECLARE(omniebuttdenc)
